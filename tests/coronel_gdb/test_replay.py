"""`replay` on the model's own machine: rings of garbage, hostile operations, quirks, shortest traces.

That kernel and model agree is shown on real kernels; here the trace is made by the model, so that every byte
of it can be anything.
"""

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands import replay as command
from coronel_gdb.commands.command import Context
from coronel_gdb.errors import CoronelError, KernelError
from coronel_gdb.lift.trace import history, lift_trace
from coronel_gdb.profiles.resolve import built_in, parse
from coronel_gdb.profiles.trace import ReplayProfile, resolve_replay
from coronel_gdb.render import as_json, as_table
from model.address_space import IMAGE_START
from model.fast.blocks import HeapHabits
from model.fast.machine import FastMachine
from model.layouts import HEAP, HEAP_BLOCK
from model.machine import Machine
from model.multiboot import MapEntry
from model.scenarios import SplitMix64
from model.trace import Operation as O
from model.trace import TraceRecord, called
from model.types import VirtualAddress
from model.window import examine

MIB = 1 << 20
TRACE = VirtualAddress(IMAGE_START + 0x19100)
CAPACITY = 4096
Call = tuple[int, int, int, int]
CALLER = 0xFFFFFFFF80101234


class Traced(MachineTarget):
    """A simulated machine that has a trace."""

    def symbol(self, name: str) -> VirtualAddress | None:
        return TRACE if name == "g_trace" else super().symbol(name)


def profile() -> ReplayProfile:
    return resolve_replay(next(one for one in built_in() if one.name == "coronel"), None)


def boot() -> Machine:
    return Machine.boot([MapEntry(MIB, 15 * MIB)], trace_records=CAPACITY)


def ring_of(machine: Machine) -> int:
    return (machine.heap.fields.address + HEAP.size_bytes + 4095) & ~4095


def recorded(machine: FastMachine, calls: list[Call]) -> list[TraceRecord]:
    """The trace of calls on a twin, as a kernel would write it."""
    records: list[TraceRecord] = []
    for operation, *arguments in calls:
        result = machine.perform(operation, *arguments)
        nested = [(entry[0], entry[5], *entry[1:5]) for entry in machine.nested()]
        for number, depth, first, second, third, value in [*nested, (operation, 0, *arguments, result)]:
            records.append(
                TraceRecord(len(records), number, 0, depth, first, second, third, value, CALLER, 0x1000)
            )
    return records


def write(machine: Machine, records: list[TraceRecord]) -> None:
    """Put a trace where the kernel has it."""
    ring = ring_of(machine)
    machine.memory.write(TRACE, struct.pack("<QQQII", ring, CAPACITY, len(records), 0, 0))
    data = b"".join(struct.pack("<QIHH6Q", *record) for record in records)
    machine.memory.write(VirtualAddress(ring), data)


def calls_of_mixed(seed: int, ops: int, habits: HeapHabits | None = None) -> list[Call]:
    """Random calls whose pointers are those that a machine with these habits gives."""
    machine, random = FastMachine.of(boot(), habits), SplitMix64(seed)
    calls: list[Call] = []
    slots = [0] * 32
    for _ in range(ops):
        index = random.next() % len(slots)
        if slots[index]:
            calls.append((O.HEAP_FREE, slots[index], 0, 0))
            slots[index] = 0
            machine.perform(*calls[-1])
        else:
            calls.append((O.HEAP_MALLOC, 1 + random.next() % 900, 0, 0))
            slots[index] = machine.perform(*calls[-1])
    return calls


def run_on(machine: Machine, calls: list[Call]) -> None:
    """The same calls on the readable machine, which has the memory."""
    for operation, first, *_ in calls:
        if operation == O.HEAP_MALLOC:
            machine.heap.malloc(first)
        else:
            machine.heap.free(first)


def answer(
    machine: Machine, used: ReplayProfile, *, minimize: bool = False, as_fixed: bool = False
) -> dict[str, Any]:
    result = command.report(Context(Traced(machine)), used, minimize=minimize, as_fixed=as_fixed)
    assert as_table.render(result).startswith("replay: ")
    parsed: dict[str, Any] = json.loads(as_json.render(result))
    return parsed


@pytest.fixture(scope="module")
def traced() -> tuple[Machine, list[TraceRecord]]:
    machine, calls = boot(), calls_of_mixed(5, 300)
    records = recorded(FastMachine.of(machine), calls)
    run_on(machine, calls)
    write(machine, records)
    return machine, records


