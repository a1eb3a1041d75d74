"""What runs inside the laboratory's LLDB: it obeys requests of one JSON line each until its pipe closes.

LLDB has no machine interface of its own; this one gives status, output and error of a command apart.
"""

import json
import os
import signal
from typing import Any

import lldb


def __lldb_init_module(debugger: Any, session: dict[str, object]) -> None:  # the name is LLDB's
    """Serve; then end LLDB at once, because leaving in its own way kills or resumes the guest."""
    try:
        requests, replies = (int(number) for number in os.environ["CORONEL_LAB_PIPES"].split(","))
        with os.fdopen(requests) as incoming, os.fdopen(replies, "w", buffering=1) as outgoing:
            for line in incoming:
                outgoing.write(json.dumps(_answer(debugger, session, **json.loads(line))) + "\n")
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(debugger: Any, session: dict[str, object], what: str, text: str) -> dict[str, object]:
    interpreter = debugger.GetCommandInterpreter()
    if what == "run":
        result = lldb.SBCommandReturnObject()
        interpreter.HandleCommand(text, result)
        error = str(result.GetError() or "").removeprefix("error: ").strip()
        return {"ok": bool(result.Succeeded()), "output": result.GetOutput() or "", "error": error}
    if what == "complete":
        found = lldb.SBStringList()
        interpreter.HandleCompletion(text, len(text), 0, -1, found)
        # The first is what all the others have in common.
        return {"matches": [found.GetStringAtIndex(index) for index in range(1, found.GetSize())]}
    if what == "session":
        return {"value": session.get(text)}
    if what == "asynchronous":
        debugger.SetAsync(text == "on")
        return {}
    if what == "layout":
        return {"layout": _layout(debugger, text)}
    process = debugger.GetSelectedTarget().GetProcess()
    return {"value": lldb.SBDebugger.StateAsCString(process.GetState())}


def _layout(debugger: Any, variable: str) -> list[Any]:
    """Name, size and members of the class that a variable is, or points to, as LLDB sees them."""
    kind = debugger.GetSelectedTarget().FindFirstGlobalVariable(variable).GetType().GetCanonicalType()
    if kind.IsPointerType():
        kind = kind.GetPointeeType().GetCanonicalType()
    return _kind(kind)


def _kind(kind: Any) -> list[Any]:
    """[name, size in bytes, members]; a member is [name, offset in bytes, kind, lengths of its arrays]."""
    kind, lengths = kind.GetCanonicalType().GetUnqualifiedType(), []
    while kind.IsArrayType():
        element = kind.GetArrayElementType().GetCanonicalType()
        lengths.append(kind.GetByteSize() // element.GetByteSize())
        kind = element
    parts = [
        [field.GetName(), field.GetOffsetInBytes(), *_kind(field.GetType())]
        for group in (_bases(kind), _fields(kind))
        for field in group
    ]
    return [kind.GetName(), kind.GetByteSize(), lengths, parts]


def _bases(kind: Any) -> list[Any]:
    return [kind.GetDirectBaseClassAtIndex(index) for index in range(kind.GetNumberOfDirectBaseClasses())]


def _fields(kind: Any) -> list[Any]:
    return [kind.GetFieldAtIndex(index) for index in range(kind.GetNumberOfFields())]
