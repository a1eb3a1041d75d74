"""What executes the cases, and where each engine is known not to do what the manual says.

A deviation has a name (docs/hardware.md lists them with their evidence), is predicted exactly, and counted
when it makes a difference. An engine here is the emulated CPU; `lab.hardware.run` starts it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lab.hardware.vectors import MEMORY_BYTES, Case, Flag, Group, Kind, Where
from model.access import denied_error
from model.cpu_state import CpuState
from model.denial import KEY_BIT, PRESENT_BIT, Access, Denial, Operation, denied, protection_key
from model.page_entry import ACCESSED, PAGE_SIZE, Level, PagingMode, Rights, bits
from model.paging import FaultReason, PageFault, Translation, walk
from model.types import PhysicalAddress, VirtualAddress

Read = Callable[[PhysicalAddress], int | None]
NONE: tuple[str, ...] = ()
ALL_FLAGS = int(sum(Flag))
ALL_KINDS = frozenset(Kind)
FOUR_GIB = 1 << 32
# Where QEMU's standard machine (pc) ends low memory when it has more than that.
LOW_MEMORY_MAX = 3 << 30


@dataclass(frozen=True, slots=True)
class Engine:
    """A CPU that does what the manual says; the subclasses say where theirs does not.

    `unbacked` is what a read of physical memory gives where nothing is (open point O3).
    """

    name: str = "by the manual"
    levels: int = 4
    physical_bits: int = 40
    huge_pages: bool = True
    memory_bytes: int = MEMORY_BYTES
    unbacked: int | None = None
    batch_cases: int = 400_000

    @property
    def flags(self) -> int:
        """The flags of a case that this CPU has."""
        return ALL_FLAGS

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of cases that this CPU runs."""
        return ALL_KINDS

    @property
    def loads_any_base(self) -> bool:
        """Whether LLDT takes a base that is not canonical; where it faults, the harness has no case of it."""
        return False

    @property
    def splits_modify(self) -> bool:
        """Whether a read-modify-write is a read and then a write."""
        return False

    def high_ram(self, at: int) -> bool:
        """Whether this is RAM above 4 GiB."""
        return FOUR_GIB <= at < FOUR_GIB + self.memory_bytes - LOW_MEMORY_MAX

    def refused_jump(self, case: Case) -> Where:
        """Where #GP is reported for a jump to an address that is not canonical: at the jump or its target."""
        return Where.ACCESS

    def tears_writes(self, case: Case) -> bool | None:
        """Whether a write into two pages has written the first when the second one faults; None: unknown."""
        return False

    def omits(self, group: Group, case: Case) -> str | None:
        """Why the case cannot be run here, None when it can."""
        return None

    def stopped(self, reason: FaultReason, error: int) -> tuple[int, tuple[str, ...]]:
        """The error code of a walk that stopped, from the model's."""
        return error, NONE

    def walked(
        self, result: Translation | PageFault, read: Read, cr3: int, linear: int, mode: PagingMode
    ) -> tuple[Translation | PageFault, tuple[str, ...]]:
        """The walk as this engine does it, from the model's."""
        return result, NONE

    def marks_although(self, fault: PageFault) -> tuple[bool, tuple[str, ...]]:
        """Whether A is set in the very entry that stopped the walk."""
        return False, NONE

    def judged(
        self, page: Translation, state: CpuState, access: Access, error: int | None
    ) -> tuple[int | None, tuple[str, ...]]:
        """The error code of an access to a page, from the model's."""
        return error, NONE

    def refuses_late(self, case: Case) -> tuple[str, ...]:
        """Deviations of an access to an address that is not canonical."""
        return NONE


def _explicit(access: Access) -> Access:
    return Access(access.operation, user=False, implicit=False)


def _error(rights: Rights, leaf: int, state: CpuState, access: Access, told: Access) -> int | None:
    """The error code of `told`, judged as if it were `access`."""
    denial = denied(rights, leaf, state, access)
    return denied_error(denial, state, told) if denial else None


