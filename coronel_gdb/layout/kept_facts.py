"""Facts about a kernel: from where an earlier run kept them, by the kernel's bytes, or from its DWARF."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from coronel_gdb import VERSION
from coronel_gdb.errors import KernelError
from coronel_gdb.layout.facts import KernelFacts

_PIECE_BYTES = 1 << 20


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
