"""Every field that boundary tags rest on, damaged one at a time: found each time, and named where it lies.

The judge is the byte that was changed. Damage that hides a whole chunk inside another one (a size that is
enlarged by just the next chunk's) leaves nothing but the counters to speak, so not all are named exactly.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.checks.chunks import chunk_findings
from coronel_gdb.commands.command import Context
from coronel_gdb.lift.chunks import LiftedArena, fields_of, follow_arena, read_arena, rules_of
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.report import Finding
from model.types import PhysicalAddress
from tests.kernels.told import LOADED, at, elf

KERNEL_BASE = 0xFFFF_FFFF_8000_0000
U64 = (1 << 64) - 1
STEP = 10
"""Every tenth chunk: that is about 200 damages."""
Change = Callable[[int, random.Random], int]


def flipped(bit: int) -> Change:
    return lambda word, _: word ^ 1 << bit


KINDS: dict[str, Change] = {
    "low byte 0": lambda word, _: word & ~0xFF,
    "low byte A": lambda word, _: word & ~0xFF | 0x41,
    "all ones": lambda _, __: U64,
    "zero": lambda _, __: 0,
    "text": lambda _, __: int.from_bytes(b"te this ", "little"),
    "noise": lambda _, drawn: drawn.getrandbits(64),
    **{f"bit {bit}": flipped(bit) for bit in (0, 1, 4, 5, 6)},
}


class Patched:
    """The memory of a dump with a word changed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at, self.word = 0, b""

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        data = bytearray(self._data[address : address + size_bytes])
        for index, byte in enumerate(self.word):
            if address <= self.at + index < address + size_bytes:
                data[self.at + index - address] = byte
        return bytes(data)

    def describe(self) -> str:
        return "a copy with a word changed"


class Bench:
    """The arena of a dump, lifted anew after each change."""

    def __init__(self, path: Path) -> None:
        self.target = DumpTarget(path, elf("tags"))
        self.context = Context(self.target)
        self.section = self.context.profile.sections["heap"]
        self.memory = Patched(self.target.memory.read(PhysicalAddress(0), 4 << 20))
        self.sound = self.lift()
        self.free = self.sound.free()

    def lift(self) -> LiftedArena:
        space = AddressSpace(self.memory, self.context.space.root, self.context.space.mode)
        arena = read_arena(self.target, space, self.section)
        return follow_arena(space, arena, rules_of(self.section), fields_of(self.section))

    def judged(self, address: int, word: int) -> list[Finding]:
        self.memory.at, self.memory.word = address - KERNEL_BASE, word.to_bytes(8, "little")
        lifted = self.lift()
        return chunk_findings(lifted, lifted.verdict())

    def fields(self, index: int) -> Iterator[str]:
        """The fields of a chunk that anything rests on."""
        yield "size"
        if index and self.free[index - 1]:
            yield "prev_size"
        if self.free[index] and index + 1 < len(self.free):  # top is in no bin
            yield from ("fd", "bk")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    path = tmp_path_factory.mktemp("tags") / "elf"
    with at("tags", "seed=3 ops=3000", LOADED) as stopped:
        assert stopped.machine.monitor(f'dump-guest-memory "{path}"') == ""
    return Bench(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_word_is_found_and_nearly_always_named(bench: Bench, kind: str) -> None:
    drawn = random.Random(kind)
    missed, named, tried = [], 0, 0
    for index in range(drawn.randrange(STEP), len(bench.sound.chunks), STEP):
        chunk = bench.sound.chunks[index]
        for field in bench.fields(index):
            word = getattr(chunk, field)
            changed = KINDS[kind](word, drawn)
            if changed == word:
                continue
            tried += 1
            found = bench.judged(chunk.address + getattr(bench.sound.fields, field), changed)
            if not found:
                missed.append((hex(chunk.address), field, hex(word), hex(changed)))
            named += any(
                one["field"] == field and one["expected"] == word
                for finding in found
                if finding.subject == chunk.address
                for one in finding.data.get("fields", ())  # type: ignore[attr-defined]  # a list of mappings
            )
    assert missed == []
    assert tried > 12
    assert named >= tried * 0.8, f"{named} of {tried}"


def test_without_damage_there_is_none(bench: Bench) -> None:
    bench.memory.word = b""
    assert bench.lift().verdict().violations == []
