"""A page and every way to use it, and one formula for all of it, written from the SDM's sentences.

A combination says which bits the PDE and the PTE have, how the CPU is set and what is tried; the two
entries above allow everything. The formula knows nothing of the model: it is one expression for each
question (present? reserved? allowed? key?), where the model walks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

# MAXPHYADDR of all combinations: bits 36 and 51 are reserved.
PHYSICAL_BITS = 36
KEY = 5

_BOOL = (False, True)
# CR4.PKE and CR4.PKS, and AD and WD of the key in both registers where one of them counts.
_KEYS = tuple(
    (pke, pks, ad, wd) for pke, pks, ad, wd in product(_BOOL, repeat=4) if pke or pks or not (ad or wd)
)
# CR4.SMAP and RFLAGS.AC.
_SMAP = ((False, False), (True, False), (True, True))
_CPUS = tuple(product(_BOOL, _BOOL, _BOOL, _SMAP, _KEYS))  # NXE, WP, SMEP
_ACCESSES = tuple(product(("read", "write", "fetch"), _BOOL))
# P, A, W, U, D, NX of one entry, and which reserved bit it has; only a PDE with PS has one at 13.
_FLAGS = tuple(product(_BOOL, repeat=6))
_RESERVED_BELOW = (None, ("pde", 51), ("pde", 36), ("pte", 51), ("pte", 36))
_RESERVED_LARGE = (None, ("pde", 51), ("pde", 36), ("pde", 13))
_SMALL = len(_FLAGS) * len(_FLAGS) * len(_RESERVED_BELOW)
_LARGE = len(_FLAGS) * len(_RESERVED_LARGE)
COMBINATIONS = len(_CPUS) * len(_ACCESSES) * (_SMALL + _LARGE)


@dataclass(frozen=True, slots=True)
class Entry:
    """The bits of an entry that are varied."""

    p: bool
    a: bool
    w: bool
    u: bool
    d: bool
    nx: bool
    reserved: int | None

    @property
    def raw(self) -> int:
        """The entry without its address, PS and key."""
        bits = (self.p, self.w, self.u, False, False, self.a, self.d)
        value = sum(1 << number for number, bit in enumerate(bits) if bit) | self.nx << 63
        return value | (1 << self.reserved if self.reserved is not None else 0)


@dataclass(frozen=True, slots=True)
class Combination:
    """One of `COMBINATIONS`; `pte` is None for a 2-MByte page."""

    nxe: bool
    wp: bool
    smep: bool
    smap: bool
    ac: bool
    pke: bool
    pks: bool
    ad: bool
    wd: bool
    operation: str
    user: bool
    pde: Entry
    pte: Entry | None


def _entry(flags: tuple[bool, ...], reserved: int | None) -> Entry:
    p, a, w, u, d, nx = flags
    return Entry(p, a, w, u, d, nx, reserved)


def combination(number: int) -> Combination:
    """Combination `number`, from 0 on."""
    number, cpu = divmod(number, len(_CPUS))
    number, access = divmod(number, len(_ACCESSES))
    nxe, wp, smep, (smap, ac), (pke, pks, ad, wd) = _CPUS[cpu]
    operation, user = _ACCESSES[access]

    def made(pde: Entry, pte: Entry | None) -> Combination:
        return Combination(nxe, wp, smep, smap, ac, pke, pks, ad, wd, operation, user, pde, pte)

    if number < _LARGE:
        flags, reserved = divmod(number, len(_RESERVED_LARGE))
        which = _RESERVED_LARGE[reserved]
        return made(_entry(_FLAGS[flags], which[1] if which else None), None)
    number, below = divmod(number - _LARGE, len(_RESERVED_BELOW))
    upper, lower = divmod(number, len(_FLAGS))
    spot = _RESERVED_BELOW[below]
    at = {spot[0]: spot[1]} if spot else {}
    return made(_entry(_FLAGS[upper], at.get("pde")), _entry(_FLAGS[lower], at.get("pte")))


@dataclass(frozen=True, slots=True)
class Answer:
    """The error code, None when the access is allowed; then A and D as they are afterwards."""

    error: int | None
    marks: tuple[tuple[bool, bool], ...]


def _used(c: Combination) -> Iterator[Entry]:
    yield c.pde
    if c.pte is not None:
        yield c.pte


def formula(c: Combination) -> Answer:
    """SDM vol. 3A §4.5 to §4.8, by questions instead of by a walk."""
    entries = tuple(_used(c))
    write, fetch = c.operation == "write", c.operation == "fetch"
    bad = [e.reserved is not None or (e.nx and not c.nxe) for e in entries]
    # §4.7: the first entry that is not present or has a reserved bit decides.
    stopped = next((n for n, e in enumerate(entries) if not e.p or bad[n]), None)
    code = 2 * write + 4 * c.user + 16 * (fetch and (c.nxe or c.smep))
    if stopped is not None:
        return Answer(code + 9 * entries[stopped].p, ())
    user_page, writable = all(e.u for e in entries), all(e.w for e in entries)
    executable = not any(e.nx for e in entries)
    # §4.6.2
    counts = c.pke if user_page else c.pks
    key_denies = not fetch and counts and (c.ad or (c.wd and write and (c.user or c.wp)))
    # §4.6.1
    privilege = user_page if c.user else not (
        user_page and ((fetch and c.smep) or (not fetch and c.smap and not c.ac))
    )  # fmt: skip
    writes = not write or writable or not (c.user or c.wp)
    runs = not fetch or executable
    if privilege and writes and runs and not key_denies:
        # §4.8
        last = len(entries) - 1
        return Answer(None, tuple((True, e.d or (write and n == last)) for n, e in enumerate(entries)))
    return Answer(code + 1 + 32 * key_denies, ())
