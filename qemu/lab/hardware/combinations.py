"""Sets of tables and uses, and the model held against the formula over all of a set, or a draw of it."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from typing import Final

from lab.hardware.formula import Answer, Entry, Tables, Use, formula
from lab.hardware.run import SHOWN_MAX, Count
from model.access import Allowed, Fault, Outcome, judge
from model.cpu_state import CpuState
from model.denial import KEY_BIT, PRESENT_BIT, RESERVED_BIT, Access, Operation
from model.page_entry import ACCESSED, DIRTY, PAGE_SIZE, WRITABLE, PagingMode
from model.paging import PageFault, Translation, walk
from model.types import PhysicalAddress, VirtualAddress

# MAXPHYADDR of all combinations: bits 36 and 51 are reserved.
PHYSICAL_BITS: Final = 36
KEY: Final = 5
PML4E, PDPTE, PDE, PTE = 0x1000, 0x2000, 0x3000, 0x4000
ADDRESS: Final = VirtualAddress(0x123)
CHUNKS: Final = 128

_BOOL: Final = (False, True)
_READ: Final = Access(Operation.READ)
# P, A, W, U, D, NX.
_FLAGS: Final = tuple(product(_BOOL, repeat=6))
_ACCESSES: Final = tuple(product(("read", "write", "fetch"), _BOOL))


@dataclass(frozen=True, slots=True)
class Combinations:
    """A set: every use of all tables, but those that `legal` leaves out."""

    name: str
    tables: Callable[[], tuple[Tables, ...]]
    uses: Callable[[], tuple[Use, ...]]
    legal: Callable[[Tables, Use], bool] = lambda _tables, _use: True


def _entry(flags: tuple[bool, ...], reserved: int | None = None) -> Entry:
    p, a, w, u, d, nx = flags
    return Entry(p, a, w, u, d, nx, reserved)


@cache
def _own_tables() -> tuple[Tables, ...]:
    absent = _entry((False,) * 6)
    # At most one of the reserved bits; only a PDE with PS has one at 13.
    large = (Tables(_entry(flags, bit), absent, large=True) for flags in _FLAGS for bit in (None, 51, 36, 13))
    below = ((None, None), (51, None), (36, None), (None, 51), (None, 36))
    small = (
        Tables(_entry(upper, first), _entry(lower, second))
        for upper in _FLAGS for lower in _FLAGS for first, second in below
    )  # fmt: skip
    return (*large, *small)


@cache
def _own_uses() -> tuple[Use, ...]:
    # CR4.PKE and CR4.PKS, and AD and WD of the key in both registers where one of them counts.
    keys = [key for key in product(_BOOL, _BOOL, _BOOL, _BOOL) if key[0] or key[1] or not (key[2] or key[3])]
    smap = ((False, False), (True, False), (True, True))  # CR4.SMAP and RFLAGS.AC
    return tuple(
        Use(nxe, wp, smep, *opened, *key, *access)
        for nxe, wp, smep, opened, key, access in product(_BOOL, _BOOL, _BOOL, smap, keys, _ACCESSES)
    )


@cache
def _kut_tables() -> tuple[Tables, ...]:
    """At most one of bits 51 and 13, whatever the size: 13 in a PDE with PS alone."""
    spots = [(None, None), (51, None), (None, 51), (13, None)]
    return tuple(
        Tables(_entry(upper, first), _entry(lower, second), large, upper_w, keyed)
        for upper, lower, (first, second), large, upper_w, keyed in product(
            _FLAGS, _FLAGS, spots, _BOOL, _BOOL, _BOOL
        )
        if large or first != 13
    )


@cache
def _kut_uses() -> tuple[Use, ...]:
    keys = [key for key in product(_BOOL, _BOOL, _BOOL) if key[0] or not (key[1] or key[2])]
    return tuple(
        Use(nxe, wp, False, False, False, pke, False, ad, wd, *access, twice)
        for nxe, wp, (pke, ad, wd), access, twice in product(_BOOL, _BOOL, keys, _ACCESSES, _BOOL)
    )


def _kut_legal(tables: Tables, use: Use) -> bool:
    """Without NXE bit 63 is a reserved bit as well, and one at a time is enough."""
    if use.nxe:
        return True
    pde, pte = tables.pde, tables.pte
    return (pde.reserved is not None) + (pte.reserved is not None) + pde.nx + pte.nx <= 1


OWN: Final = Combinations("PDE and PTE in every state of the CPU", _own_tables, _own_uses)
# Without CR4.SMEP, and bit 36 as an address bit: what that program finds legal on a CPU with MAXPHYADDR 40.
KUT: Final = Combinations("the legal set of kvm-unit-tests", _kut_tables, _kut_uses, _kut_legal)
SETS: Final = (OWN, KUT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A use, as the model is told of it."""

    use: Use
    state: CpuState
    access: Access

    @classmethod
    def of(cls, use: Use) -> "Attempt":
        """The registers and the access that `use` means."""
        keys = (use.ad | use.wd << 1) << (2 * KEY)
        state = CpuState(
            PagingMode(4, PHYSICAL_BITS, use.nxe),
            wp=use.wp, smep=use.smep, smap=use.smap, ac=use.ac,
            pke=use.pke, pks=use.pks, pkru=keys, pkrs=keys,
        )  # fmt: skip
        return cls(use, state, Access(Operation(use.operation), user=use.user))


