"""The blocks of a heap in dictionaries, the free ones in an index (docs/spec.md §7.4 to §7.8).

A block is its header's address. `sizes` holds its size, plus 1 while it is used (sizes are multiples of
16); `before` the block that comes before it in the list, 0 for the first. Where the pages of an expansion
come from, and what is wrong with a pointer to no used block, each heap says itself.
"""

from dataclasses import dataclass, field
from typing import Final

from model.errors import ErrorKind
from model.fast.diary import Diary
from model.fast.first_fit import FirstFit
from model.first_fit import EXPANSION_BYTES, LARGEST_BYTES
from model.types import PAGE_BYTES, U64_MASK

_HEADER: Final = 48
_OFFSET: Final = PAGE_BYTES - 1
_MAGIC: Final = 32  # offset in the header


@dataclass(frozen=True, slots=True)
class HeapHabits:
    """What a kernel with a known quirk does in its own way; the defaults are docs/spec.md's."""

    split_bytes: int = 64
    expansion_bytes: int = EXPANSION_BYTES
    joins_next: bool = True
    joins_previous: bool = True


@dataclass(slots=True, kw_only=True)
class FastBlocks:
    """The blocks of a heap and their sums; a heap starts without a region."""

    diary: Diary
    habits: HeapHabits = HeapHabits()
    sizes: dict[int, int] = field(default_factory=dict)
    before: dict[int, int] = field(default_factory=dict)
    index: FirstFit = field(default_factory=FirstFit)
    jumps: dict[int, int] = field(default_factory=dict)
    """Last block before a gap in the addresses → the block that follows it in the list."""
    stale: set[int] = field(default_factory=set)
    """Where the magic of an absorbed header still stands."""
    first_block: int = 0
    last_block: int = 0
    heap_start: int = 0
    heap_end: int = 0
    heap_size: int = 0
    total_allocated: int = 0
    total_free: int = 0
    num_allocations: int = 0
    num_frees: int = 0
    num_expansions: int = 0
    errors: list[int] = field(default_factory=lambda: [0] * len(ErrorKind))
    guesses: int = 0
    """Refusals whose kind depends on bytes that a kernel's own code may have written."""

    # The operations.

    def malloc(self, size_bytes: int) -> int:
        """§7.4."""
        size = (size_bytes + 15) & ~15
        if size_bytes > LARGEST_BYTES:
            return self._refuse(ErrorKind.OUT_OF_MEMORY)
        if size == 0:
            return 0
        block = self.index.first(size)
        if block:
            self.index.remove(block)
        else:
            block = self._expand(size)
            if not block:
                return 0
        return self._take(block, size)

    def free(self, pointer: int) -> None:
        """§7.5."""
        if pointer == 0:
            return
        block = pointer - _HEADER
        size = self.sizes.get(block, 0)
        if not size & 1:
            self._refuse_pointer(pointer, block, is_free=size != 0)
            return
        size -= 1
        self.total_allocated -= size
        self.total_free += size
        self.num_frees += 1
        if self.habits.joins_next:
            after = block + _HEADER + size
            after_size = self.sizes.get(after, 1)
            if not after_size & 1 and self.before[after] == block:
                self.index.remove(after)
                self._absorb(block, size, after, after_size)
                size += _HEADER + after_size
                self.total_free += _HEADER
        before = self.before[block]
        if before and self.habits.joins_previous:
            before_size = self.sizes[before]
            if not before_size & 1 and before + _HEADER + before_size == block:
                self._absorb(before, before_size, block, size)
                block, size = before, before_size + _HEADER + size
                self.total_free += _HEADER
        self.sizes[block] = size
        self.index.add(block, size)

    def realloc(self, pointer: int, size_bytes: int) -> int:
        """§7.6."""
        if pointer == 0:
            return self.malloc(size_bytes)
        if size_bytes == 0:
            self.free(pointer)
            return 0
        # check
        block = pointer - _HEADER
        old = self.sizes.get(block, 0)
        if not old & 1:
            return self._refuse_pointer(pointer, block, is_free=old != 0)
        if size_bytes > LARGEST_BYTES:
            return self._refuse(ErrorKind.OUT_OF_MEMORY)
        old -= 1
        size = (size_bytes + 15) & ~15
        # smaller or equal
        if size <= old:
            rest = self._cut(block, old, size)
            if rest:
                self.total_allocated -= old - size
                self.total_free += self._join_rest(rest)
                self.sizes[block] = size + 1
            return pointer
        # larger, in place
        after = block + _HEADER + old
        after_size = self.sizes.get(after, 1)
        if not after_size & 1 and self.before[after] == block and old + _HEADER + after_size >= size:
            self.index.remove(after)
            self._absorb(block, old, after, after_size)
            grown = old + _HEADER + after_size
            self.total_free -= after_size
            rest = self._cut(block, grown, size)
            if rest:
                self.index.add(rest, self.sizes[rest])
                self.total_free += self.sizes[rest]
                grown = size
            self.total_allocated += grown - old
            self.sizes[block] = grown + 1
            return pointer
        # elsewhere
        moved = self.malloc(size)
        if moved:
            self._copy_stale(pointer, moved, old)
            self.free(pointer)
        return moved

    def calloc(self, count: int, size_bytes: int) -> int:
        """§7.7."""
        total = count * size_bytes
        if total > U64_MASK:
            return self._refuse(ErrorKind.OUT_OF_MEMORY)
        pointer = self.malloc(total)
        if pointer:
            self._forget_stale(pointer, total)
        return pointer

    def aligned_alloc(self, alignment: int, size_bytes: int) -> int:
        """§7.7."""
        if alignment == 0 or alignment & (alignment - 1):
            return self._refuse(ErrorKind.INVALID_POINTER)
        if alignment <= 16:
            return self.malloc(size_bytes)
        if size_bytes > LARGEST_BYTES:
            return self._refuse(ErrorKind.OUT_OF_MEMORY)
        size = (size_bytes + 15) & ~15
        if size == 0:
            return 0
        for block, free_bytes in self.index.fits(size):
            if _front(block, alignment) + size <= free_bytes:
                break
        else:
            block = self._expand(size + alignment + 64)
            if not block:
                return 0
            self.index.add(block, self.sizes[block])
        front = _front(block, alignment)
        if front:
            old = self.sizes[block]
            rest = self._cut(block, old, front - _HEADER, always=True)
            self.sizes[block] = front - _HEADER
            self.index.add(block, front - _HEADER)
            self.total_free -= _HEADER
            block = rest
        else:
            self.index.remove(block)
        return self._take(block, size)

    # Blocks.

    def _take(self, block: int, size: int) -> int:
        """Make a free block used that is in the index no longer."""
        old = self.sizes[block]
        rest = self._cut(block, old, size)
        self.total_free -= old
        if rest:
            rest_size = self.sizes[rest]
            self.index.add(rest, rest_size)
            self.total_free += rest_size
            old = size
        self.sizes[block] = old + 1
        self.total_allocated += old
        self.num_allocations += 1
        return block + _HEADER

    def _cut(self, block: int, old: int, size: int, *, always: bool = False) -> int:
        """Make what `block` has beyond `size` a free block, if it is enough; the caller sets its size."""
        left = old - size
        if left < self.habits.split_bytes and not always:
            return 0
        rest = block + _HEADER + size
        self.sizes[rest] = left - _HEADER
        self.before[rest] = block
        after = block + _HEADER + old
        if self.before.get(after) == block:
            self.before[after] = rest
        else:
            self._relink(block, rest)
        if self.stale:
            self.stale.discard(rest)
            self.stale.discard(rest + 16)
            self.stale.discard(rest + _MAGIC)
        return rest

    def _absorb(self, block: int, size: int, other: int, other_size: int) -> None:
        """Join `other`, which `block` touches and which is in the index no longer, to it."""
        del self.sizes[other], self.before[other]
        after = other + _HEADER + other_size
        if self.before.get(after) == other:
            self.before[after] = block
        else:
            self._relink(other, block)
        self.stale.add(other + _MAGIC)

    def _relink(self, block: int, replacement: int) -> None:
        """`replacement` takes the place of a `block` that touches nothing behind it."""
        if block == self.last_block:
            self.last_block = replacement
        else:
            after = self.jumps.pop(block)
            self.jumps[replacement] = after
            self.before[after] = replacement

    def _join_rest(self, rest: int) -> int:
        """What realloc cut off joins a free next block; by how much the free bytes grow."""
        size = gain = self.sizes[rest]
        after = rest + _HEADER + size
        after_size = self.sizes.get(after, 1)
        if not after_size & 1 and self.before[after] == rest:
            self.index.remove(after)
            self._absorb(rest, size, after, after_size)
            size += _HEADER + after_size
            gain += _HEADER
            self.sizes[rest] = size
        self.index.add(rest, size)
        return gain

    # §7.8

    def _expand(self, size_bytes: int) -> int:
        """Add a region; the last block, which is free and not in the index, or 0."""
        region = max(self.habits.expansion_bytes, (size_bytes + _HEADER + _OFFSET) & ~_OFFSET)
        self.diary.depth += 1
        base = self._more(region)
        self.diary.depth -= 1
        if isinstance(base, ErrorKind):
            return self._refuse(base)
        self.index.extend(base, base + region)
        self.heap_start = min(self.heap_start, base) if self.heap_size else base
        self.heap_end = max(self.heap_end, base + region)
        self.heap_size += region
        self.num_expansions += 1
        last = self.last_block
        if last:
            size = self.sizes[last]
            if not size & 1 and last + _HEADER + size == base:
                self.index.remove(last)
                self.sizes[last] = size + region
                self.total_free += region
                return last
            if last + _HEADER + (size & ~1) != base:
                self.jumps[last] = base
        else:
            self.first_block = base
        self.sizes[base] = region - _HEADER
        self.before[base] = last
        self.last_block = base
        self.total_free += region - _HEADER
        return base

    def _more(self, size_bytes: int) -> int | ErrorKind:
        """Map pages for the heap; where, or why not."""
        raise NotImplementedError

    # Refusals.

    def _refuse(self, kind: ErrorKind) -> int:
        self.errors[kind] += 1
        return 0

    def _refuse_pointer(self, pointer: int, block: int, *, is_free: bool) -> int:
        """What is wrong with a pointer to no used block (§7.5); 0."""
        if is_free:
            return self._refuse(ErrorKind.DOUBLE_FREE)
        if not self._can_be_block(pointer, block):
            return self._refuse(ErrorKind.INVALID_POINTER)
        self.guesses += 1
        return self._refuse(
            ErrorKind.DOUBLE_FREE if block + _MAGIC in self.stale else ErrorKind.INVALID_POINTER
        )

    def _can_be_block(self, pointer: int, block: int) -> bool:
        """Whether a header may lie there: then its bytes decide."""
        return self.heap_start <= block and block + _HEADER <= self.heap_end and not pointer & 15

    def _forget_stale(self, start: int, size_bytes: int) -> None:
        """Bytes are zeroed."""
        if self.stale:
            self.stale -= self._stale_in(start, size_bytes)

    def _copy_stale(self, source: int, target: int, size_bytes: int) -> None:
        """Bytes are copied."""
        if self.stale:
            found = self._stale_in(source, size_bytes)
            self.stale -= self._stale_in(target, size_bytes)
            self.stale.update(at - source + target for at in found)

    def _stale_in(self, start: int, size_bytes: int) -> set[int]:
        """The stale magics in a block's data: by whichever is shorter, the data or the set."""
        end = start + ((size_bytes + 15) & ~15)
        if end - start < 16 * len(self.stale):
            return self.stale.intersection(range(start, end, 16))
        return {at for at in self.stale if start <= at < end}


def _front(block: int, alignment: int) -> int:
    """§7.7: from the data to the lowest multiple of `alignment` that leaves nothing or a block."""
    data = block + _HEADER
    if not data & (alignment - 1):
        return 0
    return ((data + 64 + alignment - 1) & -alignment) - data
