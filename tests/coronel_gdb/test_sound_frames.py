"""The proof in bulk against the list followed with care, on random healthy and damaged lists."""

from collections.abc import Callable
from random import Random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.lift import sound_frames
from coronel_gdb.lift.frames import LiftedFrames, lift_frames
from coronel_gdb.lift.sound_frames import SoundFrames
from model.layouts import PHYSICAL
from model.machine import Machine
from model.multiboot import MapEntry
from model.records import FrameManager
from model.types import VirtualAddress

Prove = Callable[[FrameManager, bytes], SoundFrames | None]
PATHS: dict[str, Prove] = {
    "steps": sound_frames._by_steps,
    "arrays": lambda manager, data: sound_frames._by_arrays(manager, data, numpy),
}


@pytest.fixture(scope="module")
def machine() -> Machine:
    """A list of some hundred nodes that is in no order."""
    booted = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, 5 << 20)])
    random, taken = Random(3), []
    while frame := booted.frames.alloc():
        taken.append(frame)
    random.shuffle(taken)
    for frame in taken[: len(taken) * 3 // 4]:
        booted.frames.free(frame)
    return booted


def careful(machine: Machine) -> LiftedFrames:
    context = Context(MachineTarget(machine))
    return lift_frames(context.target, context.space, context.profile.frames, careful=True)


def node_bytes(lifted: LiftedFrames) -> bytes:
    manager = lifted.manager
    found = lifted.image.bytes_at(manager.nodes, 16 * manager.node_count)
    assert found is not None
    return found


@pytest.mark.parametrize("path", PATHS)
def test_a_sound_list_is_proved_and_counted(machine: Machine, path: str) -> None:
    lifted = careful(machine)
    proved = PATHS[path](lifted.manager, node_bytes(lifted))
    assert proved is not None
    assert proved.count == len(lifted.nodes) == lifted.manager.free_count > 100
    assert {index for index, free in enumerate(proved.free) if free} == {
        node.address // 4096 for node in lifted.nodes
    }


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=80)
@given(data=st.data())
def test_what_is_proved_is_sound_by_the_careful_way(machine: Machine, path: str, data: st.DataObject) -> None:
    lifted = careful(machine)
    manager = lifted.manager
    nodes = [manager.nodes + 16 * index for index in range(manager.node_count)]
    listed = [int(node.node) for node in lifted.nodes]
    words = st.one_of(
        st.sampled_from(listed),
        st.sampled_from(nodes),
        st.sampled_from([0, 8, manager.nodes - 16, nodes[-1] + 16, 1 << 63, (1 << 64) - 1]),
        st.integers(0, (1 << 64) - 1),
        st.integers(0, manager.node_count).map(lambda number: number * 4096),
    )
    object_fields = [PHYSICAL.member(name).offset_bytes for name in ("free_list_", "free_count_")]
    places = st.one_of(
        st.sampled_from([manager.address + offset for offset in object_fields]),
        st.tuples(st.sampled_from(listed + nodes), st.sampled_from([0, 8])).map(sum),
    )
    changes = data.draw(st.lists(st.tuples(places, words), min_size=1, max_size=3))
    saved = [(at, machine.memory.read_u64(VirtualAddress(at))) for at, _ in changes]
    for at, value in changes:
        machine.memory.write_u64(VirtualAddress(at), value)
    try:
        damaged = careful(machine)
        proved = PATHS[path](damaged.manager, node_bytes(damaged))
        verdict = damaged.verdict()
        if proved is not None:
            assert (verdict.violations, verdict.unchecked) == ([], [])
            assert proved.count == len(damaged.nodes)
        elif not verdict.violations and not verdict.unchecked:
            # More than the invariants ask for: a node in use that links all the same.
            free = {node.node for node in damaged.nodes}
            assert any(at & ~0xF not in free for at, _ in changes)
    finally:
        for at, value in reversed(saved):
            machine.memory.write_u64(VirtualAddress(at), value)


def prove_words(prove: Prove, words: list[int], nodes: int, free_list: int, count: int) -> SoundFrames | None:
    data, total = b"".join(word.to_bytes(8, "little") for word in words), len(words) // 2
    ranges = ((4096, 4096 * total),)
    return prove(FrameManager(0, 4096 * total, free_list, nodes, total, count, ranges, (0,) * 5, 0), data)  # type: ignore[arg-type]


def list_of(order: list[int], total: int, nodes: int) -> list[int]:
    """An array whose list has the nodes with these numbers."""
    words = [0] * (2 * total)
    for index, number in enumerate(order):
        words[2 * number] = 4096 * number
        words[2 * number + 1] = nodes + 16 * order[index + 1] if index + 1 < len(order) else 0
    return words


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("nodes", [0xFFFF_FFFF_8040_0000, 0x10])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 5000])
def test_lists_of_every_length_and_cycles_beside_them(path: str, nodes: int, count: int) -> None:
    """A ring apart from the list has one link into each of its nodes too: only counting tells."""
    total = 2 * count + 8
    order = Random(count).sample(range(1, total), count)
    words = list_of(order, total, nodes)
    head = nodes + 16 * order[0] if count else 0
    proved = prove_words(PATHS[path], words, nodes, head, count)
    assert proved is not None
    assert proved.count == count
    if count > 3:
        ring = order[-3:]
        words[2 * order[-4] + 1] = 0
        words[2 * ring[-1] + 1] = nodes + 16 * ring[0]
        assert prove_words(PATHS[path], words, nodes, head, count) is None


@pytest.mark.parametrize("path", PATHS)
def test_null_is_no_place_in_an_array_in_low_memory(path: str) -> None:
    """From null one would come to the last node here, and to the end again in as many steps as nodes."""
    nodes, order = 0x10, [1, 3, 9, 5, 7, 2, 4, 6]
    words = list_of(order, 10, nodes)
    words[2 * 7 + 1], words[2 * 6 + 1] = 0, nodes + 16 * 2  # 2, 4 and 6 are a ring
    assert prove_words(PATHS[path], words, nodes, nodes + 16, len(order)) is None


def test_a_free_frame_outside_all_ranges_is_not_proved(machine: Machine) -> None:
    lifted = careful(machine)
    manager = lifted.manager
    start, end = manager.ranges[0]
    lowest, *_, highest = sorted(node.address for node in lifted.nodes)
    for ranges in (((lowest + 4096, end),), ((start, highest),), ((start, lowest), (lowest + 4096, end)), ()):
        fields = {name: getattr(manager, name) for name in manager.__slots__} | {"ranges": ranges}
        narrower = FrameManager(**fields)
        for prove in PATHS.values():
            assert prove(narrower, node_bytes(lifted)) is None
