"""What DWARF knows about a kernel, in a form that can be kept: JSON, keyed by the kernel's bytes."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from coronel_gdb import VERSION
from coronel_gdb.errors import KernelError
from model.layouts import Layout, Member

FORMAT = 1
_MOST_BYTES = 1 << 24
_PIECE_BYTES = 1 << 20


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


def read_facts(path: Path, types: Iterable[str], constants: Iterable[str]) -> KernelFacts:
    """The wanted layouts and constants of an ELF file, from the cache when this very file is known there.

    Names that the file does not have are simply missing from the result. `KernelError` when the file cannot
    be read, is no ELF file or holds no DWARF; `ImportError` when pyelftools is needed and not there.
    """
    types, constants = frozenset(types), frozenset(constants)
    cached = cache_file(path, types | constants)
    facts = load(cached)
    if facts is None:
        from coronel_gdb.layout.dwarf import from_dwarf  # here: pyelftools is large, and seldom needed

        facts = from_dwarf(path, types, constants)
        if len(facts.layouts) + len(facts.constants) == len(types) + len(constants):
            save(cached, facts)
    return facts


def cache_file(kernel: Path, wanted: Iterable[str]) -> Path:
    """Where the facts of that file are kept; other wanted names, or another tool, are another file.

    Its bytes decide: a file that somebody else made may bear the build-id of ours.
    """
    import hashlib  # here: only commands that need types pay for it

    key = hashlib.blake2b("\n".join([VERSION, *sorted(wanted)]).encode(), digest_size=16)
    try:
        with kernel.open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                key.update(piece)
    except OSError as error:
        raise KernelError(f"cannot read the kernel file {kernel}: {error.strerror}") from error
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "coronel-gdb" / f"{key.hexdigest()}.json"


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
