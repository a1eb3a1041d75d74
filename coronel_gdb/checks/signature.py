"""What two dumps of one bug have in common: codes, structure, kind of suspect, place of the call.

Nothing in a signature moves from run to run: no address, no count, no operation number, no line number.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

from coronel_gdb.report import Finding

_MOVES = re.compile(r"0x[0-9a-f]+|\b\d[\d,]*\b")
_LINE = re.compile(r":\d+\b")


def cause(finding: Finding, place: str = "") -> str:
    """One finding in words that stay; `place` is where the suspected or damaged block was allocated."""
    data = finding.data
    parts = [finding.code, finding.title]
    structure = _structure(data)
    if structure:
        parts.append(f"({structure})")
    suspect = data.get("suspect")
    if isinstance(suspect, Mapping) and suspect.get("kind"):
        parts.append(f"by {suspect['kind']}")
    where = place or _caller(data)
    if where:
        parts.append(f"of {_LINE.sub('', where)}")
    return " ".join(parts)


def _structure(data: Mapping[str, object]) -> str:
    """Which structure or which rule; never fields: how many a run of bytes hits differs from run to run."""
    for key in ("structure", "field", "invariant"):
        if isinstance(data.get(key), str):
            return _MOVES.sub("", str(data[key])).strip()
    return ""


def _caller(data: Mapping[str, object]) -> str:
    caller = data.get("caller")
    return caller if isinstance(caller, str) and not caller.startswith("0x") else ""


def signature(causes: Iterable[str]) -> str:
    """A short stable name of a set of causes."""
    return hashlib.sha256("\n".join(sorted(set(causes))).encode()).hexdigest()[:10]
