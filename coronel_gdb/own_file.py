"""Files that the tool writes and reads back: whole or not at all, and never over what is not its own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from coronel_gdb.errors import UsageError


@contextmanager
def replaced(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file and its own name for now; it gets the name `path` when the block ends well.

    `UsageError` when the system refuses.
    """
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                yield file, Path(name)
            Path(name).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def check_replaceable(path: Path, beginning: bytes, noun: str) -> None:
    """`UsageError` unless the name is free, or that of a file that begins so, in a folder that is there."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(beginning)) == beginning:
                    return
        elif not path.exists() and not path.is_symlink():
            if path.parent.is_dir():
                return
            raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    raise UsageError(f"{path} exists and is no {noun}: it is not overwritten")


def contents(path: Path, most_bytes: int, noun: str) -> bytes:
    """All bytes of a file; `UsageError` when it cannot be read, or is larger than any `noun`.

    The size is judged first, so that no file costs memory; a pipe without a writer is an empty file.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > most_bytes:
                raise UsageError(f"{path} is no {noun}: larger than {most_bytes >> 20} MiB")
            return file.read(size)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
