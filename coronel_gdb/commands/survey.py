"""What several commands look at, found once: processes, spaces, free frames, and who has each frame."""

from functools import cached_property

from coronel_gdb.commands.command import Context
from coronel_gdb.errors import KernelError, ReadFault, UsageError
from coronel_gdb.lift.activity import is_held, under_way
from coronel_gdb.lift.all_spaces import LiftedSpaces, kernel_root, lift_spaces
from coronel_gdb.lift.frames import LiftedFrames
from coronel_gdb.lift.heap import LiftedHeap
from coronel_gdb.lift.ledger import Ledger, gather
from coronel_gdb.lift.processes import LiftedProcesses, lift_processes
from coronel_gdb.lift.regions import LiftedRegions
from coronel_gdb.lift.schemes import lift_any_frames, lift_any_heap, lift_any_regions, read_any_heap
from coronel_gdb.report import Absent, Report
from model.invariants import ownership
from model.invariants.base import Invariant
from model.invariants.ownership import Conflict, check_owners
from model.ledger import Segment, sweep
from model.types import VirtualAddress


class Survey:
    """One look at a stopped kernel; `absent` are parts of it that could not be looked at."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.absent: list[Absent] = []
        self.unread = False
        """Whether there may be processes that nothing is known of."""

    @classmethod
    def of(cls, context: Context) -> "Survey":
        """The one that all commands of a context share: what one has read, the next one need not."""
        survey = context.kept.setdefault("survey", cls(context))
        assert isinstance(survey, cls)
        return survey

    @cached_property
    def frames(self) -> LiftedFrames:
        """The list of free frames."""
        profile = self.context.profile.frames
        return lift_any_frames(self.context.target, self.context.space, profile)

    @cached_property
    def heap(self) -> LiftedHeap:
        """The kernel heap with all its blocks; whoever asks has looked at its lock."""
        profile = self.context.profile.heap
        heap = read_any_heap(self.context.target, self.context.space, profile)
        return lift_any_heap(self.context.space, heap, profile)

    @cached_property
    def regions(self) -> LiftedRegions:
        """The free regions of the kernel's virtual manager."""
        profile = self.context.profile.regions  # first: without a kernel nothing else is worth a word
        return lift_any_regions(self.context.target, self.context.space, profile)

    @cached_property
    def listed(self) -> LiftedProcesses:
        """The list of processes; a kernel that has none, has an empty one."""
        try:
            profile = self.context.profile
            return lift_processes(self.context.target, self.context.space, profile)
        except KernelError as error:
            self.absent.append(Absent("processes", str(error)))
        except ReadFault as error:
            self.absent.append(Absent("processes", str(error)))
            self.unread = True
        return LiftedProcesses(VirtualAddress(0), VirtualAddress(0))

    @cached_property
    def spaces(self) -> LiftedSpaces:
        """Every address space, walked."""
        root = kernel_root(self.context.target, self.context.space, self.context.profile)
        return lift_spaces(self.context.space, root, self.listed.processes)

    @cached_property
    def ledger(self) -> Ledger:
        """All claims of frames."""
        free = self.frames.free_ranges()
        return gather(self.context.target, self.context.space, self.context.profile, self.spaces, free)

    @cached_property
    def segments(self) -> list[Segment]:
        """Memory cut wherever a claim begins or ends."""
        return list(sweep(self.ledger.claims))

    @cached_property
    def changing(self) -> tuple[str, ...]:
        """What the kernel is in the middle of changing, in words."""
        return under_way(self.context.target, self.context.space, self.context.profile)

    @cached_property
    def busy(self) -> str:
        """What is being changed, so that frames may be on their way from one owner to another; or nothing."""
        held = list(self.changing)
        held += [f"heap of process {p.pid}" for p in self.listed.processes if is_held(p.memory.heap.locked)]
        held += [f"mmap of process {p.pid}" for p in self.listed.processes if is_held(p.memory.mmap.locked)]
        return ", ".join(held)

    def stands_still(self, report: Report, what: str, *nouns: str) -> bool:
        """Whether none of these is being changed; otherwise `what` is noted as not checked."""
        changing = [noun for noun in nouns if noun in self.changing]
        if changing:
            why = f"busy: {' and '.join(changing)} being changed; `finish` the operation and check again"
            report.not_checked.append(Absent(what, why))
        return not changing

    @property
    def ownership_rules(self) -> tuple[Invariant, ...]:
        """The rules about owners that the kernel's design asks for."""
        return ownership.ALL if self.context.profile.specified else ownership.ANYWHERE

    @cached_property
    def conflicts(self) -> list[Conflict]:
        """Frames with claims that may not meet, and lost ones where all claims are known."""
        known = not (self.ledger.incomplete or self.frames.stop or self.listed.stop or self.unread)
        manager = self.frames.manager
        end = None if "physical_end" in manager.unkept else manager.physical_end
        known = known and "ranges" not in manager.unkept
        return check_owners(
            self.segments, manager.ranges, ram_end=end, lost_known=known, rules=self.ownership_rules
        )


def value_of(context: Context, command: str, expression: str, what: str) -> int:
    """A number, or whatever the host evaluates; `UsageError` when it is neither, or no 64-bit value."""
    try:
        value = int(expression, 0)
    except ValueError:
        value = context.target.evaluate(expression)
    if not 0 <= value < 1 << 64:
        raise UsageError(f"{command}: {what} {expression} is no 64-bit address")
    return value
