"""All address spaces of a kernel: its own directory once, and the lower half of every process."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.pointer import image_u64
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.records import Process
from model.spaces import Space, upper_differences, walk_whole
from model.types import PhysicalAddress

_LOWER_SLOTS = range(256)


@dataclass(frozen=True, slots=True)
class UserSpace:
    """A process and what its directory leads to.

    Its upper half is the kernel's where their top tables are equal; `differing` are the slots in which they
    are not, which were walked as well. None: a top table could not be read.
    """

    process: Process
    space: Space
    differing: tuple[int, ...] | None


@dataclass(slots=True)
class LiftedSpaces:
    """The kernel's space, walked whole, and those of its processes."""

    kernel: Space
    users: list[UserSpace] = field(default_factory=list)

    @property
    def all(self) -> list[Space]:
        """Every space, the kernel's first."""
        return [self.kernel, *(user.space for user in self.users)]


def kernel_root(target: Target, space: AddressSpace, profile: ResolvedProfile) -> PhysicalAddress:
    """The kernel's directory by the kernel's own variable; `KernelError` when it has none."""
    name = profile.image.get("kernel_directory")
    variable = target.symbol(name) if name else None
    if variable is None:
        raise KernelError(f"the kernel directory is unknown: the kernel has no symbol {name or 'for it'}")
    root = PhysicalAddress(image_u64(space, variable))
    if not root:
        raise KernelError(f"the kernel directory does not exist yet: {name} is null")
    return root


def lift_spaces(
    space: AddressSpace, kernel_directory: PhysicalAddress, processes: Iterable[Process]
) -> LiftedSpaces:
    """Walk the kernel's directory and the lower half of each process; each table is read once over all."""
    lifted = LiftedSpaces(walk_whole(space.table, "kernel", kernel_directory, space.mode))
    for process in processes:
        root = process.memory.page_directory
        differing = upper_differences(space.table, root, kernel_directory)
        slots = [*_LOWER_SLOTS, *(differing or ())]
        walked = walk_whole(space.table, who(process), root, space.mode, slots)
        lifted.users.append(UserSpace(process, walked, None if differing is None else tuple(differing)))
    return lifted


def who(process: Process) -> str:
    """A process by its pid and name."""
    return f"process {process.pid} ({process.title or 'no name'})"
