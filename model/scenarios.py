"""The scenarios a kernel runs after its boot, on the model: docs/spec.md §11.2, §11.3, §11.5, §11.6."""

from dataclasses import dataclass
from typing import Final

from model.block_list import HEADER_BYTES, data_of, touches
from model.machine import Machine
from model.types import PAGE_BYTES, U64_MASK, VirtualAddress

SLOTS: Final = 256
BUFFERS: Final = 8  # §11.5
BUFFER_BYTES: Final = 64
TEXT: Final = b"a text that is longer than the buffer, of which the routine that writes it knows no size"
_NULL: Final = VirtualAddress(0)


@dataclass(slots=True)
class SplitMix64:
    """The random numbers of §11.2; `state` starts as the seed."""

    state: int

    def next(self) -> int:
        """The next u64."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & U64_MASK
        mixed_bits = self.state
        mixed_bits = (mixed_bits ^ mixed_bits >> 30) * 0xBF58476D1CE4E5B9 & U64_MASK
        mixed_bits = (mixed_bits ^ mixed_bits >> 27) * 0x94D049BB133111EB & U64_MASK
        return mixed_bits ^ mixed_bits >> 31


def boot(machine: Machine, seed: int, ops: int) -> None:
    """Do nothing (§11.3)."""


def mixed(machine: Machine, seed: int, ops: int) -> tuple[VirtualAddress, ...]:
    """Allocate, resize and free at random, `ops` times (§11.3); the slots at the end, 0 for empty."""
    random = SplitMix64(seed)
    slots = [_NULL] * SLOTS
    for _ in range(ops):
        number = random.next()
        index, choice = number % SLOTS, (number >> 32) % 8
        if slots[index] == _NULL:
            size_bytes = 1 + random.next() % (16384 if choice == 0 else 1024)
            slots[index] = machine.kalloc(size_bytes)
            if slots[index] != _NULL:
                machine.memory.fill(slots[index], size_bytes, index)
        elif choice == 0:
            size_bytes = 1 + random.next() % 2048
            slots[index] = machine.heap.realloc(slots[index], size_bytes) or slots[index]
        else:
            machine.kfree(slots[index])
            slots[index] = _NULL
    return tuple(slots)


@dataclass(frozen=True, slots=True)
class Overflow:
    """What `overflow` did, as the kernel notes it (§11.4): headers, damaged bytes before and after."""

    victim: VirtualAddress
    culprit: VirtualAddress
    address: VirtualAddress
    original: bytes
    written: bytes


def overflow(machine: Machine, seed: int, text: bytes = TEXT) -> Overflow | None:
    """Write a text of 88 bytes into a buffer of 64 (§11.5); None when no buffer fits the purpose."""
    buffers = [machine.kalloc(BUFFER_BYTES) for _ in range(BUFFERS)]
    first = SplitMix64(seed).next() % BUFFERS
    for buffer in [*buffers[first:], *buffers[:first]]:
        if buffer == _NULL:
            continue
        extent = machine.heap.blocks.extent()
        block = machine.heap.blocks.read_valid(buffer - HEADER_BYTES, extent)
        if block is None or block.size_bytes != BUFFER_BYTES:
            continue
        victim = machine.heap.blocks.read_valid(block.next, extent)
        if victim is not None and touches(block, victim):
            length_bytes = len(text) - BUFFER_BYTES
            original = machine.memory.read(victim.address, length_bytes)
            machine.memory.write(data_of(block), text)
            written = text[BUFFER_BYTES:]
            return Overflow(victim.address, block.address, victim.address, original, written)
    return None


def fragmentation(machine: Machine, seed: int) -> None:
    """Make holes that are too small, then fill them and give everything back (§11.6)."""
    random = SplitMix64(seed)
    slots = [machine.kalloc(64 + random.next() % 192) for _ in range(512)]
    for even in range(0, len(slots), 2):
        machine.kfree(slots[even])
    for block in [machine.kalloc(512) for _ in range(256)]:
        machine.kfree(block)
    for even in range(0, len(slots), 2):
        slots[even] = machine.kalloc(64)
    for block in slots:
        machine.kfree(block)


def large(machine: Machine) -> int:
    """The size of the largest block, to a page (§11.6)."""

    def is_given(size_bytes: int) -> bool:
        block = machine.kalloc(size_bytes)
        return block != _NULL and machine.kfree(block)

    given, refused = 0, 8192
    while is_given(refused):
        given, refused = refused, 2 * refused
    while refused - given > PAGE_BYTES:
        middle = (given + refused) // 2
        given, refused = (middle, refused) if is_given(middle) else (given, middle)
    return given
