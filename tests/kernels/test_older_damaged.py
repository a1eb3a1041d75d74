"""Seeded damages to what the older kernel left in memory: each is found, and named where it is."""

from collections.abc import Iterator
from random import Random

import pytest

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.commands.command import Command, Context
from coronel_gdb.commands.frames import COMMAND as FRAMES
from coronel_gdb.commands.heapcheck import COMMAND as HEAPCHECK
from coronel_gdb.commands.survey import Survey
from coronel_gdb.lift.user_heap import lift_user_heap, read_user_heap
from coronel_gdb.profiles.schema import Structure
from coronel_gdb.report import Report
from lab.corpus.snapshot import DamagedTarget
from lab.paths import OLDER_BOOT_ELF, OLDER_ELF
from lab.stopped import at_checkpoint
from model.paging import Translation
from model.types import PhysicalAddress, VirtualAddress

DRAWN = 12


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> DumpTarget:
    """After a healthy load, as a dump."""
    core = tmp_path_factory.mktemp("older") / "core"
    append = "scenario=load seed=3 ops=4000"
    with at_checkpoint(2, append, elf=OLDER_ELF, boot_elf=OLDER_BOOT_ELF, memory="32M") as stopped:
        assert stopped.machine.monitor(f'dump-guest-memory "{core}"') == ""
    return DumpTarget(core, OLDER_ELF)


class Damage:
    """Changes a field of a structure and asks a command about it; the dump stays as it is."""

    def __init__(self, target: DumpTarget) -> None:
        self.target = target
        self.context = Context(target)
        self.random = Random(29)

    def place(self, structure: Structure, address: int, role: str) -> tuple[PhysicalAddress, int]:
        member = structure.members[role]
        found = self.context.space.translate(VirtualAddress(address + member.offset_bytes))
        assert isinstance(found, Translation)
        return found.physical, member.size_bytes

    def ask(
        self, structure: Structure, address: int, role: str, command: Command, words: str
    ) -> tuple[int, Report]:
        """The value that was there, and the report with another one in its place."""
        at, size = self.place(structure, address, role)
        old = int.from_bytes(self.target.memory.read(at, size), "little")
        mask = structure.parts.get(role, ((1 << 8 * size) - 1, 0))[0]
        new = old
        while new == old:
            kind = self.random.choice(("bit", "zero", "ones", "random"))
            new = {
                "bit": old ^ (1 << self.random.randrange(8 * size)),
                "zero": 0,
                "ones": (1 << 8 * size) - 1,
                "random": self.random.getrandbits(8 * size),
            }[kind]
            new = old & ~mask | new & mask  # what no role describes, nobody can judge
        context = Context(DamagedTarget(self.target, {at: new.to_bytes(size, "little")}))
        return old, command.run(context, command.parse(words.split()))


@pytest.fixture(scope="module")
def damage(loaded: DumpTarget) -> Damage:
    return Damage(loaded)


def drawn(random: Random, addresses: list[int]) -> Iterator[int]:
    yield from random.sample(addresses, min(DRAWN, len(addresses)))


@pytest.mark.parametrize("role", ["size", "is_free", "next", "prev", "magic"])
def test_a_header_of_the_kernels_heap(damage: Damage, role: str) -> None:
    profile = damage.context.profile.heap
    blocks = [int(block.address) for block in Survey(damage.context).heap.all_blocks(profile)]
    for block in drawn(damage.random, blocks):
        _, report = damage.ask(profile.block, block, role, HEAPCHECK, "")
        assert block in [finding.subject for finding in report.findings], f"{role} of {block:#x}"


@pytest.mark.parametrize("role", ["size", "is_free", "next", "prev", "magic"])
def test_a_header_of_the_user_heap(damage: Damage, role: str) -> None:
    profile, space = damage.context.profile.user_heap, damage.context.space
    assert profile is not None
    lifted = lift_user_heap(space, read_user_heap(damage.target, space, profile), profile).lifted
    assert lifted is not None
    for block in drawn(damage.random, [int(block.address) for block in lifted.blocks]):
        _, report = damage.ask(profile.block, block, role, HEAPCHECK, "--everywhere")
        assert block in [finding.subject for finding in report.findings], f"{role} of {block:#x}"


@pytest.mark.parametrize(
    "role", ["heap_size", "first_block", "total_allocated", "total_free", "num_allocations", "num_frees"]
)
def test_a_figure_of_the_heap(damage: Damage, role: str) -> None:
    profile, heap = damage.context.profile.heap, Survey(damage.context).heap.heap
    for _ in range(DRAWN // 2):
        old, report = damage.ask(profile.heap, heap.address, role, HEAPCHECK, "")
        found = {(finding.code, finding.subject) for finding in report.findings}
        assert ("HEAP008", heap.address) in found, role
        expected = [finding.data.get("expected") for finding in report.findings]
        assert role.startswith("num_") or old in expected, role


@pytest.mark.parametrize("headers", [-2, -1, 1, 2])
def test_a_header_more_or_less_than_the_quirk_is_a_finding(damage: Damage, headers: int) -> None:
    profile, heap = damage.context.profile.heap, Survey(damage.context).heap.heap
    at, size = damage.place(profile.heap, heap.address, "total_free")
    wrong = heap.total_free + headers * profile.rules.header_bytes
    context = Context(DamagedTarget(damage.target, {at: wrong.to_bytes(size, "little")}))
    (finding,) = HEAPCHECK.run(context, HEAPCHECK.parse([])).findings
    assert (finding.code, finding.data["expected"]) == ("HEAP008", heap.total_free)


@pytest.mark.parametrize("role", ["address", "previous"])
def test_a_node_of_a_free_frame(damage: Damage, role: str) -> None:
    profile = damage.context.profile.frames
    nodes = [int(node.node) for node in Survey(damage.context).frames.nodes]
    for node in drawn(damage.random, nodes):
        _, report = damage.ask(profile.node, node, role, FRAMES, "")
        assert report.findings, f"{role} of {node:#x}"
