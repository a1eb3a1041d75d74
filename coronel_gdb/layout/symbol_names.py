"""From the symbols of C++ to the names in the source, as far as people need them: no parameters.

The subset of the Itanium C++ ABI §5.1 that names functions and variables; of a template only that it is one.
What is not understood stays as it is.
"""

import re

_PREFIX = re.compile(r"_Z(?:N[rVK]*[RO]?|)")
_PART = re.compile(r"L?(\d+)")
_SPECIAL = re.compile(r"([CD])[0-9]")
_ANONYMOUS = "_GLOBAL__N_1"


def source_name(symbol: str) -> str:
    """The name with its scopes: `_ZN6memory4heap6mallocEm` is `memory::heap::malloc`."""
    start = _PREFIX.match(symbol)
    if start is None:
        return symbol
    nested, at = "N" in start[0], start.end()
    parts: list[str] = []
    while True:
        part = _PART.match(symbol, at)
        special = _SPECIAL.match(symbol, at)
        if part is not None:
            end = part.end() + int(part[1])
            if end > len(symbol):
                return symbol
            name, at = symbol[part.end() : end], end
            parts.append("(anonymous namespace)" if name == _ANONYMOUS else name)
        elif special is not None and parts:
            parts.append(("~" if special[1] == "D" else "") + parts[-1])
            at = special.end()
        else:
            break
        if not nested:
            break
    if not parts:
        return symbol
    if symbol[at : at + 1] == "I":
        return "::".join(parts) + "<…>"
    if nested and symbol[at : at + 1] != "E":
        return symbol
    _, dot, clone = symbol.partition(".")
    return "::".join(parts) + (f" [clone .{clone}]" if dot else "")
