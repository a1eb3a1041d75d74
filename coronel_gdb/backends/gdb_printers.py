"""Pretty-printers: a block, a frame's node, a region, a process and a page entry say what they are.

Types and fields are those that the profiles name, so other kernels have them too. `print /r` shows the bare
structure. Nothing but the printed value is read. Import inside GDB only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import gdb

from coronel_gdb.backends.gdb_host import GdbTarget
from coronel_gdb.backends.gdb_session import Session, address_of, type_name
from coronel_gdb.errors import KernelError
from coronel_gdb.profiles.resolve import built_in, find
from coronel_gdb.profiles.schema import Place, Profile
from model.page_entry import ADDRESS_BITS, PRESENT
from model.types import PAGE_BYTES

_NAME = "coronel"
_FLAGS = (
    (1, "W"),
    (2, "U"),
    (3, "PWT"),
    (4, "PCD"),
    (5, "A"),
    (6, "D"),
    (7, "PS or PAT"),
    (8, "G"),
    (63, "NX"),
)
_NUMBERS = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long"}


def install(_: Session) -> None:
    """Put them before all others, once."""
    gdb.pretty_printers[:] = [item for item in gdb.pretty_printers if getattr(item, "name", "") != _NAME]
    gdb.pretty_printers.insert(0, _Lookup())


class _Seen:
    """A value of the kernel's, seen through the roles of a profile's section."""

    def __init__(
        self, value: "gdb.Value", profile: Profile, section: str, roles: Mapping[str, Place]
    ) -> None:
        self.value = value
        self.profile = profile
        self.section = section
        self._roles = roles

    def field(self, role: str) -> "gdb.Value":
        """The field in that role, also inside a member; of a role that is part of one, the whole field."""
        value = self.value
        for name in self._roles[role].field.split("."):
            value = value[name]
        return value

    def number(self, role: str) -> int:
        """It as an unsigned integer; an address class of the kernel's is the integer that it holds."""
        place, number = self._roles[role], self._whole(self.field(role))
        return number if place.mask is None else (number & place.mask) >> place.shift

    @staticmethod
    def _whole(field: "gdb.Value") -> int:
        if field.type.strip_typedefs().code != gdb.TYPE_CODE_STRUCT:
            return address_of(field)
        kind = gdb.lookup_type(_NUMBERS[field.type.sizeof])
        return int(field.address.cast(kind.pointer()).dereference())

    def constant(self, key: str) -> int:
        """A constant that the profile names, or gives as a number."""
        value = self.profile.sections[self.section][key]
        return value if isinstance(value, int) else address_of(gdb.parse_and_eval(str(value)))


def _block(seen: _Seen) -> str:
    magic, size, is_free = seen.number("magic"), seen.number("size"), seen.number("is_free")
    states = {seen.constant("magic_used"): "used", seen.constant("magic_free"): "free"}
    state = states.get(magic)
    if state is None:
        return f"no block: magic {magic:#x}"
    if is_free != (state == "free"):
        return f"damaged block: magic says {state}, is_free says {is_free}"
    address = seen.value.address
    place = "" if address is None else f", data at {address_of(address) + seen.value.type.sizeof:#x}"
    return f"{state} block of {size:,} bytes{place}"


def _frame(seen: _Seen) -> str:
    address = seen.number("address")
    return f"free frame {address:#x}" if address else "frame 0, or one that is not free"


def _region(seen: _Seen) -> str:
    start, size = seen.number("start"), seen.number("size")
    pages = f"{size // PAGE_BYTES:,} pages" if size % PAGE_BYTES == 0 else f"{size:#x} bytes"
    return f"free region {start:#x}..{start + size:#x}, {pages}"


def _process(seen: _Seen) -> str:
    name = seen.field("name").string("latin-1", errors="replace").rstrip("\0")
    root = seen.number("page_directory")
    return f"process {seen.number('pid')} ({name}), {seen.field('state')}, cr3 {root:#x}"


def _entry(seen: _Seen) -> str:
    entry = seen.number("value")
    if not entry & PRESENT:
        return f"not present ({entry:#x})"
    flags = " ".join(["P", *(name for bit, name in _FLAGS if entry >> bit & 1)])
    return f"{entry & ADDRESS_BITS:#x} {flags}"


_KINDS: tuple[tuple[str, str, str, tuple[str, ...], Callable[[_Seen], str]], ...] = (
    ("heap", "block", "block_fields", ("magic", "size", "is_free"), _block),
    ("user_heap", "block", "block_fields", ("magic", "size", "is_free"), _block),
    ("frames", "node", "node_fields", ("address",), _frame),
    ("regions", "node", "node_fields", ("start", "size"), _region),
    ("processes", "type", "fields", ("name", "page_directory", "pid", "state"), _process),
    ("page_entry", "type", "fields", ("value",), _entry),
)
"""Section of a profile, its keys of type and fields, the roles that are needed, what to say of a value."""

_Say = tuple[Profile, str, Mapping[str, Place], Callable[[_Seen], str]]


def _by_type(profiles: Iterable[Profile]) -> dict[str, _Say]:
    """What to say of a value, by its type's name."""
    found: dict[str, _Say] = {}
    for profile in profiles:
        for section, kind, fields, roles, say in _KINDS:
            table = profile.sections.get(section, {})
            places = profile.places(section, fields) if section in profile.sections else {}
            if kind in table and set(roles) <= set(places):
                found[type_name(str(table[kind]))] = (profile, section, places, say)
    return found


class _Lookup:
    """What GDB asks for a printer of each value; `name` and `enabled` are for `disable pretty-printer`."""

    name = _NAME
    enabled = True

    def __init__(self) -> None:
        self._of: dict[Path | None, dict[str, _Say]] = {}

    def __call__(self, value: "gdb.Value") -> "_Printer | None":
        kind = value.type.strip_typedefs().unqualified()
        if kind.code != gdb.TYPE_CODE_STRUCT or kind.name not in self._known():
            return None
        profile, section, roles, say = self._known()[kind.name]
        return _Printer(_Seen(value, profile, section, roles), say)

    def _known(self) -> dict[str, _Say]:
        """By type, for the program that is loaded; read when the first structure is printed."""
        target = GdbTarget()
        kernel = target.kernel()
        if kernel not in self._of:
            self._of[kernel] = {}  # finding the profile may print a structure itself
            try:
                fitting = [find(target.symbol, kernel)]
            except KernelError:
                fitting = list(built_in())
            self._of[kernel] = _by_type(fitting)
        return self._of[kernel]


class _Printer:
    """In a few words what the value is, then its own fields."""

    def __init__(self, seen: _Seen, say: Callable[[_Seen], str]) -> None:
        self._seen = seen
        self._say = say

    def to_string(self) -> str:
        """The words; where a value cannot be read, why."""
        try:
            return self._say(self._seen)
        except (gdb.error, gdb.MemoryError, gdb.GdbError) as error:
            return f"<{error}>"

    def children(self) -> Iterator[tuple[str, "gdb.Value"]]:
        """Every field that the structure has by itself."""
        for field in self._seen.value.type.strip_typedefs().fields():
            if hasattr(field, "bitpos") and field.name:  # a static member has no place
                yield field.name, self._seen.value[field]
