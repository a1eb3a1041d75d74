"""A page written to a file: whole or not at all, and never over anything that is no page of ours."""

from pathlib import Path

from coronel_gdb.own_file import check_replaceable, replaced

_BEGINNING = b"<!DOCTYPE html>"


def write_page(path: Path, text: str) -> None:
    """Write it; `UsageError` when that cannot be done, or when another file has that name."""
    check_page(path)
    with replaced(path) as (file, name):
        file.write(text.encode("utf-8", errors="backslashreplace"))
        name.chmod(0o644)


def check_page(path: Path) -> None:
    """`UsageError` unless the name is free, or that of an HTML page, in a folder that is there."""
    check_replaceable(path, _BEGINNING, "HTML page")
