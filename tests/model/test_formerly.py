"""Who had bytes before, and which operations must have been refused, by the records alone."""

from model.formerly import former_owner, misused_blocks, misused_frames
from model.trace import Operation as O
from model.trace import TraceRecord, user_calls

A, B = 0xFFFF_FFFF_8040_0030, 0xFFFF_FFFF_8040_1030
Call = tuple[int, int, int, int]


def records(*calls: Call, space: int = 0x1000) -> list[TraceRecord]:
    """Operation, two arguments, result."""
    return [
        TraceRecord(at, what, 0, 0, first, second, 0, result, 0, space)
        for at, (what, first, second, result) in enumerate(calls)
    ]


def test_the_block_that_was_freed_last_is_the_former_owner() -> None:
    given = records(
        (O.HEAP_MALLOC, 200, 0, A),
        (O.HEAP_FREE, A, 0, 0),
        (O.HEAP_CALLOC, 10, 20, A),
        (O.HEAP_FREE, A, 0, 0),
        (O.HEAP_MALLOC, 64, 0, A),
    )
    found = former_owner(given, A + 72, A + 96)
    assert found is not None
    assert (found.pointer, found.size_bytes) == (A, 208)
    assert (found.allocated, found.freed) == (given[2], given[3])
    # Bytes that a live block has are its own, whoever had them before.
    assert former_owner(given, A + 40, A + 48) is None
    assert former_owner(given, A + 60, A + 72) is None
    assert former_owner(given, A + 200, A + 216) is None


def test_a_realloc_that_moves_frees_and_one_that_is_refused_does_not() -> None:
    moved = records((O.HEAP_MALLOC, 200, 0, A), (O.HEAP_REALLOC, A, 4000, B))
    found = former_owner(moved, A + 72, A + 80)
    assert found is not None
    assert found.freed == moved[1]
    assert former_owner(moved, B + 72, B + 80) is None
    refused = records((O.HEAP_MALLOC, 200, 0, A), (O.HEAP_REALLOC, A, 4000, 0))
    assert former_owner(refused, A + 72, A + 80) is None


def test_a_process_has_a_history_of_its_own() -> None:
    calls = ((O.SYS_MALLOC, 200, 0, 0x800_0030), (O.SYS_FREE, 0x800_0030, 0, 0))
    theirs = records(*calls)
    assert former_owner(theirs, 0x800_0040, 0x800_0048, user_calls(0x1000)) is not None
    assert former_owner(theirs, 0x800_0040, 0x800_0048, user_calls(0x2000)) is None
    assert former_owner(theirs, 0x800_0040, 0x800_0048) is None


def test_what_was_freed_twice_or_lies_inside_a_block_is_misused() -> None:
    given = records(
        (O.HEAP_MALLOC, 200, 0, A),
        (O.HEAP_FREE, A + 16, 0, 0),
        (O.HEAP_FREE, A, 0, 0),
        (O.HEAP_FREE, A, 0, 0),
        (O.HEAP_FREE, B, 0, 0),
        (O.HEAP_FREE, 0, 0, 0),
    )
    inside, twice, unknown = misused_blocks(given, complete=True)
    assert (inside.record, inside.earlier) == (given[1], (given[0],))
    assert "16 bytes inside the block" in inside.why
    assert (twice.record, twice.earlier) == (given[3], (given[0], given[2]))
    assert (unknown.record, unknown.earlier) == (given[4], ())
    # Where records were lost, somebody may have been given that pointer.
    assert [found.record for found in misused_blocks(given, complete=False)] == [given[1], given[3]]


def test_a_block_that_was_given_again_may_be_freed_again() -> None:
    calls = ((O.HEAP_MALLOC, 20, 0, A), (O.HEAP_FREE, A, 0, 0))
    assert misused_blocks(records(*calls, *calls), complete=True) == []


def test_frames_that_are_freed_twice_or_are_none() -> None:
    calls = (
        (O.PHYSICAL_ALLOC, 0, 0, 0x5000),
        (O.PHYSICAL_FREE, 0x5000, 0, 0),
        (O.PHYSICAL_FREE, 0x5000, 0, 0),
        (O.PHYSICAL_FREE, 0x5001, 0, 0),
        (O.PHYSICAL_ALLOC, 0, 0, 0x5000),
        (O.PHYSICAL_FREE, 0x5000, 0, 0),
        (O.PHYSICAL_FREE, 0x9000, 0, 0),
    )
    given = records(*calls)
    found = misused_frames(given, [(0x4000, 0x8000)])
    assert [misused.record for misused in found] == [given[2], given[3], given[6]]
    assert found[0].earlier == (given[0], given[1])