def test_a_sound_machine_replays(traced: tuple[Machine, list[TraceRecord]]) -> None:
    machine, records = traced
    report = answer(machine, profile())
    assert (report["exit_code"], report["findings"]) == (0, [])
    assert (
        f"{sum(record.depth == 0 for record in records)} operations replayed, memory equal"
        in report["summary"]
    )
    assert "from the ranges of g_physical_manager" in report["facts"]["boot state"]


@settings(max_examples=60)
@given(data=st.data())
def test_any_garbage_in_the_ring_or_its_description_breaks_nothing(
    traced: tuple[Machine, list[TraceRecord]], data: st.DataObject
) -> None:
    machine, records = traced
    used = len(records) * 64
    places = st.one_of(
        st.integers(0, 31).map(lambda at: TRACE + at),
        st.integers(0, used - 1).map(lambda at: ring_of(machine) + at),
    )
    at = VirtualAddress(data.draw(places))
    garbage = data.draw(st.binary(min_size=1, max_size=200))[: (TRACE + 32 - at if at < TRACE + 32 else 200)]
    saved = machine.memory.read(at, len(garbage))
    machine.memory.write(at, garbage)
    said = ""
    try:
        report = answer(machine, profile(), minimize=data.draw(st.booleans()))
        assert report["exit_code"] in (0, 1, 2)
        if report["exit_code"] == 0:
            # Callers and spaces are no results; everything else is compared.
            assert "memory equal" in report["summary"]
    except CoronelError as error:
        said = str(error)
    finally:
        machine.memory.write(at, saved)
    assert said.count("\n") == 0


words = st.one_of(
    st.integers(0, 5000), st.sampled_from([0, 1 << 40, 1 << 63, (1 << 64) - 1]), st.integers(0, (1 << 64) - 1)
)


@settings(max_examples=30)
@given(data=st.data())
def test_hostile_operations_are_replayed_like_others(data: st.DataObject) -> None:
    """Any operation with any arguments, at any depth: never an exception."""
    machine = boot()
    twin = FastMachine.of(machine)
    known = [twin.regions.address, twin.regions.start, twin.tables.kernel_directory, *twin.tables.of_boot]
    known += [twin.frames.free[-1], twin.regions.start + 48]
    arguments = st.one_of(words, st.sampled_from(known))
    records: list[TraceRecord] = []
    for _ in range(data.draw(st.integers(1, 25))):
        operation = data.draw(st.integers(1, 23))
        first, second, third = (data.draw(arguments) for _ in range(3))
        result = 0
        if operation in (O.HEAP_MALLOC, O.PHYSICAL_ALLOC, O.PHYSICAL_FREE) and data.draw(st.booleans()):
            result = twin.perform(operation, first, second, third)
        depth = data.draw(st.sampled_from([0, 0, 0, 1, 2]))
        records.append(TraceRecord(len(records), operation, 0, depth, first, second, third, result, 0, 0))
    write(machine, records)
    report = answer(machine, profile(), minimize=True)
    assert report["exit_code"] in (0, 1, 2)
    examine(records)


QUIRK = """
[quirks.no-join]
habit = "joins_previous"
value = false
text = "free does not join the block before"
"""


def quirky() -> ReplayProfile:
    text = (command.__file__ or "").replace("commands/replay.py", "profiles/coronel.toml")
    with open(text, encoding="utf-8") as file:  # noqa: PTH123 - one line of a test
        return resolve_replay(parse(file.read() + QUIRK), None)


def test_a_known_quirk_is_replayed_as_it_is_or_as_fixed() -> None:
    used = quirky()
    habits = used.habits()
    assert habits == HeapHabits(joins_previous=False)
    machine, calls = boot(), calls_of_mixed(7, 400, habits)
    write(machine, recorded(FastMachine.of(machine, habits), calls))
    as_is = answer(machine, used)
    assert "with quirks no-join" in as_is["facts"]["model"]
    assert not [finding for finding in as_is["findings"] if finding["code"] == "TRACE001"]
    fixed = answer(machine, used, as_fixed=True, minimize=True)
    assert fixed["findings"][0]["code"] == "TRACE001"
    assert "as it is and as fixed disagree" in fixed["facts"]["minimized"]
    # To see it takes two neighbours freed upwards, something behind them, and a block as large as both.
    rows = fixed["tables"][0]["rows"]
    assert len(rows) <= 6
    assert sum(row["operation"].startswith("free") for row in rows) == 2
    plain = answer(machine, profile(), minimize=True)
    assert plain["findings"][0]["sequence"] == fixed["findings"][0]["sequence"]


