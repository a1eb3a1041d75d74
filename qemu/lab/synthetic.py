"""Kernels that never ran, written in one go: a heap or a list of free frames of any size, for `make bench`.

They look to the commands like any other target: physical memory, page tables, symbols, structures in the
layouts of docs/spec.md §10.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy

from coronel_gdb.errors import ReadFault, TargetError, UsageError
from coronel_gdb.protocols import PhysicalMemory
from model.layouts import HEAP, PHYSICAL
from model.page_entry import ADDRESS_BITS
from model.records import HeapRules
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

BASE = 0xFFFF_FFFF_8000_0000  # where all of the memory is mapped, page by page
_FLAGS = 0x8000_0000_0000_0063  # NX, D, A, W, P
_REGISTERS = {"cr0": 0x8001_0001, "cr2": 0, "cr4": 0x20, "efer": 0xD00, "rip": BASE}


class Synthetic:
    """A stopped machine whose memory is one array, mapped from `BASE` on."""

    def __init__(self, size_bytes: int) -> None:
        pages = -(-size_bytes // PAGE_BYTES)
        tables = -(-pages // 512)
        self.first_free = (3 + tables) * PAGE_BYTES
        self.bytes = numpy.zeros(self.first_free + pages * PAGE_BYTES, dtype="u1")
        self.symbols: dict[str, int] = {}
        words = self.bytes.view("<u8")
        words[511] = PAGE_BYTES | 0x63  # PML4
        words[512 + 510] = 2 * PAGE_BYTES | 0x63  # PDPT
        words[1024 : 1024 + tables] = (3 + numpy.arange(tables, dtype="u8")) * PAGE_BYTES | 0x63
        entries = self.first_free + numpy.arange(pages, dtype="u8") * PAGE_BYTES
        words[3 * 512 : 3 * 512 + pages] = (entries & ADDRESS_BITS) | numpy.uint64(_FLAGS)

    def put(self, offset: int, data: bytes) -> int:
        """Bytes at an offset of the mapped memory; the virtual address of the first."""
        at = self.first_free + offset
        self.bytes[at : at + len(data)] = numpy.frombuffer(data, dtype="u1")
        return BASE + offset

    def put_fields(self, offset: int, fields: Mapping[int, bytes]) -> int:
        """A structure, field by field."""
        for at, data in fields.items():
            self.put(offset + at, data)
        return BASE + offset

    @property
    def memory(self) -> PhysicalMemory:
        """The array."""
        return self

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """Bytes of the array."""
        if address + size_bytes > len(self.bytes):
            raise ReadFault("physical", address, size_bytes, "outside the machine's RAM")
        return self.bytes[address : address + size_bytes].tobytes()

    def describe(self) -> str:
        """The route."""
        return "physical, synthetic"

    def register(self, name: str) -> int:
        """What a kernel with paging on has."""
        if name not in _REGISTERS and name != "cr3":
            raise TargetError(f"no register {name}")
        return _REGISTERS.get(name, 0)

    def symbol(self, name: str) -> VirtualAddress | None:
        """A symbol that was given."""
        return VirtualAddress(self.symbols[name]) if name in self.symbols else None

    def evaluate(self, expression: str) -> int:
        """Nothing is evaluated here."""
        raise UsageError(f"cannot evaluate {expression}")

    def kernel(self) -> Path | None:
        """No file: the layouts are those of the specification."""
        return None

    def facts(self) -> Sequence[tuple[str, str]]:
        """That it is synthetic."""
        return [("target", "synthetic machine")]


def heap(blocks: int) -> Synthetic:
    """A sound heap of that many blocks of 16 to 64 bytes, every fifth of them free."""
    rules = HeapRules()
    random = numpy.random.default_rng(blocks)
    sizes = random.integers(1, 5, blocks, dtype="u8") * numpy.uint64(16)
    free = numpy.arange(blocks) % 5 == 4
    total = int(sizes.sum()) + rules.header_bytes * blocks
    region = -(-total // PAGE_BYTES) * PAGE_BYTES
    sizes[-1] += region - total
    made = Synthetic(PAGE_BYTES + region)
    start = BASE + PAGE_BYTES
    ends = numpy.cumsum(sizes + numpy.uint64(rules.header_bytes)) + numpy.uint64(start)
    starts = numpy.append(numpy.uint64(start), ends[:-1])
    words = made.bytes.view("<u8")
    at = ((starts - numpy.uint64(BASE)) + numpy.uint64(made.first_free)) // numpy.uint64(8)
    words[at], words[at + 1] = sizes, free
    words[at[:-1] + 2], words[at[1:] + 3] = starts[1:], starts[:-1]
    words[at + 4] = numpy.where(free, numpy.uint64(rules.magic_free), numpy.uint64(rules.magic_used))
    free_bytes = int(sizes[free].sum())
    fields = {
        "heap_start_": start,
        "heap_end_": start + region,
        "heap_size_": region,
        "first_block_": start,
        "total_allocated_": int(sizes.sum()) - free_bytes,
        "total_free_": free_bytes,
        "num_allocations_": int((~free).sum()) + 7,
        "num_frees_": 7,
        "num_expansions_": 1,
    }
    return _with_symbols(made, made.put_fields(64, HEAP.encode(fields)), 0)


def frames(nodes: int) -> Synthetic:
    """A sound list of that many free frames in random order, all frames of the machine but the first 256."""
    reserved = 256
    count = nodes + reserved
    made = Synthetic(PAGE_BYTES + 16 * count)
    table = BASE + PAGE_BYTES
    order = numpy.random.default_rng(nodes).permutation(nodes).astype("u8") + numpy.uint64(reserved)
    words = made.bytes.view("<u8")[(made.first_free + PAGE_BYTES) // 8 :][: 2 * count].reshape(count, 2)
    words[order, 0] = order * numpy.uint64(PAGE_BYTES)
    words[order[:-1], 1] = numpy.uint64(table) + numpy.uint64(16) * order[1:]
    fields = {
        "physical_end_": count * PAGE_BYTES,
        "free_list_": table + 16 * int(order[0]),
        "nodes_": table,
        "node_count_": count,
        "free_count_": nodes,
        "ranges_": reserved * PAGE_BYTES,
        "range_count_": 1,
    }
    manager = made.put_fields(64, PHYSICAL.encode(fields))
    made.put(64 + PHYSICAL.member("ranges_").offset_bytes + 8, (count * PAGE_BYTES).to_bytes(8, "little"))
    return _with_symbols(made, 0, manager)


def _with_symbols(made: Synthetic, heap_object: int, manager: int) -> Synthetic:
    variables = {
        "g_kernel_heap": heap_object,
        "g_physical_manager": manager,
        "g_kernel_virtual_manager": 0,
        "paging::window_table_": 0,  # a kernel is known by it
    }
    for number, (name, value) in enumerate(variables.items()):
        made.symbols[name] = made.put(8 * number, value.to_bytes(8, "little"))
    return made
