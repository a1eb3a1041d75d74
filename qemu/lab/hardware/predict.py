"""What each case must give: the model's answer, and an engine's own where it deviates by name."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

from lab.hardware.engines import Engine
from lab.hardware.expected import Expected, Tally
from lab.hardware.vectors import TEST_RAM, VECTORS, Case, Flag, Group, Kind, Where
from model.access import denied_error, flag_updates, stopped_error
from model.cpu_state import CpuState
from model.denial import Access, Operation, denied
from model.page_entry import ACCESSED, ADDRESS_BITS, DIRTY, ENTRY_BYTES, PagingMode
from model.paging import FaultReason, PageFault, Translation, walk
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

NO_EXCEPTION, UNDEFINED, NOT_PRESENT_SEGMENT, PROTECTION, PAGE_FAULT = 255, 6, 11, 13, 14
# Devices of the machine: reading them means nothing.
DEVICES: Final = range(0xFEC0_0000, 1 << 32)
_WORD: Final = (1 << 64) - 1
DESCRIPTOR_ACCESSED: Final = 1 << 40
DESCRIPTOR_PRESENT: Final = 1 << 47
LDT_SELECTOR_ERROR: Final = 4
OWN_SLOT: Final = 511  # of the top table
# Plain integers: flags of an enumeration are slow to combine, and this runs for millions of cases.
NXE, CPL3 = int(Flag.NXE), int(Flag.CPL3)
_WP, _SMEP, _SMAP, _PKE, _PKS, _PGE, _AC = (
    int(getattr(Flag, name)) for name in ("WP", "SMEP", "SMAP", "PKE", "PKS", "PGE", "AC")
)
REFUSED: Final = -1

_OPERATIONS: Final[dict[int, Operation]] = {
    Kind.READ1: Operation.READ, Kind.READ8: Operation.READ, Kind.WRITE1: Operation.WRITE,
    Kind.WRITE8: Operation.WRITE, Kind.FETCH: Operation.FETCH, Kind.LOAD: Operation.READ,
    Kind.MODIFY: Operation.WRITE,
}  # fmt: skip
_EIGHT_BYTES: Final = (Kind.READ8, Kind.WRITE8)
_READS: Final = (Kind.READ1, Kind.READ8)
_WRITES: Final = (Kind.WRITE1, Kind.WRITE8)


class Verdict(NamedTuple):
    """The error code of one access, None when it is allowed, and the deviations that made it so."""

    error: int | None
    deviations: tuple[str, ...] = ()


@cache
def _access(operation: Operation, user: bool, implicit: bool) -> Access:
    return Access(operation, user=user, implicit=implicit)


def _state(mode: PagingMode, case: Case) -> CpuState:
    flags = case.flags
    return CpuState(
        mode,
        wp=bool(flags & _WP), smep=bool(flags & _SMEP), smap=bool(flags & _SMAP),
        pke=bool(flags & _PKE), pks=bool(flags & _PKS), pge=bool(flags & _PGE),
        ac=bool(flags & _AC), pkru=case.pkru, pkrs=case.pkrs,
    )  # fmt: skip


@dataclass(slots=True)
class _Page:
    """One page that an access touches: its walk, and what the walk makes of the entries' flags."""

    linear: int
    result: Translation | PageFault
    read_flags: int
    write_flags: int
    may: int
    forced: int
    deviations: tuple[str, ...]

    @property
    def judged_by(self) -> tuple[object, ...]:
        """All of the walk that an access to its end is judged by."""
        if isinstance(self.result, PageFault):
            return (self.result.reason,)
        rights = self.result.rights
        return rights.writable, rights.user, rights.executable, self.result.leaf >> 59 & 15


