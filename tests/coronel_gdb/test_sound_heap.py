"""The proof in bulk against the heap walked with care, on random healthy and damaged heaps."""

from collections.abc import Callable

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.lift import sound_heap
from coronel_gdb.lift.bulk import numpy_for, plain
from coronel_gdb.lift.heap import LiftedHeap, lift_heap, read_heap
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.sound_heap import SoundHeap
from coronel_gdb.profiles.schema import HeapProfile
from model import scenarios
from model.layouts import HEAP, HEAP_BLOCK
from model.machine import Machine
from model.multiboot import MapEntry
from model.records import Heap
from model.types import VirtualAddress

Prove = Callable[[Heap, Image, HeapProfile], SoundHeap | None]


def by_steps(heap: Heap, image: Image, profile: HeapProfile) -> SoundHeap | None:
    with plain():
        return sound_heap.prove(heap, image, profile)


def by_arrays(heap: Heap, image: Image, profile: HeapProfile) -> SoundHeap | None:
    assert numpy_for(1) is numpy
    return sound_heap.prove(heap, image, profile)


PATHS: dict[str, Prove] = {"steps": by_steps, "arrays": by_arrays}
MAP = [MapEntry(0, 0x9FC00), MapEntry(1 << 20, 7 << 20)]


@pytest.fixture(scope="module")
def machine() -> Machine:
    """A heap of several regions, one of them apart from the others, full of remains of merged blocks."""
    booted = Machine.boot(MAP)
    scenarios.mixed(booted, 42, 100)
    booted.regions.alloc(3 << 16)
    scenarios.mixed(booted, 7, 100)
    return booted


HEAP_WORDS = (
    *("heap_start_", "heap_end_", "heap_size_", "first_block_", "total_allocated_", "total_free_"),
    "num_frees_",
)


def profile_of(machine: Machine) -> HeapProfile:
    return Context(MachineTarget(machine)).profile.heap


def lift(machine: Machine, *, careful: bool) -> LiftedHeap:
    context = Context(MachineTarget(machine))
    heap = read_heap(context.target, context.space, context.profile.heap)
    return lift_heap(context.space, heap, context.profile.heap, careful=careful)


def check_equal(machine: Machine, path: str) -> None:
    """Proved means sound by the careful way, with the same blocks; sound means proved."""
    careful, profile = lift(machine, careful=True), profile_of(machine)
    proved = PATHS[path](careful.heap, careful.image, profile)
    verdict = careful.verdict(profile)
    sound = careful.end is None and not verdict.violations and not verdict.unchecked
    assert (proved is not None) == sound
    if proved is None:
        return
    used = [block for block in careful.blocks if not block.is_free]
    free = [block for block in careful.blocks if block.is_free]
    assert (proved.used, proved.free) == (len(used), len(free))
    assert proved.used_bytes == sum(block.size_bytes for block in used)
    assert proved.free_bytes == sum(block.size_bytes for block in free)
    assert proved.largest_free_bytes == max((block.size_bytes for block in free), default=0)
    assert list(sound_heap.blocks_of(careful.heap, careful.image, profile)) == careful.blocks
    assert sum(end - start for start, end in proved.regions) == careful.heap.heap_size


@pytest.mark.parametrize("path", PATHS)
def test_a_sound_heap_is_proved(machine: Machine, path: str) -> None:
    check_equal(machine, path)
    lifted = lift(machine, careful=False)
    assert lifted.sound is not None
    assert lifted.blocks == []
    assert len(list(lifted.all_blocks(profile_of(machine)))) == lifted.count > 50


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1 << 30), operations=st.integers(1, 60))
def test_every_healthy_heap_is_proved(path: str, seed: int, operations: int) -> None:
    machine = Machine.boot(MAP)
    scenarios.mixed(machine, seed, operations)
    check_equal(machine, path)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60)
@given(data=st.data())
def test_damage_is_never_proved_sound(machine: Machine, path: str, data: st.DataObject) -> None:
    blocks = list(lift(machine, careful=False).all_blocks(profile_of(machine)))
    addresses = [int(block.address) for block in blocks]
    fields = [HEAP_BLOCK.member(name).offset_bytes for name in ("size", "is_free", "next", "prev", "magic")]
    heap_fields = [HEAP.member(name).offset_bytes for name in HEAP_WORDS]
    at = data.draw(
        st.one_of(
            st.tuples(st.sampled_from(addresses), st.sampled_from(fields)).map(sum),
            st.sampled_from([machine.heap.fields.address + offset for offset in heap_fields]),
            st.tuples(st.sampled_from(addresses), st.integers(-24, 63)).map(sum).filter(addresses[0].__le__),
        )
    )
    new = data.draw(
        st.one_of(
            st.sampled_from(addresses).map(lambda value: value.to_bytes(8, "little")),
            st.sampled_from([0, 1, 16, 48, 4096, 1 << 63, (1 << 64) - 16]).map(
                lambda value: value.to_bytes(8, "little")
            ),
            st.binary(min_size=1, max_size=24),
        )
    )
    assume(at + len(new) <= machine.heap.fields.get("heap_end_"))
    saved = machine.memory.read(VirtualAddress(at), len(new))
    machine.memory.write(VirtualAddress(at), new)
    try:
        check_equal(machine, path)
    finally:
        machine.memory.write(VirtualAddress(at), saved)