@pytest.mark.parametrize("line", ['habit = "no_such"', 'habit = "split_bytes"'])
def test_a_quirk_that_the_model_cannot_have(line: str) -> None:
    text = QUIRK.replace('habit = "joins_previous"', line)
    base = 'name = "x"\nmatch = []\n[trace]\nvariable = "g_trace"\ntype = "coronel::trace"\n'
    base += 'record = "coronel::trace_record"\nfields = {ring = "ring_"}\nrecord_fields = {cpu = "cpu"}\n'
    with pytest.raises(KernelError, match="the model has no habit"):
        resolve_replay(parse(base + text), None)
    with pytest.raises(KernelError, match="names no trace"):
        resolve_replay(parse('name = "x"\nmatch = []\n'), None)


def test_the_history_of_a_block(traced: tuple[Machine, list[TraceRecord]]) -> None:
    machine, records = traced
    context = Context(Traced(machine))
    trace = lift_trace(context.target, context.space, profile().trace)
    assert trace.records == records
    freed = next(record for record in reversed(records) if record.operation == O.HEAP_FREE)
    known = history(records[: freed.sequence + 1], freed.first)
    assert known.freed == freed
    assert known.allocated is not None
    assert known.allocated.result == freed.first
    assert called(freed) == f"free({freed.first:#x})"


def test_damage_between_two_operations_is_bounded(traced: tuple[Machine, list[TraceRecord]]) -> None:
    """The header of the last block is read by every walk that finds nothing before it, and no later."""
    machine, records = boot(), []
    calls: list[Call] = [(O.HEAP_MALLOC, 1000, 0, 0)] * 10
    records = recorded(FastMachine.of(machine), calls)
    run_on(machine, calls)
    roots = [record for record in records if record.depth == 0]
    freed: list[Call] = [(O.HEAP_FREE, roots[1].result, 0, 0), (O.HEAP_MALLOC, 500, 0, 0)]
    run_on(machine, freed)
    write(machine, recorded(FastMachine.of(boot()), calls + freed))
    victim = roots[5].result - HEAP_BLOCK.size_bytes
    machine.memory.write_u64(VirtualAddress(victim + 32), 0x4141414141414141)
    (finding,) = answer(machine, profile())["findings"]
    assert (finding["code"], finding["subject"]) == ("TRACE002", victim)
    # malloc(500) stops at the freed block before it; the tenth malloc(1000) passed it.
    assert (finding["after"], finding["before"]) == (roots[9].sequence, None)


def test_operations_of_two_cpus_that_mix_are_said_to() -> None:
    """CPU 1 takes a frame while CPU 0 expands the heap: the model does one after the other, and says so."""
    machine = boot()
    records = recorded(FastMachine.of(machine), [(O.HEAP_MALLOC, 1000, 0, 0)])
    frames = [index for index, record in enumerate(records) if record.operation == O.PHYSICAL_ALLOC]
    # Its second frame went to the other CPU; all later ones are one further.
    taken = records[frames[2]].result
    other = records[frames[2]]._replace(cpu=1, depth=0, result=taken)
    mixed = [*records[: frames[2]], other, *records[frames[2] :]]
    write(machine, [record._replace(sequence=number) for number, record in enumerate(mixed)])
    finding = answer(machine, profile())["findings"][0]
    assert (finding["code"], finding["interleaved"]) == ("TRACE001", False)  # the lone frame comes first
    alone = [records[-1]._replace(cpu=1, depth=0, operation=O.PHYSICAL_FREE, first=0x5000, result=0)]
    mixed = [*records[:4], *alone, *records[4:-1], records[-1]._replace(result=0x1230)]
    write(machine, [record._replace(sequence=number) for number, record in enumerate(mixed)])
    told = answer(machine, profile())
    assert told["exit_code"] == 2
    assert "TRACE001" not in {finding["code"] for finding in told["findings"]}
    assert any("another CPU" in row["why"] for row in told["not_checked"])
    assert "at work at once" in told["summary"]
