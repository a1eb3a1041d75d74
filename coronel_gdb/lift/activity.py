"""What the stopped kernel is in the middle of: structures that need not fit together at this moment.

A lock that is held, or a change of a process that is under way (docs/spec.md §8.2, §14.8), is no
corruption. Commands that hold one structure against another ask here first. A lock is 1 while it is held
and else 0 (§8.2): a word that holds anything else is damage, and keeps nobody from checking.
"""

from dataclasses import dataclass

from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.protocols import Target
from model.types import VirtualAddress

A_PROCESS = "an address space"
"""What a profile calls the list of processes, the memory of one, or a space that no list has."""
_U32 = 4
_HELD = 1
_MOST_CHANGES = 1 << 10  # one inside another counts again (§14.8), but no stack holds so many


@dataclass(frozen=True, slots=True)
class LockWord:
    """A word that says whether something is being changed; `most` is the largest value that it can have."""

    noun: str
    owner: VirtualAddress
    word: VirtualAddress
    value: int
    most: int

    @property
    def is_held(self) -> bool:
        """Whether what it guards is being changed."""
        return 0 < self.value <= self.most

    @property
    def is_damaged(self) -> bool:
        """Whether nothing that the kernel does leaves that value."""
        return self.value > self.most


def under_way(target: Target, space: AddressSpace, profile: ResolvedProfile) -> tuple[str, ...]:
    """What is being changed, in words; empty for a kernel at rest.

    What cannot be read is not under way: whoever needs it will say that it cannot be read.
    """
    return tuple(word.noun for word in lock_words(target, space, profile) if word.is_held)


def lock_words(target: Target, space: AddressSpace, profile: ResolvedProfile) -> list[LockWord]:
    """The locks of the managers and the profile's words of activity, as far as they can be read."""
    found = []
    for noun, section, structure in profile.managers():
        variable = target.symbol(section.symbol)
        if variable is None or "locked" not in structure:
            continue
        try:
            owner = variable if section.is_object else space.read_u64(variable)
            word = VirtualAddress(owner + structure.offset("locked"))
            if owner:
                found.append(LockWord(noun, VirtualAddress(owner), word, _read(space, word), _HELD))
        except CoronelError:
            continue
    for symbol, noun in profile.activity.items():
        variable = target.symbol(symbol)
        try:
            if variable is not None:
                most = _HELD if symbol.endswith("lock_") else _MOST_CHANGES
                found.append(LockWord(noun, variable, variable, _read(space, variable), most))
        except CoronelError:
            continue
    return found


def is_held(lock: int) -> bool:
    """Whether a manager's lock is held by somebody."""
    return lock == _HELD


def _read(space: AddressSpace, address: int) -> int:
    return int.from_bytes(space.read(VirtualAddress(address), _U32), "little")
