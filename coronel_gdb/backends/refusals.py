"""Why a debugger has nothing to look at, or will not evaluate: the same words in each of them."""

import re

from coronel_gdb.errors import TargetError, UsageError

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
# An assignment, an increment or a decrement; comparisons are none.
_CHANGES = re.compile(r"(?<![=<>!])=(?!=)|(?:<<|>>)=|\+\+|--")


def no_target() -> TargetError:
    """Nothing is connected, or it has gone."""
    return TargetError(
        "no target: start QEMU with a stub and connect to it (GDB: `target remote`, LLDB: `gdb-remote`)"
    )


def running() -> TargetError:
    """It is not stopped."""
    return TargetError("the target is running: stop it first (Ctrl-C, or LLDB: `process interrupt`)")


def no_stub(kind: str) -> TargetError:
    """A process, a core file or something else that is no QEMU."""
    return TargetError(f"the target is `{kind}`, not a QEMU stub: connect to one")


def no_register(name: str, reason: str) -> TargetError:
    """A register that this target does not show."""
    return TargetError(f"the target has no register {name}: is it an x86-64 QEMU? ({reason})")


def not_evaluated(expression: str, reason: str) -> UsageError:
    """The debugger's own reason, in one line."""
    words = " ".join(reason.split()).rstrip(".")
    return UsageError(f"cannot evaluate {expression}: {words}")


def require_reading(expression: str) -> None:
    """Refuse an expression that would change what it looks at: no command writes to its target."""
    if _CHANGES.search(_QUOTED.sub("''", expression)):
        raise not_evaluated(expression, "it would change the target, and no command does that")