@dataclass(frozen=True, slots=True)
class Tcg(Engine):
    """QEMU without acceleration, 7.2."""

    name: str = "TCG"
    unbacked: int | None = 0

    @property
    def splits_modify(self) -> bool:
        """T6, on a machine with one CPU."""
        return True

    @property
    def loads_any_base(self) -> bool:
        """T7."""
        return True

    def stopped(self, reason: FaultReason, error: int) -> tuple[int, tuple[str, ...]]:
        """T1."""
        if reason is FaultReason.RESERVED_BIT:
            return error & ~PRESENT_BIT, ("T1",)
        return error, NONE

    def walked(
        self, result: Translation | PageFault, read: Read, cr3: int, linear: int, mode: PagingMode
    ) -> tuple[Translation | PageFault, tuple[str, ...]]:
        """T5."""
        if self.huge_pages:
            return result, NONE
        accepted = walk(read, PhysicalAddress(cr3), VirtualAddress(linear), replace(mode, huge_pages=True))
        return accepted, ("T5",) if accepted != result else NONE

    def marks_although(self, fault: PageFault) -> tuple[bool, tuple[str, ...]]:
        """T4."""
        last = fault.steps[-1] if fault.steps else None
        if fault.reason is not FaultReason.RESERVED_BIT or last is None or last.level is not Level.PDPTE:
            return False, NONE
        if not last.entry & PAGE_SIZE or last.entry & ACCESSED or fault.reserved_bits & ~bits(29, 13):
            return False, NONE
        return True, ("T4",)

    def judged(
        self, page: Translation, state: CpuState, access: Access, error: int | None
    ) -> tuple[int | None, tuple[str, ...]]:
        """T2 and T3; B1."""
        if access.implicit and not access.user and state.ac:
            seen = _error(page.rights, page.leaf, state, _explicit(access), access)
            return seen, ("T2",) if seen != error else NONE
        if error is not None and error & KEY_BIT and access.user_mode and not page.rights.user:
            return error & ~KEY_BIT, ("T3",)
        return error, NONE

    def refused_jump(self, case: Case) -> Where:
        """The target."""
        return Where.TARGET

    def refuses_late(self, case: Case) -> tuple[str, ...]:
        """T7."""
        return ("T7",) if case.kind == Kind.LOAD else NONE


@dataclass(frozen=True, slots=True)
class Bochs(Engine):
    """Bochs 2.7: four levels, MAXPHYADDR 40, no PKS in any of its CPUs; `model` is the name of its CPU."""

    name: str = "Bochs"
    unbacked: int | None = (1 << 64) - 1
    model: str = "corei7_icelake_u"
    batch_cases: int = 100_000

    @property
    def flags(self) -> int:
        """All but PKS (B4)."""
        return ALL_FLAGS & ~int(Flag.PKS)

    def judged(
        self, page: Translation, state: CpuState, access: Access, error: int | None
    ) -> tuple[int | None, tuple[str, ...]]:
        """B1 and B3."""
        seen = _explicit(access) if access.implicit and state.ac else access
        opened = _error(page.rights, page.leaf, state, seen, access)
        deviations = ("B1",) if opened != error else NONE
        if not state.pke or access.operation is Operation.FETCH:
            return opened, deviations
        # B3: PKRU is asked by the mode of the access, whatever page it is; AD of supervisors is not.
        rights = state.pkru >> (2 * protection_key(page.leaf))
        writes = access.operation is Operation.WRITE and (access.user_mode or state.wp)
        if (rights & 1 and access.user_mode) or (rights & 2 and writes):
            found: int | None = denied_error(Denial.KEY_ACCESS, state, access)
        else:
            found = _error(page.rights, page.leaf, replace(state, pke=False), seen, access)
        return found, (*deviations, "B3") if found != opened else deviations


@dataclass(frozen=True, slots=True)
class Kvm(Engine):
    """The KVM called PVM, through QEMU: CPL 0 by its instruction emulator, CPL 3 by the processor."""

    name: str = "KVM"
    unbacked: int | None = 0
    huge_pages: bool = False
    batch_cases: int = 40_000

    @property
    def flags(self) -> int:
        """No protection keys; AC is for its instruction emulator alone to change."""
        return ALL_FLAGS & ~int(Flag.PKE | Flag.PKS)

    @property
    def kinds(self) -> frozenset[Kind]:
        """No implicit accesses: one that faults at CPL 3 stops the virtual CPU for ever (K2)."""
        return ALL_KINDS - {Kind.LOAD}

    def tears_writes(self, case: Case) -> bool | None:
        """K5: its emulator does, always at CPL 0; at CPL 3 it steps in as the shadow pages happen to be."""
        return None if case.flags & Flag.CPL3 else True

    def omits(self, group: Group, case: Case) -> str | None:
        """K1 and K4; nothing here crosses out of the canonical addresses (K3)."""
        if case.flags & Flag.CPL3 and group.linear >> 39 & 511 == 256:
            return "K1: CPL 3 in slot 256"
        if case.flags & Flag.CPL3 and case.flags & Flag.AC and group.crosses:
            return "K4: CPL 3 is checked for alignment whatever CR0.AM says"
        return None
