"""What an operation does on its way: the nested records that a kernel would write (docs/spec.md §12.3)."""

from dataclasses import dataclass, field

from model.trace import Operation

Entry = tuple[int, int, int, int, int, int]
"""Operation, three arguments, result, depth."""


@dataclass(slots=True)
class Diary:
    """The operations that ended, the first to end first; `depth` is the number of those under way."""

    entries: list[Entry] = field(default_factory=list)
    depth: int = 0

    def note(self, operation: Operation, arguments: tuple[int, int, int], result: int) -> int:
        """An operation ends; its result."""
        self.entries.append((int(operation), *arguments, result, self.depth))
        return result

    def take(self) -> list[Entry]:
        """All entries since the last call."""
        entries, self.entries = self.entries, []
        return entries
