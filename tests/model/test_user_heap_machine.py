"""A process's heap under random use, against a dictionary of what is live; and processes that are hostile."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model.block_list import RULES
from model.machine import Machine
from model.multiboot import MapEntry
from model.process import Process
from model.snapshot import violations
from tests.model.programs import program

MIB = 1 << 20
REFUSED = (1 << 64) - 1
sizes = st.one_of(st.integers(1, 200), st.integers(1, 5000), st.integers(1, 150_000))
u64s = st.one_of(st.integers(0, REFUSED), st.integers(0x800_0000, 0x802_0000), st.integers(0, 5000))


class UserHeapMachine(RuleBasedStateMachine):
    """One honest process on 5 MiB of RAM: large blocks run out of frames now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine.boot([MapEntry(MIB, 4 * MIB)])
        self.live: dict[int, bytes] = {}
        self.mapped: dict[int, int] = {}
        self.stamp = 0

    @initialize(brk=st.integers(0, 20_000))
    def begin(self, brk: int) -> None:
        made = self.machine.processes.create(program(), "p", "")
        assert made is not None
        self.process: Process = made
        end = self.machine.system_calls.sys_brk(made, 0x800_0000 + brk)
        assert 0 <= end - 0x800_0000 - brk < 4096

    @property
    def errors(self) -> int:
        fields = self.process.memory.heap.fields
        return sum(fields.get("errors_", kind) for kind in range(5))

    def put(self, pointer: int, size: int) -> None:
        self.stamp += 1
        self.live[pointer] = (self.stamp.to_bytes(3, "little") * (size // 3 + 1))[:size]
        assert self.process.memory.user.write(pointer, self.live[pointer])

    @rule(size=sizes)
    def malloc(self, size: int) -> None:
        before = self.errors
        pointer = self.machine.system_calls.sys_malloc(self.process, size)
        if pointer == 0:
            assert self.errors == before + 1
            return
        assert pointer % 16 == 0
        assert pointer not in self.live
        self.put(pointer, size)

    @rule(count=st.integers(1, 20), size=st.integers(1, 300))
    def calloc(self, count: int, size: int) -> None:
        pointer = self.machine.system_calls.sys_calloc(self.process, count, size)
        if pointer:
            assert self.process.memory.user.read(pointer, count * size) == bytes(count * size)
            self.put(pointer, count * size)

    @precondition(lambda self: bool(self.live))
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        pointer = data.draw(st.sampled_from(sorted(self.live)))
        assert self.machine.system_calls.sys_free(self.process, pointer) == 0
        del self.live[pointer]
        before = self.errors
        assert self.machine.system_calls.sys_free(self.process, pointer) == REFUSED
        assert self.errors == before + 1

    @precondition(lambda self: bool(self.live))
    @rule(data=st.data(), size=sizes)
    def realloc(self, data: st.DataObject, size: int) -> None:
        pointer = data.draw(st.sampled_from(sorted(self.live)))
        old = self.live[pointer]
        got = self.machine.system_calls.sys_realloc(self.process, pointer, size)
        if got == 0:
            return
        kept = min(len(old), size)
        assert self.process.memory.user.read(got, kept) == old[:kept]
        del self.live[pointer]
        self.put(got, size)

    @rule(pages=st.integers(1, 40))
    def mmap(self, pages: int) -> None:
        start = self.machine.system_calls.sys_mmap(self.process, 0, 4096 * pages, 3)
        if start:
            assert self.process.memory.user.read(start, 4096 * pages) == bytes(4096 * pages)
            self.mapped[start] = 4096 * pages
            self.process.memory.user.write(start, b"\xff" * 4096 * pages)

    @precondition(lambda self: bool(self.mapped))
    @rule(data=st.data())
    def munmap(self, data: st.DataObject) -> None:
        start = data.draw(st.sampled_from(sorted(self.mapped)))
        assert self.machine.system_calls.sys_munmap(self.process, start, self.mapped.pop(start)) == 0

    @invariant()
    def data_survives(self) -> None:
        for pointer, data in self.live.items():
            assert self.process.memory.user.read(pointer, len(data)) == data

    @invariant()
    def blocks_are_what_is_live(self) -> None:
        if not hasattr(self, "process"):
            return
        blocks = self.process.memory.heap.blocks
        listed = list(blocks.walk(blocks.extent()))
        used = {block.address + 48 for block in listed if block.magic == RULES.magic_used}  # type: ignore[union-attr]
        assert used == set(self.live)

    def teardown(self) -> None:
        assert violations(self.machine) == []
        for process in list(self.machine.processes):
            self.machine.processes.destroy(process)
        assert violations(self.machine) == []
        assert self.machine.heap.fields.get("total_allocated_") == 0


class HostileProcesses(RuleBasedStateMachine):
    """Processes that come, ask for anything, overwrite their headers and go; the kernel stays what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine.boot([MapEntry(MIB, 5 * MIB)])
        self.machine.kfree(self.machine.kalloc(480))  # the heap's region stays

    @initialize()
    def begin(self) -> None:
        self.frames = self.machine.frames.free_count
        self.expansions = self.machine.heap.fields.get("num_expansions_")

    @rule(data_bytes=st.integers(4, 100_000))
    def create(self, data_bytes: int) -> None:
        live = [process.pid for process in self.machine.processes]
        made = self.machine.processes.create(program(data_bytes), "hostile", "x")
        after = [process.pid for process in self.machine.processes]
        assert after == (live if made is None else [*live, made.pid])
        assert after == sorted(set(after))

    @precondition(lambda self: bool(list(self.machine.processes)))
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        self.machine.processes.destroy(data.draw(st.sampled_from(list(self.machine.processes))))

    @precondition(lambda self: bool(list(self.machine.processes)))
    @rule(data=st.data(), number=st.integers(1, 11), arguments=st.tuples(u64s, u64s, u64s))
    def call(self, data: st.DataObject, number: int, arguments: tuple[int, int, int]) -> None:
        process = data.draw(st.sampled_from(list(self.machine.processes)))
        result = self.machine.system_calls.call(process, number, *arguments)
        assert 0 <= result <= REFUSED

    @precondition(lambda self: bool(list(self.machine.processes)))
    @rule(data=st.data(), word=st.integers(0, 200), value=u64s)
    def overwrite(self, data: st.DataObject, word: int, value: int) -> None:
        process = data.draw(st.sampled_from(list(self.machine.processes)))
        process.memory.user.write(0x800_0000 + 8 * word, value.to_bytes(8, "little"))

    @precondition(lambda self: bool(list(self.machine.processes)))
    @rule(data=st.data(), address=st.integers(0x7F7F_0000, 0x8000_1000))
    def grow_stack(self, data: st.DataObject, address: int) -> None:
        process = data.draw(st.sampled_from(list(self.machine.processes)))
        if process.memory.grow_stack(address):
            assert process.memory.validate_user_pointer(address, 1, write=True)

    def teardown(self) -> None:
        broken = [each for each in violations(self.machine) if not each.invariant.id.startswith("user_heap.")]
        assert broken == []
        for process in list(self.machine.processes):
            self.machine.processes.destroy(process)
        assert violations(self.machine) == []
        assert self.machine.heap.fields.get("total_allocated_") == 0
        if self.machine.heap.fields.get("num_expansions_") == self.expansions:
            assert self.machine.frames.free_count == self.frames


TestUserHeapMachine = UserHeapMachine.TestCase
TestUserHeapMachine.settings = settings(max_examples=8, stateful_step_count=25)
TestHostileProcesses = HostileProcesses.TestCase
TestHostileProcesses.settings = settings(max_examples=8, stateful_step_count=25)
