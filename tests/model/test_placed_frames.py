"""A list of free frames whose nodes lie anywhere: what is sound, and one specimen of each damage."""

from dataclasses import replace

import pytest

from model.invariants.placed_frames import check_placed_frames
from model.records import FrameManager, FrameNode
from model.types import PhysicalAddress, VirtualAddress

PAGE = 4096


def manager(count: int, unkept: frozenset[str] = frozenset()) -> FrameManager:
    managed = ((PhysicalAddress(PAGE), PhysicalAddress(64 * PAGE)),)
    head = VirtualAddress(0x9000)
    return FrameManager(
        VirtualAddress(0x8000),
        PhysicalAddress(64 * PAGE),
        head,
        VirtualAddress(0),
        0,
        count,
        managed,
        (),
        0,
        unkept,
    )


def nodes(*frames: int) -> list[FrameNode]:
    at = [0x9000 + 48 * number for number in range(len(frames) + 1)]
    at[-1] = 0
    return [
        FrameNode(VirtualAddress(here), PhysicalAddress(frame * PAGE), VirtualAddress(after))
        for here, after, frame in zip(at, at[1:], frames, strict=False)
    ]


def broken(owner: FrameManager, listed: list[FrameNode], stop: int = 0) -> list[tuple[str, int]]:
    found = check_placed_frames(owner, listed, stop=stop).violations
    return [(each.invariant.id, each.subject) for each in found]


def test_a_sound_list_breaks_nothing() -> None:
    assert broken(manager(3), nodes(5, 3, 9)) == []
    assert check_placed_frames(manager(3), nodes(5, 3, 9)).evaluated == 12


@pytest.mark.parametrize(
    ("listed", "stop", "expected"),
    [
        (nodes(5, 3, 5), 0, [("placed_frames.once", 0x9060)]),
        (nodes(5, 99, 3), 0, [("frames.managed", 0x9030)]),
        (nodes(5, 3), 0, [("frames.free_count", 0x8000)]),
        (nodes(5, 3, 9), 0x9030, [("frames.cycle", 0x9060)]),
        (nodes(5, 3, 9), 0xDEAD, [("frames.end", 0x9060)]),
    ],
)
def test_each_damage_is_found_where_it_is(
    listed: list[FrameNode], stop: int, expected: list[tuple[str, int]]
) -> None:
    assert broken(manager(3), listed, stop) == expected


def test_a_frame_begins_at_a_page() -> None:
    listed = nodes(5, 3, 9)
    listed[1] = replace(listed[1], address=PhysicalAddress(3 * PAGE + 8))
    assert broken(manager(3), listed) == [("placed_frames.page", 0x9030)]


def test_what_is_managed_is_whole_pages() -> None:
    narrow = ((PhysicalAddress(PAGE + 1), PhysicalAddress(64 * PAGE)),)
    assert broken(replace(manager(2), ranges=narrow), nodes(5, 3)) == [("frames.managed", 0x8000)]


def test_what_the_kernel_does_not_keep_is_not_judged() -> None:
    without = manager(7, frozenset({"ranges", "free_count"}))
    verdict = check_placed_frames(without, nodes(5, 99))
    assert verdict.violations == []
    assert [field for _, field in verdict.unkept] == ["ranges", "free_count"]
