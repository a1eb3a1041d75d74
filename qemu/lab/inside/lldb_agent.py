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


def _layout(debugger: Any, name: str) -> list[Any] | None:
    """A class as LLDB sees it; the whole name is compared, because LLDB looks for its last part."""
    for kind in debugger.GetSelectedTarget().FindTypes(name):
        if kind.GetName() == name and kind.IsTypeComplete():
            return _kind(kind)
    return None


def _kind(kind: Any) -> list[Any]:
    """[size in bytes of one element, lengths of its arrays, members]; a base class has no name."""
    kind, lengths = kind.GetCanonicalType().GetUnqualifiedType(), []
    while kind.IsArrayType():
        element = kind.GetArrayElementType().GetCanonicalType().GetUnqualifiedType()
        lengths.append(kind.GetByteSize() // element.GetByteSize())
        kind = element
    bases = map(kind.GetDirectBaseClassAtIndex, range(kind.GetNumberOfDirectBaseClasses()))
    fields = map(kind.GetFieldAtIndex, range(kind.GetNumberOfFields()))
    parts = [["", base.GetOffsetInBytes(), *_kind(base.GetType())] for base in bases]
    parts += [[field.GetName() or "", field.GetOffsetInBytes(), *_kind(field.GetType())] for field in fields]
    return [kind.GetByteSize(), lengths, parts]
