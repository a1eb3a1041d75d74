"""What a finding tells the user to do, in the words of each debugger."""

from collections.abc import Iterator
from enum import Enum

from coronel_gdb.report import Watch, Write

_C_TYPES = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long"}
_CHUNKS = (8, 4, 2, 1)


class Dialect(Enum):
    """Whose commands are shown."""

    GDB = "gdb"
    LLDB = "lldb"


def watch(action: Watch, dialect: Dialect) -> str:
    """The command that stops at the next write there."""
    if dialect is Dialect.LLDB:
        return f"watchpoint set expression -w write -s {action.size_bytes} -- {action.address:#x}"
    return f"watch -l *({_C_TYPES[action.size_bytes]} *){action.address:#x}"


def command_text(command: str | Watch, dialect: Dialect) -> str:
    """A command that a finding names, as that debugger takes it."""
    return command if isinstance(command, str) else watch(command, dialect)


def writes(action: Write, dialect: Dialect) -> Iterator[str]:
    """The commands that write the bytes, few and aligned."""
    at, data = action.address, action.data
    while data:
        size = next(size for size in _CHUNKS if size <= len(data) and at % size == 0)
        value = int.from_bytes(data[:size], "little")
        if dialect is Dialect.LLDB:
            yield f"memory write -s {size} {at:#x} {value:#x}"
        else:
            yield f"set var *({_C_TYPES[size]} *){at:#x} = {value:#x}"
        at, data = at + size, data[size:]
