"""Orders for the kernel's scenario `executor`, as whoever gives them writes them (docs/spec.md §16.4)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from model.trace import Operation

ARGUMENTS: Final = 4
MOST_ORDERS: Final = 584
U64_MASK: Final = (1 << 64) - 1
_NO_REFERENCE: Final = 0xFFFF
_ORDER: Final = struct.Struct("<II4H4Q")


class Code(IntEnum):
    """What an order asks for; the numbers up to 23 are those of the trace (§12.3)."""

    PHYSICAL_ALLOC = Operation.PHYSICAL_ALLOC
    PHYSICAL_FREE = Operation.PHYSICAL_FREE
    VIRT_ALLOC = Operation.VIRT_ALLOC
    VIRT_ALLOC_AT = Operation.VIRT_ALLOC_AT
    VIRT_FREE = Operation.VIRT_FREE
    PAGING_MAP = Operation.PAGING_MAP
    PAGING_UNMAP = Operation.PAGING_UNMAP
    HEAP_MALLOC = Operation.HEAP_MALLOC
    HEAP_FREE = Operation.HEAP_FREE
    HEAP_REALLOC = Operation.HEAP_REALLOC
    HEAP_CALLOC = Operation.HEAP_CALLOC
    HEAP_ALIGNED_ALLOC = Operation.HEAP_ALIGNED_ALLOC
    PLACEMENT_KALLOC = Operation.PLACEMENT_KALLOC
    PROCESS_CREATE = Operation.PROCESS_CREATE
    PROCESS_DESTROY = Operation.PROCESS_DESTROY
    SYS_MALLOC = Operation.SYS_MALLOC
    SYS_FREE = Operation.SYS_FREE
    SYS_REALLOC = Operation.SYS_REALLOC
    SYS_CALLOC = Operation.SYS_CALLOC
    SYS_BRK = Operation.SYS_BRK
    SYS_MMAP = Operation.SYS_MMAP
    SYS_MUNMAP = Operation.SYS_MUNMAP
    STACK_GROWTH = Operation.STACK_GROWTH
    KALLOC = 32
    KFREE = 33
    VALIDATE_HEAP = 34
    CREATE_PAGE_DIRECTORY = 35
    CREATE_USER_PAGE_DIRECTORY = 36
    MAPIO = 37
    FILL = 38
    STORE = 39
    USER_STORE = 40
    USER_VALIDATE = 41


PROCESS_CODES: Final = frozenset((*range(Code.PROCESS_CREATE, Code.STACK_GROWTH + 1), Code.USER_STORE))
"""What may change the object of a process."""


@dataclass(frozen=True, slots=True)
class Result:
    """An argument: the result of the order of that number of the same sequence, plus an offset."""

    of: int
    offset: int = 0

    def __str__(self) -> str:
        """As it stands in a printed sequence."""
        return f"#{self.of}" + (f"{self.offset:+#x}" if self.offset else "")


@dataclass(frozen=True, slots=True)
class Order:
    """One operation: what, and with which arguments, at most four."""

    code: Code
    arguments: tuple[int | Result, ...] = ()

    def __str__(self) -> str:
        """As it stands in a printed sequence."""
        words = (str(word) if isinstance(word, Result) else f"{word:#x}" for word in self.arguments)
        return f"{self.code.name.lower()}({', '.join(words)})"

    def completed(self, results: Sequence[int]) -> tuple[int, ...]:
        """The four arguments, given the results so far."""
        values = [
            (results[word.of] + word.offset if isinstance(word, Result) else word) & U64_MASK
            for word in self.arguments
        ]
        return (*values, *[0] * (ARGUMENTS - len(values)))


def encode(orders: Sequence[Order]) -> bytes:
    """The orders as the mailbox holds them (§16.4)."""
    return b"".join(_ORDER.pack(order.code, 0, *_words(order)) for order in orders)


def _words(order: Order) -> list[int]:
    """References, then arguments."""
    references = [_NO_REFERENCE] * ARGUMENTS
    arguments = [0] * ARGUMENTS
    for index, word in enumerate(order.arguments):
        if isinstance(word, Result):
            references[index], arguments[index] = word.of, word.offset & U64_MASK
        else:
            arguments[index] = word & U64_MASK
    return references + arguments


def text(orders: Sequence[Order]) -> str:
    """A sequence, one line an order, as `docs/divergences.md` shows it."""
    return "\n".join(f"#{number} {order}" for number, order in enumerate(orders))
