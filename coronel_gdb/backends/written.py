"""A page written to a file: whole or not at all, and never over anything that is no page of ours."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from coronel_gdb.errors import UsageError

_BEGINNING = b"<!DOCTYPE html>"


def write_page(path: Path, text: str) -> None:
    """Write it; `UsageError` when that cannot be done, or when another file has that name."""
    check_page(path)
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def check_page(path: Path) -> None:
    """`UsageError` unless the name is free, or that of an HTML page, in a folder that is there."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(_BEGINNING)) == _BEGINNING:
                    return
        elif not path.exists():
            if path.parent.is_dir():
                return
            raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    raise UsageError(f"{path} exists and is no HTML page: it is not overwritten")
