"""How alike two names are that were given by different people: `heap_start` and `memory.heapBegin_`."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SAME = {
    "addr": "address",
    "align": "alignment",
    "alloc": "allocated",
    "allocation": "allocated",
    "begin": "start",
    "bytes": "size",
    "byte": "size",
    "canary": "magic",
    "cookie": "magic",
    "freed": "free",
    "head": "first",
    "length": "size",
    "len": "size",
    "lock": "locked",
    "min": "minimum",
    "number": "num",
    "phys": "physical",
    "previous": "prev",
    "proc": "process",
    "tag": "magic",
    "tail": "last",
    "task": "process",
    "virtual": "virt",
}
_ALIKE = 0.8


def words(name: str) -> frozenset[str]:
    """The words of a name in one form: small, singular, one for all that mean the same."""
    found = (part.lower() for part in _PARTS.findall(name))
    singular = (_SAME.get(word, word.removesuffix("s") if len(word) > 3 else word) for word in found)
    return frozenset(_SAME.get(word, word) for word in singular)


def likeness(wanted: str, name: str, understood: Iterable[str] = ()) -> float:
    """From 0, not alike, to 1, the same words; `understood` are words that may be left out."""
    ours, theirs = words(wanted), words(name)
    if ours and ours <= theirs:
        return 0.8 + 0.2 * len(ours) / len(theirs)
    shorter = ours - words(" ".join(understood))
    if shorter and shorter <= theirs:
        return 0.6 + 0.2 * len(shorter) / len(theirs)
    last = name.replace("::", ".").rpartition(".")[2]
    ratio = SequenceMatcher(None, wanted.lower(), last.lower().strip("_")).ratio()
    return 0.8 * ratio if ratio >= _ALIKE else 0.0


def near(wanted: str, known: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """The known names that may have been meant, the nearest first."""
    known = sorted(set(known))
    close = get_close_matches(wanted, known, most)
    last = wanted.rpartition("::")[2].rpartition(".")[2]
    ends = {name.rpartition("::")[2].rpartition(".")[2].strip("_"): name for name in known}
    close += [ends[end] for end in get_close_matches(last.strip("_"), ends, most)]
    return tuple(dict.fromkeys(close))[:most]
