"""Where each field of each structure lies in memory: docs/spec.md §10, declared once.

The model writes its simulated memory by these layouts. A debugger's layouts come from the kernel's
DWARF in the same class, so the two can be compared field by field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Member:
    """One field: `count` consecutive little-endian unsigned integers of `size_bytes` each.

    `offset_bytes` counts from the start of the structure. A nested structure is flattened, its
    fields named `outer.inner`.
    """

    name: str
    offset_bytes: int
    size_bytes: int
    count: int = 1

    @property
    def end_bytes(self) -> int:
        """Offset of the first byte after this field."""
        return self.offset_bytes + self.size_bytes * self.count


@dataclass(frozen=True, slots=True)
class Layout:
    """A structure's name, size and members, in order of offset."""

    name: str
    size_bytes: int
    members: tuple[Member, ...]

    def member(self, name: str) -> Member:
        """The member of that name; `KeyError` when there is none."""
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(f"{self.name} has no field {name}")

    def read(self, data: bytes | memoryview, name: str, base: int = 0) -> int:
        """The integer in field `name` of the structure that starts at `data[base]`."""
        member = self.member(name)
        start = base + member.offset_bytes
        return int.from_bytes(data[start : start + member.size_bytes], "little")

    def read_array(self, data: bytes | memoryview, name: str, base: int = 0) -> tuple[int, ...]:
        """All `count` integers of field `name`."""
        member = self.member(name)
        start = base + member.offset_bytes
        size = member.size_bytes
        return tuple(
            int.from_bytes(data[at : at + size], "little")
            for at in range(start, start + size * member.count, size)
        )

    def encode(self, values: Mapping[str, int]) -> dict[int, bytes]:
        """Offset → bytes for the fields in `values`; nothing is said about padding."""
        encoded = {}
        for name, value in values.items():
            member = self.member(name)
            encoded[member.offset_bytes] = value.to_bytes(member.size_bytes, "little")
        return encoded


_Field = tuple[str, int, int] | tuple[str, int, int, int]


def _layout(name: str, size_bytes: int, *members: _Field) -> Layout:
    return Layout(name, size_bytes, tuple(Member(*member) for member in members))


def _inside(outer: str, offset_bytes: int, layout: Layout) -> Iterator[_Field]:
    """The members of a structure that is the member `outer` of another, at `offset_bytes` there."""
    for member in layout.members:
        yield f"{outer}.{member.name}", offset_bytes + member.offset_bytes, member.size_bytes, member.count


FRAME: Final = _layout("physical::frame", 16, ("address", 0, 8), ("previous", 8, 8))
RANGE: Final = _layout("physical::range", 16, ("start", 0, 8), ("end", 8, 8))
PHYSICAL: Final = _layout(
    "physical",
    608,
    ("physical_end_", 0, 8),
    ("free_list_", 8, 8),
    ("nodes_", 16, 8),
    ("node_count_", 24, 8),
    ("free_count_", 32, 8),
    ("ranges_", 40, 8, 64),  # 32 pairs (start, end)
    ("range_count_", 552, 8),
    ("errors_", 560, 8, 5),
    ("lock_", 600, 4),
)
NODE: Final = _layout("virt::node", 32, ("start", 0, 8), ("size", 8, 8), ("next", 16, 8), ("prev", 24, 8))
VIRT: Final = _layout(
    "virt",
    104,
    ("free_mem_list_.first_", 0, 8),
    ("free_mem_list_.last_", 8, 8),
    ("free_mem_list_.count_", 16, 8),
    ("spare_", 24, 8),
    ("spare_count_", 32, 8),
    ("start_", 40, 8),
    ("end_", 48, 8),
    ("errors_", 56, 8, 5),
    ("lock_", 96, 4),
    ("nodes_from_", 100, 4),
)
HEAP_BLOCK: Final = _layout(
    "memory::heap_block",
    48,
    ("size", 0, 8),
    ("is_free", 8, 1),
    ("next", 16, 8),
    ("prev", 24, 8),
    ("magic", 32, 8),
    ("padding", 40, 8),
)
HEAP: Final = _layout(
    "memory::heap",
    120,
    ("heap_start_", 0, 8),
    ("heap_end_", 8, 8),
    ("heap_size_", 16, 8),
    ("first_block_", 24, 8),
    ("total_allocated_", 32, 8),
    ("total_free_", 40, 8),
    ("num_allocations_", 48, 8),
    ("num_frees_", 56, 8),
    ("num_expansions_", 64, 8),
    ("errors_", 72, 8, 5),
    ("lock_", 112, 4),
)

USER_ALLOCATOR: Final = _layout(
    "memory::user_allocator",
    104,
    ("heap_start_", 0, 8),
    ("heap_current_", 8, 8),
    ("heap_limit_", 16, 8),
    ("first_block_", 24, 8),
    ("page_directory_", 32, 8),
    ("total_allocated_", 40, 8),
    ("num_blocks_", 48, 8),
    ("errors_", 56, 8, 5),
    ("lock_", 96, 4),
)
PROCESS_MEMORY: Final = _layout(
    "memory::process_memory",
    264,
    ("page_directory_", 0, 8),
    ("code_start_", 8, 8),
    ("code_end_", 16, 8),
    ("data_start_", 24, 8),
    ("data_end_", 32, 8),
    ("stack_start_", 40, 8),
    ("stack_end_", 48, 8),
    *_inside("heap_", 56, USER_ALLOCATOR),
    *_inside("mmap_", 160, VIRT),
)
_REGISTERS: Final = (
    "r15 r14 r13 r12 r11 r10 r9 r8 rbp rdi rsi rdx rcx rbx rax vector error rip cs rflags rsp ss"
)
PROCESS: Final = _layout(
    "coronel::process",
    480,
    ("pid", 0, 8),
    ("state", 8, 4),
    ("exit_code", 12, 4),
    ("next", 16, 8),
    *_inside("memory", 24, PROCESS_MEMORY),
    ("name", 288, 1, 16),
    *((f"context.{name}", 304 + 8 * index, 8) for index, name in enumerate(_REGISTERS.split())),
)
TRACE: Final = _layout(
    "coronel::trace", 32, ("ring_", 0, 8), ("capacity_", 8, 8), ("next_", 16, 8), ("lock_", 24, 4)
)
TRACE_RECORD: Final = _layout(
    "coronel::trace_record",
    64,
    ("sequence", 0, 8),
    ("what", 8, 4),
    ("cpu", 12, 2),
    ("depth", 14, 2),
    ("arguments", 16, 8, 3),
    ("result", 40, 8),
    ("caller", 48, 8),
    ("space", 56, 8),
)
SEEDED_FAULT: Final = _layout(
    "coronel::seeded_fault",
    192,
    ("kind", 0, 4),
    ("line", 4, 4),
    ("victim", 8, 8),
    ("culprit", 16, 8),
    ("address", 24, 8),
    ("length", 32, 8),
    ("file", 40, 8),
    ("name", 48, 8),
    ("caller", 56, 8),
    ("original", 64, 1, 64),
    ("written", 128, 1, 64),
)

TRACE_RECORD_BYTES: Final = TRACE_RECORD.size_bytes

ALL: Final = (
    FRAME,
    RANGE,
    PHYSICAL,
    NODE,
    VIRT,
    HEAP_BLOCK,
    HEAP,
    USER_ALLOCATOR,
    PROCESS_MEMORY,
    PROCESS,
    TRACE,
    TRACE_RECORD,
    SEEDED_FAULT,
)
