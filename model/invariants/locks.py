"""The invariant of a lock (docs/spec.md §8.2)."""

from typing import Final

from model.invariants.base import Invariant, Violation

WORD: Final = Invariant("locks.word", "a lock is 1 while held, else 0", "§8.2")

ALL: Final = (WORD,)


def damaged(owner: int, word: int, value: int) -> Violation:
    """The lock of the manager at `owner`, which lies at `word`, holds something else."""
    return Violation(WORD, owner, "lock", value, None, f"the word at {word:#x} is the lock")
