"""Page-walk cases executed on emulators and processors, and compared with the model (docs/hardware.md)."""

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """`python -m lab hardware`."""
    from lab.hardware.front import main as front

    return front(arguments)
