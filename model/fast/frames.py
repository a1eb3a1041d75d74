"""Physical frames: the list of free ones as a Python list, its head last (docs/spec.md §4)."""

from dataclasses import dataclass
from typing import Final

from model.errors import ErrorKind
from model.fast.diary import Diary
from model.frames import FrameAllocator
from model.trace import Operation
from model.types import PAGE_BYTES, VirtualAddress

_OFFSET: Final = PAGE_BYTES - 1


@dataclass(slots=True)
class FastFrames:
    """`free[-1]` is the head of the list; `is_free` has a byte for each frame number."""

    diary: Diary
    free: list[int]
    is_free: bytearray
    ranges: tuple[tuple[int, int], ...]
    errors: list[int]

    @staticmethod
    def of(frames: FrameAllocator, diary: Diary) -> "FastFrames":
        """The state of the model's allocator, which must be sound."""
        fields = frames.fields
        base, count = fields.get("nodes_"), fields.get("node_count_")
        words = memoryview(fields.memory.read(VirtualAddress(base), 16 * count)).cast("Q")
        free, is_free, node = [], bytearray(count), fields.get("free_list_")
        while node:
            index = (node - base) >> 4
            free.append(words[2 * index])
            is_free[index] = 1
            node = words[2 * index + 1]
        free.reverse()
        flat = [fields.get("ranges_", index) for index in range(2 * fields.get("range_count_"))]
        ranges = tuple(zip(flat[::2], flat[1::2], strict=True))
        return FastFrames(diary, free, is_free, ranges, [fields.get("errors_", kind) for kind in ErrorKind])

    def alloc(self) -> int:
        """Take the head (§4.6)."""
        if not self.free:
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1
            return self.diary.note(Operation.PHYSICAL_ALLOC, (0, 0, 0), 0)
        frame = self.free.pop()
        self.is_free[frame >> 12] = 0
        return self.diary.note(Operation.PHYSICAL_ALLOC, (0, 0, 0), frame)

    def release(self, frame: int) -> bool:
        """Give a frame back (§4.7), the operation `free`; whether it was taken."""
        self.diary.note(Operation.PHYSICAL_FREE, (frame, 0, 0), 0)
        managed = any(start <= frame < end for start, end in self.ranges)
        if frame & _OFFSET or not managed:
            self.errors[ErrorKind.INVALID_POINTER] += 1
            return False
        if self.is_free[frame >> 12]:
            self.errors[ErrorKind.DOUBLE_FREE] += 1
            return False
        self.free.append(frame)
        self.is_free[frame >> 12] = 1
        return True
