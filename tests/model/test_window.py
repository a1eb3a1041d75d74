"""What the last records of a trace prove: contradictions, and nothing that a sound kernel does."""

from model.trace import Operation as O
from model.trace import TraceRecord
from model.window import examine

MANAGER = 0xFFFF_FFFF_8080_0330


def records(*calls: tuple[int, int, int, int, int]) -> list[TraceRecord]:
    return [TraceRecord(at, call[0], 0, 0, *call[1:], 0, 0) for at, call in enumerate(calls, 500)]


def test_a_range_given_twice_contradicts() -> None:
    given = (O.VIRT_ALLOC, 4096, MANAGER, 0, 0x4000_0000)
    (found,) = examine(records(given, given)).contradictions
    assert found.record.sequence == 501


def test_the_mappings_of_a_process_end_with_it() -> None:
    """The next process can have its manager at the same address."""
    given = (O.VIRT_ALLOC, 4096, MANAGER, 0, 0x4000_0000)
    assert examine(records(given, (O.PROCESS_DESTROY, 1, 0, 0, 0), given)).contradictions == []


def test_the_kernels_ranges_outlive_processes() -> None:
    given = (O.VIRT_ALLOC, 4096, MANAGER, 0, 0xFFFF_FFFF_8040_0000)
    (found,) = examine(records(given, (O.PROCESS_DESTROY, 1, 0, 0, 0), given)).contradictions
    assert found.record.sequence == 502
