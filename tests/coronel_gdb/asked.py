"""Commands asked on the model's own machine, and what they answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_json, as_table
from model import scenarios
from model.machine import Machine
from model.multiboot import MapEntry
from model.types import VirtualAddress
from tests.coronel_gdb.user_side import UserSide

COMMANDS = {command.name: command for command in commands()}


def booted(seed: int, operations: int) -> Machine:
    """A machine of 64 MiB after the scenario `mixed`."""
    machine = Machine.boot([MapEntry(0, 0x9FC00), MapEntry(1 << 20, 63 << 20)])
    scenarios.mixed(machine, seed, operations)
    return machine


def report(asked: Machine | UserSide, line: str) -> dict[str, Any]:
    """The JSON report; the table of the same report must not fail either."""
    context = asked.context() if isinstance(asked, UserSide) else Context(MachineTarget(asked))
    name, *words = line.split()
    command = COMMANDS[name]
    result = command.run(context, command.parse(words))
    assert as_table.render(result).startswith(f"{name}: ")
    parsed: dict[str, Any] = json.loads(as_json.render(result))
    return parsed


def codes(asked: Machine | UserSide, line: str) -> list[str]:
    """The codes of its findings."""
    return [finding["code"] for finding in report(asked, line)["findings"]]


@contextmanager
def overwritten(machine: Machine, address: int, data: bytes) -> Iterator[None]:
    """The bytes at a virtual address are others inside the block."""
    saved = machine.memory.read(VirtualAddress(address), len(data))
    machine.memory.write(VirtualAddress(address), data)
    try:
        yield
    finally:
        machine.memory.write(VirtualAddress(address), saved)
