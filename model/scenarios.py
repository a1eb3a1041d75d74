"""The scenarios a kernel runs after its boot, on the model: docs/spec.md §11.2 and §11.3."""

from dataclasses import dataclass
from typing import Final

from model.machine import Machine
from model.types import U64_MASK, VirtualAddress

SLOTS: Final = 256
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
