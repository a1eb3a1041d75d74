"""What the trace tells of blocks and frames: who allocated, who freed, what was refused (docs/spec.md §12).

Read when first asked, so a healthy check costs nothing; only the newest records, and each code address is
looked up once. What the ring does not hold is said, never guessed.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from coronel_gdb.errors import CoronelError, NotInitialised
from coronel_gdb.lift.places import Places
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.trace import LiftedTrace, describe, history, lift_trace
from coronel_gdb.profiles.schema import Profile
from coronel_gdb.profiles.trace import resolve_replay
from coronel_gdb.protocols import Target
from model.formerly import Former, Misused, former_owner, misused_blocks, misused_frames
from model.trace import KERNEL_CALLS, Calls, TraceRecord, user_calls

NEWEST_RECORDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Owned:
    """Who had bytes before: the block's data, the offset of the bytes in it, and both operations in words."""

    pointer: int
    size_bytes: int
    offset: int
    allocated: str
    freed: str


class Chronicle:
    """The trace of a kernel, asked about addresses; `kernel` gives the profile that fits it."""

    def __init__(
        self, target: Target, space: Callable[[], AddressSpace], profile: Callable[[], Profile]
    ) -> None:
        self._target = target
        self._space = space
        self._profile = profile
        self.place = Places(target.kernel())

    @cached_property
    def _read(self) -> LiftedTrace | str:
        """The records, or why there are none."""
        try:
            profile = resolve_replay(self._profile(), self._target.kernel())
            trace = lift_trace(self._target, self._space(), profile.trace, newest=NEWEST_RECORDS)
        except NotInitialised:
            return "not known: the kernel keeps no trace (boot it with trace=4096)"
        except (CoronelError, ImportError) as error:
            return f"not known: {error}"
        if trace.locked:
            return "not known: the trace is being written"
        return trace

    @property
    def records(self) -> Sequence[TraceRecord]:
        """The newest records, the oldest first; none without a trace."""
        return self._read.records if isinstance(self._read, LiftedTrace) else ()

    @property
    def absent(self) -> str:
        """Why there is no history; empty when there is one."""
        return self._read if isinstance(self._read, str) else ""

    @property
    def lost(self) -> int:
        """How many records are older than those that were read."""
        return self._read.lost if isinstance(self._read, LiftedTrace) else 0

    def history(self, pointer: int, directory: int | None = None) -> list[str]:
        """Who allocated the block with data at `pointer` last and who freed it then; or why nobody knows.

        `directory` is the process's whose heap it is in; None: the kernel's heap.
        """
        if self.absent:
            return [self.absent]
        known = history(self.records, pointer, _calls(directory))
        lines = [
            f"{what} by {self.told(record)}"
            for what, record in (("freed", known.freed), ("allocated", known.allocated))
            if record is not None
        ]
        if known.allocated is None:
            lines.append(f"allocation of {pointer:#x} not in the ring{self._why_not()}")
        return lines

    def formerly(self, start: int, end: int, directory: int | None = None) -> Owned | None:
        """The freed block that [start, end) lay in last, unless a live block has those bytes."""
        found: Former | None = former_owner(self.records, start, end, _calls(directory))
        if found is None:
            return None
        return Owned(
            found.pointer,
            found.size_bytes,
            start - found.pointer,
            self.told(found.allocated),
            self.told(found.freed),
        )

    def refused_blocks(self, most: int) -> Iterator[str]:
        """The newest operations on the kernel heap that were refused for a bad pointer, in words."""
        yield from self._refused(misused_blocks(self.records, complete=not self.lost), most)

    def refused_frames(self, ranges: Collection[tuple[int, int]], most: int) -> Iterator[str]:
        """The newest frees of frames that were refused, in words."""
        yield from self._refused(misused_frames(self.records, ranges), most)

    def _refused(self, found: Sequence[Misused], most: int) -> Iterator[str]:
        if self.absent:
            yield f"caller   {self.absent}"
            return
        for misused in found[-most:]:
            yield f"refused  {self.told(misused.record)}: {misused.why}"
            for earlier in misused.earlier:
                yield f"earlier  {self.told(earlier)}"
        if not found:
            yield f"caller   not in the ring{self._why_not()}"

    def told(self, record: TraceRecord) -> str:
        """An operation and who called it."""
        return f"{describe(record)}, called from {self.place(record)}"

    def _why_not(self) -> str:
        if self.lost:
            return (
                f": {self.lost:,} records were overwritten, or are older than the {len(self.records):,} read"
            )
        return ": no recorded operation gave it" if self.records else ": it holds no record"


def _calls(directory: int | None) -> Calls:
    return KERNEL_CALLS if directory is None else user_calls(directory)
