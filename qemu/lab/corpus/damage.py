"""What is done to a place: one case is some bytes at physical addresses, and the truth about them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from lab.corpus.places import Boundary, Place, boundaries, written
from lab.corpus.snapshot import Snapshot
from model.page_entry import ACCESSED, DIRTY, PRESENT

KINDS = ("bit flip", "byte", "zero", "minus one", "pointer", "small step", "copy")
_TEXTS = (b"The quick brown fox ", b"/usr/share/kernel/", b"%s: no such file\n", b"AAAAAAAAAAAAAAAA")
_LONGEST_RUN_BYTES = 200


@dataclass(frozen=True, slots=True)
class Case:
    """One damage: `patches` by physical address; a finding must carry one of `names` to have found the place.

    `culprit` is the header of the block that overflowed, None where the damage has no culprit.
    `silent` says why nothing can be observed, and is empty where something must be. `stop` tells where it
    was done.
    """

    noun: str
    field: str
    kind: str
    patches: dict[int, bytes]
    names: frozenset[int]
    culprit: int | None = None
    silent: str = ""
    stop: str = ""

    def __str__(self) -> str:
        """All that is needed to do it again."""
        patches = ", ".join(f"{at:#x}: {data.hex()}" for at, data in self.patches.items())
        return f"{self.noun}.{self.field} {self.kind} at {self.stop} ({patches})"


def single(alike: Sequence[Place], snapshot: Snapshot, random: Random) -> Case | None:
    """A field of one of the places changed in one of the ways of `KINDS`; None when that changes nothing."""
    place, kind = random.choice(alike), random.choice(KINDS)
    old = snapshot.bytes_at(place.physical, place.size_bytes)
    number = int.from_bytes(old, "little")
    if kind == "copy":
        other = random.choice(alike)
        new = int.from_bytes(snapshot.bytes_at(other.physical, place.size_bytes), "little")
    else:
        new = _changed(kind, number, (1 << 8 * place.size_bytes) - 1, random)
    data = new.to_bytes(place.size_bytes, "little")
    if data == old:
        return None
    silent = _silent(place, number, new)
    where = snapshot.name
    return Case(place.noun, place.field, kind, {place.physical: data}, place.names, None, silent, where)


def _changed(kind: str, number: int, mask: int, random: Random) -> int:
    """The field's new value."""
    if kind == "bit flip":
        return number ^ 1 << random.randrange(mask.bit_length())
    if kind == "byte":
        return number & ~0xFF | random.randrange(256)
    if kind == "pointer":
        return (0xFFFF_FFFF_8040_0000 + 16 * random.randrange(1 << 12)) & mask
    if kind == "small step":
        return (number + random.choice((-16, -1, 1, 16))) & mask
    return 0 if kind == "zero" else mask


def overflow(boundary: Boundary, snapshot: Snapshot, random: Random) -> Case | None:
    """A text that runs 1–200 bytes over the end of a block."""
    length = random.randint(1, _LONGEST_RUN_BYTES)
    # What lies behind the next block's end belongs to others as well; the culprit stays the same.
    inside = boundary.after.size_bytes + 48
    length = min(length, inside)
    lead = random.randint(0, min(32, boundary.before.size_bytes))
    text = (random.choice(_TEXTS) * 20)[: lead + length]
    header = boundary.after.address
    if boundary.space.read(header, min(length, 40)) == text[lead : lead + 40]:
        return None
    names = frozenset({int(boundary.after.address)})
    noun = "user heap block" if boundary.user else "heap block"
    culprit = boundary.before.address
    patches = written(boundary.space, header - lead, text)
    return Case(noun, "overflow", "text run", patches, names, culprit, stop=snapshot.name)


