"""What DWARF knows about a kernel, in a form that can be kept: JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model.layouts import Layout, Member

FORMAT = 1
_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """Layouts by full C++ name and constants by full C++ name, of the kernel with this build-id."""

    build_id: str
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """The versioned JSON form."""
        layouts = {
            name: [
                layout.size_bytes,
                [[m.name, m.offset_bytes, m.size_bytes, m.count] for m in layout.members],
            ]
            for name, layout in self.layouts.items()
        }
        return json.dumps(
            {
                "format": FORMAT,
                "build_id": self.build_id,
                "layouts": layouts,
                "constants": dict(self.constants),
            }
        )

    @staticmethod
    def from_json(text: str) -> "KernelFacts":
        """The facts back from their JSON form; `ValueError` when it is of another version or damaged."""
        try:
            raw = json.loads(text)
            if raw["format"] != FORMAT:
                raise ValueError("another version")
            layouts = {
                str(name): sound_layout(str(name), size, [Member(*member) for member in members])
                for name, (size, members) in raw["layouts"].items()
            }
            constants = {str(name): value for name, value in raw["constants"].items()}
            if not all(type(value) is int for value in constants.values()):
                raise ValueError("a constant that is no number")
            return KernelFacts(str(raw["build_id"]), layouts, constants)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a layout file: {error}") from error


def sound_layout(name: str, size_bytes: int, members: Sequence[Member]) -> Layout:
    """A layout whose fields lie inside of it; `ValueError` otherwise."""
    numbers = (size_bytes, *(n for m in members for n in (m.offset_bytes, m.size_bytes, m.count)))
    plain = all(type(number) is int and 0 <= number <= _MOST_BYTES for number in numbers)
    if not plain or not all(type(m.name) is str and m.end_bytes <= size_bytes for m in members):
        raise ValueError(f"{name} has fields that cannot be")
    return Layout(name, size_bytes, tuple(members))
