"""How fast a trace is replayed: the twin of the model beside the readable model, on the same operations."""

import random
import time
from collections.abc import Sequence

from model.fast.machine import FastMachine
from model.machine import Machine
from model.multiboot import MapEntry
from model.replay import replay
from model.trace import Operation, TraceRecord

MIB = 1 << 20
LOADS = (1_000, 100_000)
OPERATIONS = 200_000
READABLE_OPERATIONS = 200
WANTED = {1_000: 100_000, 100_000: 50_000}


def replaying() -> None:
    """Print operations replayed a second, and the ratio to the readable model where that can follow."""
    booted = Machine.boot([MapEntry(MIB, 511 * MIB)])
    print("\nreplay: heap operations (free, then malloc of 1 to 1024 bytes) per second on one core")
    print(f"  {'live blocks':>11}  {'twin':>10}  {'wanted':>10}  {'readable':>10}  {'ratio':>8}")
    for live in LOADS:
        trace, warm_up = _trace(FastMachine.of(booted), live)
        twin = FastMachine.of(booted)
        assert replay(twin, trace[:warm_up]).divergence is None
        start = time.process_time()
        outcome = replay(twin, trace[warm_up:])
        rate = outcome.performed / (time.process_time() - start)
        assert outcome.divergence is None
        assert outcome.performed == OPERATIONS
        slow = _readable(trace, warm_up) if live == min(LOADS) else 0.0
        compared = f"{slow:>10,.0f}  {rate / slow:>8,.0f}" if slow else f"{'–':>10}  {'–':>8}"
        print(f"  {live:>11,}  {rate:>10,.0f}  {WANTED[live]:>10,}  {compared}")


def _trace(machine: FastMachine, live: int) -> tuple[list[TraceRecord], int]:
    """Allocations up to `live` blocks, then pairs; and how many records the first part has."""
    draw = random.Random(1)
    records: list[TraceRecord] = []

    def perform(operation: int, argument: int) -> int:
        result = machine.perform(operation, argument, 0, 0)
        for nested in machine.nested():
            records.append(TraceRecord(len(records), nested[0], 0, nested[5], *nested[1:5], 0, 0))
        records.append(TraceRecord(len(records), operation, 0, 0, argument, 0, 0, result, 0, 0))
        return result

    slots = [perform(Operation.HEAP_MALLOC, draw.randint(1, 1024)) for _ in range(live)]
    warm_up = len(records)
    for _ in range(OPERATIONS // 2):
        index = draw.randrange(live)
        perform(Operation.HEAP_FREE, slots[index])
        slots[index] = perform(Operation.HEAP_MALLOC, draw.randint(1, 1024))
    return records, warm_up


def _readable(trace: Sequence[TraceRecord], warm_up: int) -> float:
    """The readable model's rate on the first operations of the same trace."""
    machine = Machine.boot([MapEntry(MIB, 511 * MIB)])
    outer = [record for record in trace[: warm_up + 4 * READABLE_OPERATIONS] if record.depth == 0]
    first = sum(record.depth == 0 for record in trace[:warm_up])
    start = 0.0
    for number, record in enumerate(outer[: first + READABLE_OPERATIONS]):
        if number == first:
            start = time.process_time()
        if record.operation == Operation.HEAP_MALLOC:
            assert machine.heap.malloc(record.first) == record.result
        else:
            machine.heap.free(record.first)
    return READABLE_OPERATIONS / (time.process_time() - start)