class Predictor:
    """Predicts groups for one engine, walked with MAXPHYADDR and 1-GByte pages as its CPU has them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tally = Tally()
        self._verdicts: dict[tuple[object, ...], Verdict] = {}
        self._counts: Counter[tuple[str, tuple[str, ...], bool]] = Counter()
        self._modes = {
            nxe: PagingMode(engine.levels, engine.physical_bits, nxe, engine.huge_pages)
            for nxe in (False, True)
        }

    def take(self, group: Group) -> list[Expected]:
        """Choose hints, drop what cannot be run, and say what the rest gives, in the order of `group.cases`.

        A case is dropped when it would write, run or load what lies outside the test's memory, and a
        walk when it reads memory of which nothing is known.
        """
        pages = {nxe: self._pages(group, nxe=nxe) for nxe in {bool(case.flags & NXE) for case in group.cases}}
        if not self._choose_hints(group, pages):
            self.tally.omitted["the walk reads memory outside the test's"] += len(group.cases)
            group.cases = []
            return []
        trial = _Trial(group, pages)
        kept, expected = [], []
        for case in group.cases:
            reason = self.engine.omits(group, case)
            if reason is not None:
                self.tally.omitted[reason] += 1
                continue
            found = self._case(trial, case)
            if found is not None:
                kept.append(case)
                expected.append(found)
        group.cases = kept
        return expected

    def _read(self, group: Group, at: PhysicalAddress) -> int | None:
        if at in group.entries:
            return group.entries[at]
        if at == (group.cr3 & ADDRESS_BITS) + ENTRY_BYTES * OWN_SLOT:
            return None  # the harness itself
        if TEST_RAM <= at < VECTORS or self.engine.high_ram(at):
            return 0
        if at < self.engine.memory_bytes or at in DEVICES:
            return None
        return self.engine.unbacked

    def _pages(self, group: Group, *, nxe: bool) -> list[_Page]:
        """The walks of the page that is accessed and, where 8 bytes cross into it, of the next one."""
        linears = [group.linear]
        if group.crosses:
            linears.append((group.linear // PAGE_BYTES + 1) * PAGE_BYTES)
        return [self._page(group, linear, nxe=nxe) for linear in linears]

    def _page(self, group: Group, linear: int, *, nxe: bool) -> _Page:
        def read(at: PhysicalAddress) -> int | None:
            return self._read(group, at)

        result = walk(read, PhysicalAddress(group.cr3), VirtualAddress(linear), self._modes[nxe])
        real, deviations = self.engine.walked(result, read, group.cr3, linear, self._modes[nxe])
        result = real
        places = {at: 2 * number for number, at in enumerate(group.entries)}

        def flags(*, dirty: bool) -> int:
            steps = result.steps if isinstance(result, Translation) else result.steps[:-1]
            found = 0
            for update in flag_updates(steps, dirty=dirty):
                found |= (
                    ((update.after ^ update.before) & (ACCESSED | DIRTY)) >> 5 << places[update.entry_address]
                )
            return found

        if isinstance(result, Translation):
            return _Page(
                linear, result, flags(dirty=False), flags(dirty=True), flags(dirty=False), 0, deviations
            )
        forced, more = self.engine.marks_although(result)
        mark = 1 << places[result.steps[-1].entry_address] if forced else 0
        return _Page(linear, result, 0, 0, flags(dirty=False), mark, deviations + more)

    def _choose_hints(self, group: Group, pages: dict[bool, list[_Page]]) -> bool:
        """Put a word of known content at the end of each walk; False when a walk cannot be known."""
        found: dict[int, int] = {}
        walked = {
            step.entry_address for each in pages.values() for page in each for step in page.result.steps
        }
        for each in pages.values():
            for number, page in enumerate(each):
                if isinstance(page.result, PageFault):
                    if page.result.reason is FaultReason.UNREADABLE:
                        return False
                    continue
                at = page.result.physical & ~7
                if self._safe(group, at, walked):
                    found[at] = group.hint_value if number == 0 else group.hint_value ^ 0xFFFF_0000_FFFF_0000
        group.hints = list(found.items())
        return len(found) <= 2

    def _safe(self, group: Group, at: int, walked: set[PhysicalAddress]) -> bool:
        inside = TEST_RAM <= at <= VECTORS - ENTRY_BYTES or self.engine.high_ram(at)
        return (
            inside
            and at not in group.entries
            and at not in walked
            and at != (group.cr3 & ADDRESS_BITS) + ENTRY_BYTES * OWN_SLOT
        )

    def _stages(self, trial: "_Trial", case: Case) -> tuple[tuple[int, Access], ...]:
        """The accesses that the CPU makes for a case, in their order: which page, and how (R20)."""
        user = bool(case.flags & CPL3)
        operation = _OPERATIONS[case.kind]
        if case.kind == Kind.LOAD:
            # A descriptor is read; when it is one of a present segment it is marked as accessed.
            present = trial.group.hint_value & DESCRIPTOR_PRESENT
            both = (Operation.READ, Operation.WRITE) if present else (Operation.READ,)
            return tuple((0, _access(each, user, True)) for each in both)
        if case.kind == Kind.MODIFY and self.engine.splits_modify:
            return tuple((0, _access(each, user, False)) for each in (Operation.READ, Operation.WRITE))
        pages = 2 if trial.group.crosses and case.kind in _EIGHT_BYTES else 1
        return tuple((page, _access(operation, user, False)) for page in range(pages))

    def _case(self, trial: "_Trial", case: Case) -> Expected | None:
        how = (case.kind, case.flags & (NXE | CPL3))
        stages = trial.stages.get(how)
        if stages is None:
            pages = trial.pages[bool(case.flags & NXE)]
            stages = [
                (pages[page], pages[page].judged_by, access) for page, access in self._stages(trial, case)
            ]
            trial.stages[how] = stages
        deviations: tuple[str, ...] = ()
        error, passed = None, 0
        for page, judged_by, access in stages:
            key = (judged_by, case.flags, case.pkru, case.pkrs, access.operation, access.implicit)
            verdict = self._verdicts.get(key)
            if verdict is None:
                verdict = self._verdict(
                    page.result, _state(self._modes[bool(case.flags & NXE)], case), access
                )
                self._verdicts[key] = verdict
            error = verdict.error
            deviations += page.deviations + verdict.deviations
            if error is not None:
                break
            passed += 1
        memory = (*how, passed, error)
        if memory in trial.found:
            rule, more, expected = trial.found[memory]
        else:
            pages_used = [(page, access) for page, _, access in stages]
            rule, more, expected = trial.found[memory] = self._outcome(
                trial.group, case, pages_used, passed, error
            )
        self._counts[rule, deviations + more, expected is None] += 1
        return expected

    def total(self) -> Tally:
        """What was counted so far."""
        tally = Tally(omitted=Counter(self.tally.omitted))
        for (rule, deviations, omitted), times in self._counts.items():
            if omitted:
                tally.omitted[rule] += times
                continue
            tally.rules[rule] += times
            tally.deviating += times if deviations else 0
            for name in set(deviations):
                tally.deviations[name] += times
        return tally

    def _verdict(self, result: Translation | PageFault, state: CpuState, access: Access) -> Verdict:
        if isinstance(result, PageFault):
            if result.reason is FaultReason.NON_CANONICAL:
                return Verdict(REFUSED)
            return Verdict(*self.engine.stopped(result.reason, stopped_error(result.reason, state, access)))
        denial = denied(result.rights, result.leaf, state, access)
        error = denied_error(denial, state, access) if denial else None
        return Verdict(*self.engine.judged(result, state, access, error))

    def _outcome(
        self, group: Group, case: Case, stages: list[tuple[_Page, Access]], passed: int, error: int | None
    ) -> tuple[str, tuple[str, ...], Expected | None]:
        """What must be noted: the rule that decides (or why the case is left out), deviations, the record."""
        must = 0
        for number, entry in enumerate(group.entries.values()):
            must |= (entry & (ACCESSED | DIRTY)) >> 5 << (2 * number)
        for page, access in stages[:passed]:
            must |= page.write_flags if access.operation is Operation.WRITE else page.read_flags
        if error is None:
            return self._succeeded(group, case, stages, must)
        after0, after1 = ([value for _, value in group.hints] + [0, 0])[:2]
        where = Where.TARGET if case.kind == Kind.FETCH else Where.ACCESS
        page, access = stages[passed]
        if case.kind == Kind.LOAD and passed and not self._known(group, stages):
            return "would use memory outside the test's", (), None
        if error == REFUSED:
            if passed or (len(stages) > 1 and case.kind in _EIGHT_BYTES):
                return "crosses into addresses that are not canonical", (), None
            where = self.engine.refused_jump(case) if case.kind == Kind.FETCH else Where.ACCESS
            refused = Expected(PROTECTION, where, 0, 0, 0, must, 0, 0, 0, after0, after1)
            return "general protection", self.engine.refuses_late(case), refused
        split = case.kind == Kind.MODIFY and access.operation is Operation.READ
        # O5: where in a descriptor its accessed bit is written is not said.
        mask = ~7 & _WORD if access.implicit and access.operation is Operation.WRITE else _WORD
        must |= page.forced
        may, cr2 = page.may & ~must, page.linear & mask
        torn = self.engine.tears_writes(case) if passed and case.kind == Kind.WRITE8 else False
        if torn is None:
            return "K5: a write into two pages, the second one faults", (), None
        if torn and not self._known(group, stages[:passed]):
            return "would use memory outside the test's", (), None
        if torn:
            after0 = self._torn(group, stages[0][0].linear)
        fault = Expected(PAGE_FAULT, where, error, cr2, mask, must, may, 0, 0, after0, after1)
        return _rule(error), ("T6",) if split else ("K5",) if torn else (), fault

    def _torn(self, group: Group, linear: int) -> int:
        """The last word of a page after a write of 8 bytes that got no further."""
        bits = 8 * (linear % 8)
        return (group.hint_value & ((1 << bits) - 1)) | (group.write_value << bits & _WORD)

    def _known(self, group: Group, stages: list[tuple[_Page, Access]]) -> bool:
        """Whether the words at the end of the walks are those that the harness put there."""
        return all((at & ~7) in dict(group.hints) for at in _physicals(stages))

    def _succeeded(
        self, group: Group, case: Case, stages: list[tuple[_Page, Access]], must: int
    ) -> tuple[str, tuple[str, ...], Expected | None]:
        """What a case leaves behind that was allowed: proved by the words that were put there."""
        words = dict(group.hints)
        physicals = _physicals(stages)
        known = self._known(group, stages)
        if not known and case.kind not in _READS:
            return "would use memory outside the test's", (), None
        size = 8 if case.kind in (*_EIGHT_BYTES, Kind.MODIFY) else 1
        first, last = physicals[0], physicals[-1]
        here = min(size, PAGE_BYTES - first % PAGE_BYTES)
        places = [first + i if i < here else last + i - here for i in range(size)]
        value = mask = 0
        if known and case.kind in (*_READS, Kind.MODIFY):
            mask = (1 << 8 * size) - 1
            read = bytes(words[at & ~7] >> 8 * (at & 7) & 0xFF for at in places)
            value = int.from_bytes(read, "little")
        if case.kind in (*_WRITES, Kind.MODIFY):
            written = group.write_value + (value if case.kind == Kind.MODIFY else 0)
            for i, at in enumerate(places):
                shift = 8 * (at & 7)
                words[at & ~7] = words[at & ~7] & ~(0xFF << shift) | (written >> 8 * i & 0xFF) << shift
        if case.kind == Kind.LOAD and group.hint_value & DESCRIPTOR_PRESENT:
            words[first & ~7] |= DESCRIPTOR_ACCESSED
        after0, after1 = [*words.values(), 0, 0][:2]
        vector, where, error = NO_EXCEPTION, Where.SUCCESS, 0
        if case.kind == Kind.LOAD and not group.hint_value & DESCRIPTOR_PRESENT:
            vector, where, error = NOT_PRESENT_SEGMENT, Where.ACCESS, LDT_SELECTOR_ERROR
        elif case.flags & CPL3:
            vector = UNDEFINED
        expected = Expected(vector, where, error, 0, 0, must, 0, value, mask, after0, after1)
        return "allowed", (), expected


@dataclass(slots=True)
class _Trial:
    """A group while it is predicted; what its cases have in common is worked out once."""

    group: Group
    pages: dict[bool, list[_Page]]
    stages: dict[tuple[int, int], list[tuple[_Page, tuple[object, ...], Access]]] = field(
        default_factory=dict
    )
    found: dict[tuple[object, ...], tuple[str, tuple[str, ...], Expected | None]] = field(
        default_factory=dict
    )


def _physicals(stages: list[tuple[_Page, Access]]) -> list[int]:
    """Where the walks of the stages end."""
    return [page.result.physical for page, _ in stages if isinstance(page.result, Translation)]


def _rule(error: int) -> str:
    """The family of a fault, to count what was met."""
    if error & 8:
        return "reserved bit"
    if not error & 1:
        return "not present"
    return "denied by a key" if error & 32 else "denied by rights"
