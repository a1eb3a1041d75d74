"""What is declared about a key of a profile; documents and the resolver both read it."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What stands behind a key."""

    SYMBOL = "symbol"
    SYMBOLS = "list of symbols"
    TYPE = "type"
    FIELDS = "table: role = field"
    NUMBER = "number, or the name of a constant"
    WORDS = "list of words"
    TEXT = "text"
    FLAG = "true or false"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Role:
    """A role that a field may play, with its unit; `absent`: what happens without, empty when it must be."""

    name: str
    meaning: str
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section; `roles` and `of` (the key of the type) are those of a table of fields.

    `absent` says what happens without it, empty when it must be there. `one_of` are keys that can stand for
    it; of all of them one is needed. The roles of a list of words are the words that there are.
    """

    name: str
    kind: Kind
    meaning: str
    absent: str = ""
    roles: tuple[Role, ...] = ()
    of: str = ""
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way in which a kernel can do it: `name` stands in the section's key `scheme`."""

    name: str
    meaning: str
    keys: tuple[Key, ...]

    def required(self, key: Key) -> frozenset[str]:
        """The roles without which a table of fields is of no use."""
        return frozenset(role.name for role in key.roles if not role.absent)


@dataclass(frozen=True, slots=True)
class SectionKeys:
    """A section of a profile; the first of its schemes is meant where a profile names none."""

    name: str
    meaning: str
    absent: str
    schemes: tuple[Scheme, ...]

    def scheme(self, name: str | None) -> Scheme | None:
        """The scheme of that name, the default for None; None when there is no such."""
        return next((one for one in self.schemes if name in (None, one.name)), None)


COMMON: Final = (
    Key(
        "scheme",
        Kind.TEXT,
        "the way in which this kernel does it, one of those below",
        "the first one below",
    ),
    Key(
        "lacks",
        Kind.WORDS,
        "roles that this kernel is known not to have: what needs them is not asked",
        "a role that is not named is unknown: what needs it is reported as not checkable (exit code 2)",
    ),
)
"""Keys of every section with schemes."""
ENTRIES: Final = Key(
    "entries",
    Kind.SYMBOLS,
    "functions through which every operation goes, for `coronel watch-heap --every`",
    "`--every` cannot be used",
)


def root(noun: str) -> tuple[Key, ...]:
    """The two ways to find the object of a section."""
    return (
        Key(
            "pointer",
            Kind.SYMBOL,
            f"variable that points to {noun}; null means not initialised yet",
            "`object` says where it is",
            one_of=("object",),
        ),
        Key(
            "object",
            Kind.SYMBOL,
            f"variable that is {noun} itself",
            "`pointer` says where it is",
            one_of=("pointer",),
        ),
    )


def not_judged(what: str) -> str:
    """What happens without a role that only serves a check."""
    return f"{what} is not checkable"
