"""The bytes of a dump file, read where they are wanted; opening a file of any size costs nothing."""

import os
from pathlib import Path
from typing import Protocol

from coronel_gdb.errors import DumpError


class Source(Protocol):
    """A file's bytes by offset: the file itself, or what a flattened file unfolds to."""

    name: str
    size_bytes: int

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Exactly those bytes; `DumpError` when the file ends before."""


class FileSource:
    """A file on disk. It is read, never mapped: one that shrinks meanwhile is an error, not a signal."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            # Not blocking: a named pipe without a writer must not hang the open.
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self.size_bytes = os.lseek(self._file, 0, os.SEEK_END)
        except OSError as error:
            raise DumpError(f"cannot open the dump {path}: {error.strerror}") from error

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Exactly those bytes; the size is judged first, so that no claim of the file costs memory."""
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise DumpError(
                f"the dump is truncated: {size_bytes:,} bytes at offset {offset:#x}, "
                f"but it has {self.size_bytes:,}"
            )
        try:
            data = os.pread(self._file, size_bytes, offset)
            while len(data) < size_bytes:
                more = os.pread(self._file, size_bytes - len(data), offset + len(data))
                if not more:
                    raise DumpError("the dump became shorter while it was read")
                data += more
        except OSError as error:
            raise DumpError(f"cannot read the dump {self.name}: {error.strerror}") from error
        return data

    def next_data(self, offset: int) -> int:
        """The first offset from `offset` on that is no hole of a sparse file; the size when there is none."""
        try:
            return os.lseek(self._file, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: a hole up to the end; EINVAL: this file system knows no holes
            return self.size_bytes