class Modelled:
    """The model's answers about one set of tables: walked once for each mode, judged for each use."""

    def __init__(self, tables: Tables) -> None:
        key = KEY << 59 if tables.keyed else 0
        pde = tables.pde.raw | (PAGE_SIZE | key if tables.large else PTE)
        upper = 0x2007 if tables.upper_w else 0x2007 & ~WRITABLE
        self._entries = {PML4E: upper, PDPTE: 0x3007, PDE: pde, PTE: tables.pte.raw | 0x5000 | key}
        self._walks: dict[tuple[bool, int, int], Translation | PageFault] = {}

    def answer(self, attempt: Attempt) -> Answer:
        """What the model says of one use."""
        entries = self._entries
        if attempt.use.twice:
            first = self._outcome(entries, attempt.state, _READ)
            if isinstance(first, Allowed) and first.updates:
                entries = entries | {update.entry_address: update.after for update in first.updates}
        outcome = self._outcome(entries, attempt.state, attempt.access)
        if isinstance(outcome, Fault):
            return Answer(outcome.error_code)
        assert isinstance(outcome, Allowed)
        after = {update.entry_address: update.after for update in outcome.updates}
        pde, pte = after.get(_PDE_AT, entries[PDE]), after.get(_PTE_AT, entries[PTE])
        return Answer(None, (pde & ACCESSED != 0, pde & DIRTY != 0, pte & ACCESSED != 0, pte & DIRTY != 0))

    def _outcome(self, entries: dict[int, int], state: CpuState, access: Access) -> Outcome:
        # What a walk is given: the mode, of which NXE alone varies, and the entries, of which two change.
        key = state.mode.nx_enabled, entries[PDE], entries[PTE]
        if key not in self._walks:
            self._walks[key] = walk(entries.get, PhysicalAddress(PML4E), ADDRESS, state.mode)
        return judge(self._walks[key], state, access)


_PDE_AT, _PTE_AT = PhysicalAddress(PDE), PhysicalAddress(PTE)


def compare(combinations: Combinations, share: float, seed: int) -> Iterator[Count]:
    """Compare a share of a set on all processors, chunk by chunk; 1 is every combination of it."""
    workers = len(os.sched_getaffinity(0))
    work = partial(compare_chunk, combinations.name, share=share, seed=seed)
    # Left early, the pool ends its processes in the middle of their work.
    with get_context("fork").Pool(workers, _quiet) as pool:
        yield from pool.imap(work, range(CHUNKS))


def _quiet() -> None:
    """Signals are the parent's affair."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)


def compare_chunk(name: str, number: int, share: float, seed: int) -> Count:
    """One of `CHUNKS` parts of a set: every 128th of its tables, each with a share of its uses."""
    combinations = next(found for found in SETS if found.name == name)
    chance = random.Random(f"{seed} {name} {number}")
    count = Count()
    attempts = [Attempt.of(use) for use in combinations.uses()]
    for tables in combinations.tables()[number::CHUNKS]:
        drawn = attempts
        if share < 1:
            drawn = chance.sample(attempts, int(share * len(attempts) + chance.random()))
        _compare_tables(count, tables, [one for one in drawn if combinations.legal(tables, one.use)])
    return count


def _compare_tables(count: Count, tables: Tables, attempts: list[Attempt]) -> None:
    modelled = Modelled(tables)
    rules = count.tally.rules
    for attempt in attempts:
        expected, found = formula(tables, attempt.use), modelled.answer(attempt)
        rules[_rule(expected.error)] += 1
        if found != expected:
            count.wrong += 1
            if len(count.shown) < SHOWN_MAX:
                count.shown.append(f"{tables} {attempt.use}: model {found}, formula {expected}")
    count.groups += 1
    count.cases += len(attempts)


def _rule(error: int | None) -> str:
    """The kind of an answer, by its error code (SDM §4.7)."""
    if error is None:
        return "allowed"
    if not error & PRESENT_BIT:
        return "not present"
    if error & RESERVED_BIT:
        return "reserved bit"
    return "denied by a key" if error & KEY_BIT else "denied by rights"
