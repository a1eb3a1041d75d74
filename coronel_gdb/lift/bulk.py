"""numpy, when it is worth its import; every caller has a path without it that gives the same answer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# Importing numpy costs a debugger 80–280 ms: about the time that the plain path takes for this many items.
WORTH_ITEMS = 1 << 20


_plain: list[None] = []


@contextmanager
def plain() -> Iterator[None]:
    """Without numpy inside the block, as where it is not installed: to compare, and to measure."""
    _plain.append(None)
    try:
        yield
    finally:
        _plain.pop()


def is_kept_out() -> bool:
    """Whether numpy may not be imported here."""
    return bool(_plain)


def numpy_for(items: int) -> ModuleType | None:
    """The module when it is loaded already or `items` are many; None when it is not installed, too."""
    if _plain or ("numpy" not in sys.modules and items < WORTH_ITEMS):
        return None
    try:
        import numpy
    except ImportError:
        return None
    return numpy
