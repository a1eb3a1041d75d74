"""LLDB as a host: memory and registers of a target behind QEMU's stub, and symbols.

Import this inside LLDB only. Nothing goes through LLDB's memory cache, and no expression is compiled for the
guest: interpreted, it cannot call anything there.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import lldb

from coronel_gdb.backends import refusals
from coronel_gdb.backends.qemu_memory import RamMap, memory_map, own_connections
from coronel_gdb.backends.stub_memory import StubMemory, fastest
from coronel_gdb.errors import TargetError
from coronel_gdb.protocols import PhysicalMemory
from model.types import VirtualAddress

_U64 = (1 << 64) - 1
_PACKET_BYTES = 2000  # the stub takes 4096 characters, two for each byte
_STUB = "gdb-remote"
_RESPONSE = re.compile(r"^  packet: .*\nresponse: (.*)\n*\Z", re.M)
_NAME = re.compile(r"(&?)\s*\(?([A-Za-z_][\w:]*)\)?")
_CLANG = re.compile(r"<user expression \d+>:\d+:\d+: (.*)")


class LldbTarget:
    """The selected target, as long as it stays stopped: one object a command."""

    long_answers = False

    def __init__(self, debugger: "lldb.SBDebugger") -> None:
        self._debugger = debugger
        self._target = debugger.GetSelectedTarget()

    @property
    def process(self) -> "lldb.SBProcess":
        """The target's process; not valid when there is none."""
        return self._target.GetProcess()

    @cached_property
    def memory(self) -> PhysicalMemory:
        """The fastest route to physical memory that works here and agrees with the stub."""
        process = self._stopped()
        if process.GetPluginName() != _STUB:
            raise refusals.no_stub(process.GetPluginName())
        ram = RamMap(memory_map(self.monitor))
        return fastest(own_connections(), StubMemory(self._packet, self._read, ram), ram, self.monitor)

    def register(self, name: str) -> int:
        """A register of the selected thread's innermost frame."""
        value = self._frame().FindRegister(name)
        error = lldb.SBError()
        number = value.GetValueAsUnsigned(error)
        if not value.IsValid() or error.Fail():
            raise refusals.no_register(name, str(error.GetCString() or f'Invalid register "{name}"'))
        return int(number) & _U64

    def symbol(self, name: str) -> VirtualAddress | None:
        """Address of a static symbol; the whole name is compared, LLDB looks for its last part."""
        for context in (
            *self._target.FindSymbols(name),
            *self._target.FindFunctions(name, lldb.eFunctionNameTypeFull | lldb.eFunctionNameTypeBase),
        ):
            symbol = context.GetSymbol()
            if (symbol.GetName() or "").partition("(")[0] == name:
                start = symbol.GetStartAddress()
                address = start.GetLoadAddress(self._target)
                if address == lldb.LLDB_INVALID_ADDRESS:  # no process yet
                    address = start.GetFileAddress()
                return VirtualAddress(address)
        return None

    def evaluate(self, expression: str) -> int:
        """An expression in the selected frame, pointers and integers alike; nothing is called or changed."""
        refusals.require_reading(expression)
        value = self._value(expression)
        if value.GetError().Fail() or _is_aggregate(value.GetType()):
            # An aggregate stands for its address, as in GDB; LLDB interprets no copy of a class.
            address = self._value(f"&({expression})")
            if address.GetError().Success() and _is_aggregate(address.GetType().GetPointeeType()):
                value = address
            if value.GetError().Fail():
                # Nor expressions with some static variables, nor with a symbol that has no type.
                value = self._static(expression) or value
        if value.GetError().Fail():
            raise refusals.not_evaluated(expression, _reason(str(value.GetError().GetCString())))
        if value.GetType().GetCanonicalType().GetTypeFlags() & lldb.eTypeIsSigned:
            return int(value.GetValueAsSigned()) & _U64
        return int(value.GetValueAsUnsigned())

    def kernel(self) -> Path | None:
        """The program's file."""
        name = self._target.GetExecutable().fullpath if self._target.IsValid() else None
        return Path(name) if name else None

    def facts(self) -> Sequence[tuple[str, str]]:
        """LLDB's version and its connection."""
        process = self.process
        where = str(process.GetPluginName()) if process.IsValid() else "none"
        if where == _STUB:
            where += f" ({', '.join(own_connections()) or 'connection unknown'})"
        return [("debugger", lldb_version()), ("target", where)]

    def monitor(self, command: str) -> str:
        """What QEMU's monitor answers through the stub; `TargetError` when there is none."""
        text = self._plugin(f"monitor {command}")
        found = _RESPONSE.search(text)
        if found is None or found[1] != "OK":
            raise TargetError(
                f"the stub has no monitor: {found[1] if found else text.strip() or 'no answer'}"
            )
        return text[: found.start()]

    def _packet(self, packet: str) -> str:
        text = self._plugin(f"send {packet}")
        found = _RESPONSE.search(text)
        if found is None:
            raise TargetError(text.strip() or "no answer")
        return found[1]

    def _plugin(self, command: str) -> str:
        result = lldb.SBCommandReturnObject()
        interpreter = self._debugger.GetCommandInterpreter()
        interpreter.HandleCommand(f"process plugin packet {command}", result, False)
        if not result.Succeeded():
            raise TargetError(str(result.GetError()).strip().removeprefix("error: "))
        return str(result.GetOutput())

    def _read(self, address: int, size_bytes: int) -> bytes:
        """What the stub shows at an address, in the mode it is in; packets know no cache."""
        return b"".join(self._chunks(address, address + size_bytes))

    def _chunks(self, address: int, end: int) -> Iterator[bytes]:
        for at in range(address, end, _PACKET_BYTES):
            size_bytes = min(_PACKET_BYTES, end - at)
            answer = self._packet(f"m{at:x},{size_bytes:x}")
            if len(answer) != 2 * size_bytes:
                raise TargetError(f"no {size_bytes} bytes at {at:#x}: {answer or 'no answer'}")
            yield bytes.fromhex(answer)

    def _static(self, expression: str) -> "lldb.SBValue | None":
        """The value of a name, or its address behind `&`, taken from the symbols alone."""
        name = _NAME.fullmatch(expression)
        if name is None:
            return None
        value = self._target.FindFirstGlobalVariable(name[2])
        if value.IsValid():
            return value.AddressOf() if name[1] or _is_aggregate(value.GetType()) else value
        address = self.symbol(name[2])
        return None if address is None else self._value(f"{address:#x}UL")

    def _stopped(self) -> "lldb.SBProcess":
        process = self.process
        state = process.GetState() if process.IsValid() else lldb.eStateInvalid
        if state in (lldb.eStateRunning, lldb.eStateStepping):
            raise refusals.running()
        if state not in (lldb.eStateStopped, lldb.eStateSuspended, lldb.eStateCrashed):
            raise refusals.no_target()
        return process

    def _frame(self) -> "lldb.SBFrame":
        return self._stopped().GetSelectedThread().GetFrameAtIndex(0)

    def _value(self, expression: str) -> "lldb.SBValue":
        options = lldb.SBExpressionOptions()
        options.SetAllowJIT(False)
        options.SetFetchDynamicValue(lldb.eNoDynamicValues)
        options.SetTryAllThreads(False)
        options.SetSuppressPersistentResult(True)
        frame = self.process.GetSelectedThread().GetSelectedFrame()
        where = frame if frame.IsValid() else self._target
        return where.EvaluateExpression(expression, options)


def lldb_version() -> str:
    """LLDB's name and version."""
    version = str(lldb.SBDebugger.GetVersionString()).splitlines()[0]
    return version.replace("lldb version", "LLDB")


def _is_aggregate(kind: "lldb.SBType") -> bool:
    found = kind.GetCanonicalType().GetTypeClass()
    return bool(
        found & (lldb.eTypeClassArray | lldb.eTypeClassClass | lldb.eTypeClassStruct | lldb.eTypeClassUnion)
    )


def _reason(text: str) -> str:
    """The first complaint of LLDB's compiler, without the place in the expression."""
    if "Interpreter doesn't handle" in text:
        return "LLDB would have to run code in the target for it"
    found = _CLANG.search(text)
    return found[1] if found else text.removeprefix("error: ").strip().splitlines()[0]
