"""The address spaces that can be found: the CPU's, the kernel's, every process's."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from coronel_gdb.errors import CoronelError, ReadFault, UsageError
from coronel_gdb.lift.kernel_image import read_image
from coronel_gdb.lift.processes import lift_processes
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.paging import PagingMode
from model.types import PhysicalAddress

_ROOT = 0x000F_FFFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class KnownSpace:
    """A top table and whose it is; `pid` is None for what is no process."""

    name: str
    root: PhysicalAddress
    pid: int | None = None


@dataclass(slots=True)
class KnownSpaces:
    """All of them, each top table once; `missing` says what could not be read, and why.

    `without_profile` says why no processes are known at all, where no profile describes the kernel.
    """

    spaces: list[KnownSpace] = field(default_factory=list)
    without_profile: str = ""
    missing: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, root: int, pid: int | None = None) -> None:
        """One more, unless its top table is known already: then that one has two names."""
        for index, known in enumerate(self.spaces):
            if known.root == root:
                both = KnownSpace(f"{known.name}, {name}", known.root, known.pid if pid is None else pid)
                self.spaces[index] = both
                return
        self.spaces.append(KnownSpace(name, PhysicalAddress(root), pid))


def known_spaces(target: Target, space: AddressSpace, profile: ResolvedProfile | str) -> KnownSpaces:
    """Every space that can be found from the current one; `profile` may be the reason why there is none."""
    known = KnownSpaces()
    known.add("current CR3", space.root)
    try:
        image = read_image(target, space)
        if image is not None and image.directory:
            known.add("kernel directory", image.directory)
    except ReadFault as fault:
        known.missing.append(("kernel directory", str(fault)))
    if isinstance(profile, str):
        known.without_profile = profile
        return known
    try:
        lifted = lift_processes(target, space, profile)
    except CoronelError as error:
        known.missing.append(("address spaces of processes", str(error)))
        return known
    for process in lifted.processes:
        known.add(f"process {process.pid} {process.name}", process.memory.page_directory & _ROOT, process.pid)
    if lifted.stop:
        known.missing.append(
            ("rest of the processes", f"the list cannot be followed beyond {lifted.stop:#x}")
        )
    return known


def space_of_process(known: KnownSpaces, pid: int) -> KnownSpace:
    """The space of that process; `UsageError` names those there are."""
    for one in known.spaces:
        if one.pid == pid:
            return one
    reasons = "; ".join([*(why for _, why in known.missing), known.without_profile])
    there = ", ".join(str(one.pid) for one in known.spaces if one.pid is not None)
    raise UsageError(
        f"pagewalk: no process {pid}: {f'there are {there}' if there else reasons or 'there is none'}"
    )


def opened(known: KnownSpaces, space: AddressSpace) -> Iterator[tuple[KnownSpace, AddressSpace]]:
    """Each of them, to be walked in the mode of `space`."""
    mode: PagingMode = space.mode
    for one in known.spaces:
        yield one, space if one.root == space.root else AddressSpace(space.memory, one.root, mode)
