"""`$phys`, `$heap_block`, `$frame_owner`: for expressions, and for conditions of breakpoints.

Each is worked out anew by the shared lifting, so none depends on what GDB can read. What cannot be told is
an error, at which GDB stops a conditional breakpoint: never a wrong value. Import inside GDB only.
"""

from abc import ABC, abstractmethod

import gdb

from coronel_gdb.backends.gdb_session import Session, address_of, refused, type_name
from coronel_gdb.commands.command import Context
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError, TargetError, UsageError
from coronel_gdb.lift.activity import is_held
from coronel_gdb.lift.space import explain
from model.ledger import Claim, Owner
from model.paging import PageFault
from model.types import PAGE_BYTES, VirtualAddress

_MOST_PHYSICAL = 1 << 52


def install(session: Session) -> None:
    """Register all three."""
    for kind in (_Phys, _HeapBlock, _FrameOwner):
        kind(session)


class _Function(gdb.Function, ABC):
    """A function of one argument, which stands for an address; each kind says of what."""

    NAME: str

    def __init__(self, session: Session) -> None:
        self._session = session
        super().__init__(self.NAME)

    def invoke(self, *values: "gdb.Value") -> object:
        """The value, or why there is none."""
        if len(values) != 1:
            raise gdb.GdbError(f"${self.NAME} takes one argument: ${self.NAME}(EXPRESSION)")
        address = address_of(values[0])
        try:
            return self._of(self._session.context(), address)
        except CoronelError as error:
            raise refused(self.NAME, error) from error

    @abstractmethod
    def _of(self, context: Context, address: int) -> object:
        """The value for one address."""


class _Phys(_Function):
    """Physical address of a virtual one, by the current CR3: $phys(EXPRESSION).

    An address that is not mapped is an error, which says why.
    """

    NAME = "phys"

    def _of(self, context: Context, address: int) -> int:
        found = context.space.translate(VirtualAddress(address))
        if isinstance(found, PageFault):
            raise TargetError(f"{address:#x} has no physical address: {explain(found)}")
        return int(found.physical)


class _HeapBlock(_Function):
    """The block of the kernel heap that an address lies in: $heap_block(EXPRESSION).

    A pointer to its header; null when the address lies in no block.
    """

    NAME = "heap_block"

    def _of(self, context: Context, address: int) -> "gdb.Value":
        block = _block(Survey(context), address)
        name = type_name(context.profile.heap.block.name)
        return gdb.Value(block).cast(gdb.lookup_type(name).pointer())


def _block(survey: Survey, address: int) -> int:
    profile = survey.context.profile.heap
    lifted = survey.heap
    # A held lock says that an operation is under way, not that it has begun to change anything.
    if is_held(lifted.heap.locked) and not lifted.is_sound(profile):
        raise TargetError("kernel heap is busy: its lock is held, an operation is under way")
    header = profile.rules.header_bytes
    for block in lifted.all_blocks(profile):
        if block.address <= address < block.address + header + block.size_bytes:
            return int(block.address)
    if lifted.image.start <= address < lifted.image.end and not lifted.is_sound(profile):
        raise TargetError(f"cannot tell the block of {address:#x}: the heap is damaged, see `heapcheck`")
    return 0


class _FrameOwner(_Function):
    """Who has a frame, in a few words: $frame_owner(PHYSICAL ADDRESS).

    "free", "page table of kernel", "process 3 (name)", "kernel image", …; several are joined by " and ",
    "lost" is nobody. For a virtual address: $frame_owner($phys(POINTER)). Compare with $_streq.
    """

    NAME = "frame_owner"

    def _of(self, context: Context, address: int) -> str:
        return _owner(Survey(context), address)


def _owner(survey: Survey, address: int) -> str:
    if address >= _MOST_PHYSICAL:
        raise UsageError(f"{address:#x} is no physical address: $frame_owner($phys(…)) takes a pointer")
    if survey.busy:
        raise TargetError(f"frames are on their way: lock of {survey.busy} held")
    frame = address & -PAGE_BYTES
    claims = next((s.claims for s in survey.segments if s.start <= frame < s.end), ())
    if claims:
        return " and ".join(dict.fromkeys(map(_words, claims)))
    if not any(start <= frame < end for start, end in survey.frames.manager.ranges):
        return "not managed"
    if survey.ledger.incomplete:
        raise TargetError(f"cannot tell: {survey.ledger.incomplete[0]}")
    return "lost"


def _words(claim: Claim) -> str:
    return claim.owner.value if claim.owner is Owner.FREE else claim.who
