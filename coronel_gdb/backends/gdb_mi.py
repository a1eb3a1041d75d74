"""The commands for front ends: `-coronel-heapcheck` and so on, with structured results.

GDB has `gdb.MICommand` from some version on; `install` says so where it has not. Import inside GDB only.
"""

import json
import re

import gdb

from coronel_gdb.backends.gdb_session import Session
from coronel_gdb.commands.command import Command

_NO_IDENTIFIER = re.compile(r"[^-_a-zA-Z0-9]")


def install(session: Session) -> None:
    """Register one MI command for each command."""
    if not hasattr(gdb, "MICommand"):
        raise NotImplementedError("this GDB has no gdb.MICommand")
    for command in (*session.commands, *session.extra):
        _mi_command(command, session)


def _mi_command(command: Command, session: Session) -> None:
    class MiCommand(gdb.MICommand):  # the base exists only where there is one, so the class is made here
        """What `--json` prints, as MI's results; a command that could not check is an MI error."""

        def invoke(self, argv: list[str]) -> dict[str, object]:
            outcome = session.run(command, ["--json", *argv])
            report = json.loads(outcome.text) if not outcome.failed else {"error": outcome.text}
            if "error" in report:
                raise gdb.GdbError(str(report["error"]))
            return {_identifier(key): _result(value) for key, value in report.items()}

    MiCommand(f"-coronel-{command.name}")


def _result(value: object) -> object:
    """MI knows strings, lists and tuples with identifiers as keys."""
    if isinstance(value, dict):
        return {_identifier(key): _result(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_result(item) for item in value]
    return value if isinstance(value, str) else json.dumps(value)


def _identifier(key: str) -> str:
    """`entry at` becomes `entry-at`."""
    name = _NO_IDENTIFIER.sub("-", key)
    return name if name[:1].isalpha() else f"n{name}"