def swap(edges: Sequence[Boundary], snapshot: Snapshot, random: Random) -> Case | None:
    """Two headers of one heap changed places."""
    one = random.choice(edges)
    others = [edge for edge in edges if edge.heap == one.heap and edge is not one]
    if not others:
        return None
    other = random.choice(others)
    first, second = (edge.space.read(edge.after.address, 40) for edge in (one, other))
    if first == second:
        return None
    names = frozenset({int(one.after.address), int(other.after.address)})
    patches = written(one.space, one.after.address, second) | written(other.space, other.after.address, first)
    noun = "user heap block" if one.user else "heap block"
    return Case(noun, "headers", "swap", patches, names, stop=snapshot.name)


def cases(snapshot: Snapshot, found: list[Place], random: Random, count: int) -> Iterator[Case]:
    """`count` cases, a third of them overflows and swaps; every noun and field in turn."""
    edges = boundaries(snapshot)
    by_field: dict[tuple[str, str], list[Place]] = {}
    for place in found:
        by_field.setdefault((place.noun, place.field.split("[")[0]), []).append(place)
    turn = list(by_field.values())
    made = 0
    while made < count:
        choice = random.random()
        case: Case | None
        if choice < 0.28 and edges:
            case = overflow(random.choice(edges), snapshot, random)
        elif choice < 0.33 and edges:
            case = swap(edges, snapshot, random)
        else:
            case = single(turn[made % len(turn)], snapshot, random)
        if case is not None:
            made += 1
            yield case


_COUNTERS_OF_REFUSALS = "counts refusals, nothing in memory can say how many there were"
_LAST_STATE = 2
_ONE_MIB = 1 << 20
_BUSY = {"paging::lock_": 1, "g_process_changes": 1 << 10}
_SILENT_FIELDS = {
    ("heap", "errors"): _COUNTERS_OF_REFUSALS,
    ("frame manager", "errors"): _COUNTERS_OF_REFUSALS,
    ("region manager", "errors"): _COUNTERS_OF_REFUSALS,
    ("process", "heap_errors"): _COUNTERS_OF_REFUSALS,
    ("process mmap", "errors"): _COUNTERS_OF_REFUSALS,
    ("heap", "num_expansions"): "a region that was joined to the one before leaves no trace of its own",
    ("process", "exit_code"): "of no meaning before the process has ended",
    ("process", "name"): "any text is a name",
}


def _silent_boot(place: Place, field: str, old: int, new: int) -> str:
    """The same of what the boot left."""
    if place.noun == "variable" and 0 < new <= _BUSY.get(field, 0):
        return "what the word holds while something is being changed: busy, and said so"
    if place.noun == "memory map" and field in ("ram", "reserved") and not place.counts:
        return "behind the count of a list of ranges: nobody reads it"
    if place.noun == "memory map" and field == "ram" and max(old, new) < _ONE_MIB and not new & 0xFFF:
        return "RAM below the first MiB is never managed: the boot's copy is the only one that knows of it"
    if place.noun == "trace" and field == "capacity" and -(-old // 64) == -(-new // 64):
        return "a ring of as many pages, of which the last records are not written yet"
    return ""


def _silent(place: Place, old: int, new: int) -> str:
    """Why a change has no consequence that memory could show."""
    field = place.field.split("[")[0]
    if why := _silent_boot(place, field, old, new):
        return why
    if (place.noun, field) in _SILENT_FIELDS:
        return _SILENT_FIELDS[place.noun, field]
    if field in ("locked", "heap_locked") and new == 1:
        return "1 is what a lock holds while a CPU is inside the manager: busy, and said so"
    if place.noun == "process" and field == "state" and new <= _LAST_STATE:
        return "a process may be ready, paused or ended at any stop"
    if place.noun == "process" and field == "pid" and new > old:
        return "the last process of the list may have any higher pid"
    shrunk = {"size": new < old, "start": new > old}.get(field, False)
    if place.noun in ("region node", "process mmap node") and shrunk and not new & 0xFFF:
        return "a smaller free region is what a region is after an allocation; nothing need be mapped there"
    if place.field == "entry" and (old ^ new) & ~(ACCESSED | DIRTY) == 0 and old & PRESENT:
        return "the CPU itself sets accessed and dirty"
    return ""
