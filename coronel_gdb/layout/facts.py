"""What DWARF knows about a kernel, in a form that can be kept: versioned JSON, keyed by build-id."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from coronel_gdb import VERSION
from model.layouts import Layout, Member

FORMAT = 1


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
                name: Layout(name, size, tuple(Member(*member) for member in members))
                for name, (size, members) in raw["layouts"].items()
            }
            return KernelFacts(raw["build_id"], layouts, raw["constants"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a layout file: {error}") from error


def cache_file(build_id: str, wanted: Iterable[str]) -> Path:
    """Where the facts of that build are kept; other wanted names, or another tool, are another file."""
    import hashlib  # here: only commands that need types pay for it

    key = hashlib.sha256("\n".join([VERSION, *sorted(wanted)]).encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "coronel-gdb" / f"{build_id}-{key}.json"


def load(path: Path) -> KernelFacts | None:
    """The cached facts, None when there are none that can be used."""
    try:
        return KernelFacts.from_json(path.read_text())
    except (OSError, ValueError):
        return None


def save(path: Path, facts: KernelFacts) -> None:
    """Keep the facts; a cache that cannot be written costs time only, so that is no error."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_text(facts.to_json())
        scratch.replace(path)
