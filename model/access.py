"""One access to memory in 64-bit mode: walk, rights, keys, error code, A and D (SDM vol. 3A chapter 4).

`model.paging` says what the tables mean; here a CPU uses them. Rules R1 to R24 in the comments are
those of docs/hardware.md, where each is shown on executing hardware.

Not modelled and taken as off: CET shadow stacks, HLAT, SGX, LAM, LASS, nested paging.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from model.cpu_state import CpuState
from model.denial import (
    FETCH_BIT,
    KEY_BIT,
    PRESENT_BIT,
    RESERVED_BIT,
    USER_BIT,
    WRITE_BIT,
    Access,
    Cause,
    Denial,
    Operation,
    causes,
    denied,
)
from model.page_entry import ACCESSED, DIRTY, PAGE_SIZE, PRESENT
from model.paging import FaultReason, PageFault, ReadEntry, Step, Translation, canonical, walk
from model.types import PAGE_BYTES, U64_MASK, PhysicalAddress, VirtualAddress

__all__ = [
    "Access",
    "Allowed",
    "Cause",
    "Denial",
    "EntryUpdate",
    "Fault",
    "GeneralProtection",
    "Operation",
    "Outcome",
    "Unreadable",
    "access_bytes",
    "denied_error",
    "flag_updates",
    "judge",
    "perform",
    "stopped_error",
]


@dataclass(frozen=True, slots=True)
class EntryUpdate:
    """An entry that the CPU writes: A is set, or A and D (SDM §4.8)."""

    entry_address: PhysicalAddress
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """The access happens; `updates` are the entries that change, each once, the top first."""

    translation: Translation
    updates: tuple[EntryUpdate, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """#PF: `error_code` as the CPU pushes it, CR2, and every cause, the one that decides first.

    `result` is the walk: complete where rights or keys denied, else where it stopped. `may_update`
    lists the entries in which a CPU may have set A although the access failed: the SDM leaves that
    open, so any subset of it is right (rule R22). D is never set.
    """

    virtual: VirtualAddress
    error_code: int
    causes: tuple[Cause, ...]
    result: Translation | PageFault
    may_update: tuple[EntryUpdate, ...]

    @property
    def cr2(self) -> VirtualAddress:
        """The address that CR2 holds: the one accessed (SDM §4.7, rule R20)."""
        return self.virtual


@dataclass(frozen=True, slots=True)
class GeneralProtection:
    """#GP(0), or #SS(0) for a stack reference: not canonical. No walk, CR2 stays (vol. 1 §3.3.7.1)."""

    virtual: VirtualAddress


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No answer: a table lies where the caller's memory has nothing (`result.table`)."""

    virtual: VirtualAddress
    result: PageFault


Outcome = Allowed | Fault | GeneralProtection | Unreadable


def flag_updates(steps: tuple[Step, ...], *, dirty: bool) -> tuple[EntryUpdate, ...]:
    """What becomes of the entries of `steps`: A in each, D in the last when `dirty` (SDM §4.8, rule R21).

    An entry that a table of itself makes used twice is one word of memory and comes once. Entries
    that would not change are left out.
    """
    words: dict[PhysicalAddress, tuple[int, int]] = {}
    for number, step in enumerate(steps, 1):
        before, after = words.get(step.entry_address, (step.entry, step.entry))
        after |= ACCESSED
        # Bit 6 of an entry that maps no page is ignored, and is never written.
        if dirty and number == len(steps):
            after |= DIRTY
        words[step.entry_address] = before, after
    return tuple(EntryUpdate(at, *word) for at, word in words.items() if word[0] != word[1])


def _access_bits(access: Access, state: CpuState) -> int:
    """Bits W, U and I of the error code: they describe the access, not the tables (SDM §4.7, rule R19)."""
    code = WRITE_BIT if access.operation is Operation.WRITE else 0
    code |= USER_BIT if access.user_mode else 0
    # I says "fetch" only on a CPU that could deny one: EFER.NXE or CR4.SMEP.
    if access.operation is Operation.FETCH and (state.mode.nx_enabled or state.smep):
        code |= FETCH_BIT
    return code


def stopped_error(reason: FaultReason, state: CpuState, access: Access) -> int:
    """The error code of a walk that ended at an entry (SDM §4.7): not present, or reserved bits."""
    code = _access_bits(access, state)
    # RSVD is set only together with P: the entry was present, or its bits were not looked at (R7, R8).
    return code | PRESENT_BIT | RESERVED_BIT if reason is FaultReason.RESERVED_BIT else code


