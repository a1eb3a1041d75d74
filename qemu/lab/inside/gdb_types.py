"""GDB's own view of a class, for tests; `source` it, then `python coronel_type("NAME")` prints it as JSON."""

import json
from typing import Any

import gdb


def coronel_type(name: str) -> None:
    """Print the class in the form of the LLDB agent: size, lengths of arrays, members."""
    print(json.dumps(_kind(gdb.lookup_type(name))))  # noqa: T201 - GDB's console is the way back


def _kind(kind: Any) -> list[Any]:
    kind, lengths = kind.strip_typedefs(), []
    while kind.code == gdb.TYPE_CODE_ARRAY:
        low, high = kind.range()
        lengths.append(high - low + 1)
        kind = kind.target().strip_typedefs()
    parts = []
    if kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        for field in kind.fields():
            if hasattr(field, "bitpos"):  # a static member has no place in the object
                own = "" if field.is_base_class else field.name or ""
                parts.append([own, field.bitpos // 8, *_kind(field.type)])
    return [kind.sizeof, lengths, parts]
