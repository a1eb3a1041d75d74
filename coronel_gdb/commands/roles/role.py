"""One answer to what an address is."""

from collections.abc import Iterable
from dataclasses import dataclass

from model.layouts import Layout


@dataclass(frozen=True, slots=True)
class Role:
    """The address is `offset` bytes into `what`, which begins at `start`; `details` say more of it.

    `start` is virtual in `space`, or physical for what is reached by no address.
    """

    what: str
    start: int
    offset: int
    details: tuple[str, ...] = ()
    space: str = "kernel"

    @property
    def words(self) -> str:
        """The role in one phrase."""
        return f"{self.what} +{self.offset:#x}" if self.offset else self.what

    def row(self) -> tuple[object, ...]:
        """A row of the table."""
        return self.words, self.start, self.offset, self.space, "; ".join(self.details)


COLUMNS = ("what", "begins at", "offset", "space", "details")
HEXADECIMAL = frozenset({"begins at", "offset"})


def field_at(layout: Layout | None, offset: int) -> str:
    """The name of the field at an offset of a structure; `padding` between fields."""
    for member in layout.members if layout is not None else ():
        if member.offset_bytes <= offset < member.end_bytes:
            index = (offset - member.offset_bytes) // member.size_bytes
            return f"{member.name}[{index}]" if member.count > 1 else member.name
    return "padding"


def joined(roles: Iterable[Role]) -> list[Role]:
    """Each role once; where only the space differs, the spaces are named together."""
    found: dict[tuple[object, ...], list[str]] = {}
    for role in roles:
        spaces = found.setdefault((role.what, role.start, role.offset, role.details), [])
        if role.space not in spaces:
            spaces.append(role.space)
    return [
        Role(what, start, offset, details, ", ".join(spaces))  # type: ignore[arg-type]  # the key's own parts
        for (what, start, offset, details), spaces in found.items()
    ]