def denied_error(denial: Denial, state: CpuState, access: Access) -> int:
    """The error code of an address that is translated but may not be used so (SDM §4.7)."""
    code = _access_bits(access, state) | PRESENT_BIT
    # PK is set when the key denies, whether or not something else does as well (R19; open point O1).
    return code | KEY_BIT if denial & (Denial.KEY_ACCESS | Denial.KEY_WRITE) else code


def _stopped(stop: PageFault, state: CpuState, access: Access) -> Fault:
    last = stop.steps[-1]
    missing = stop.reason is FaultReason.NOT_PRESENT
    # R11: the first such entry ends the walk before rights count, so it is the only cause.
    if missing:
        denial, bits, control = Denial.NOT_PRESENT, PRESENT, None
    else:
        denial, bits = Denial.RESERVED, stop.reserved_bits
        control = _why_reserved(stop, state)
    cause = Cause(denial, last.level, last.entry_address, bits, control)
    updates = flag_updates(stop.steps[:-1], dirty=False)
    code = stopped_error(stop.reason, state, access)
    return Fault(stop.virtual, code, (cause,), stop, updates)


def _why_reserved(stop: PageFault, state: CpuState) -> str | None:
    """What makes reserved bits reserved, as far as it is not their place in the entry alone (R8)."""
    why = []
    if stop.reserved_bits & ((1 << 52) - (1 << state.mode.physical_bits)):
        why.append(f"MAXPHYADDR = {state.mode.physical_bits}")
    if stop.reserved_bits >> 63:
        why.append("EFER.NXE = 0")
    if stop.reserved_bits & PAGE_SIZE and stop.steps[-1].level.span_bytes == 1 << 30:
        why.append("no 1-GByte pages")
    return ", ".join(why) or None


def judge(result: Translation | PageFault, state: CpuState, access: Access) -> Outcome:
    """What comes of an access whose walk gave `result`, walked in `state.mode`."""
    if isinstance(result, PageFault):
        match result.reason:
            case FaultReason.NON_CANONICAL:  # R3: before anything else, whoever asks
                return GeneralProtection(result.virtual)
            case FaultReason.UNREADABLE:
                return Unreadable(result.virtual, result)
            case _:
                return _stopped(result, state, access)
    denial = denied(result.rights, result.leaf, state, access)
    if denial:
        code = denied_error(denial, state, access)
        found = tuple(causes(denial, result, state, access))
        return Fault(result.virtual, code, found, result, flag_updates(result.steps, dirty=False))
    dirty = access.operation is Operation.WRITE
    return Allowed(result, flag_updates(result.steps, dirty=dirty))


def perform(
    read_entry: ReadEntry, root: PhysicalAddress, address: VirtualAddress, state: CpuState, access: Access
) -> Outcome:
    """One access that lies inside a page, with the tables of CR3 value `root`. Nothing is written."""
    return judge(walk(read_entry, root, address, state.mode), state, access)


def _pages(address: int, size_bytes: int) -> Iterator[VirtualAddress]:
    """The first byte of an access in each page it touches, the lower page first."""
    yield VirtualAddress(address)
    for page in range(address // PAGE_BYTES + 1, (address + size_bytes - 1) // PAGE_BYTES + 1):
        yield VirtualAddress(page * PAGE_BYTES & U64_MASK)


def access_bytes(
    read_entry: ReadEntry,
    root: PhysicalAddress,
    address: VirtualAddress,
    size_bytes: int,
    state: CpuState,
    access: Access,
) -> tuple[Outcome, ...]:
    """An access of some bytes: one outcome for each page, ending with the first that is not `Allowed`.

    The lower page comes first, and what was set in its entries stays when the next one fails (rule
    R20). An address of which any byte is not canonical is refused before any page is walked. Past
    2**64 the addresses go on at 0.
    """
    pages = tuple(_pages(address, size_bytes))
    for page in pages:
        if not canonical(page, state.mode.levels):
            return (GeneralProtection(page),)
    written: dict[PhysicalAddress, int] = {}

    def read(at: PhysicalAddress) -> int | None:
        return written[at] if at in written else read_entry(at)

    outcomes: list[Outcome] = []
    for page in pages:
        outcome = perform(read, root, page, state, access)
        outcomes.append(outcome)
        if not isinstance(outcome, Allowed):
            break
        written |= {update.entry_address: update.after for update in outcome.updates}
    return tuple(outcomes)
