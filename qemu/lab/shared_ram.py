"""The guest's RAM as a file that QEMU and this process map both: read, compared, put back at memory speed."""

import mmap
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

PAGE_BYTES: Final = 4096
_MEMORY_FILES: Final = Path("/dev/shm")


class SharedRam:
    """A file of that many MiB for `-object memory-backend-file`; use as a context manager.

    After `take_base()` the pages that have changed since are known, and can be put back.
    """

    def __init__(self, mib: int) -> None:
        self.size_bytes: Final = mib << 20
        self._cleanup: Final = ExitStack()
        self._bytes: mmap.mmap
        self._pages: Any
        self._base: Any = None
        self._kept: Any = None

    def __enter__(self) -> Self:
        folder = _MEMORY_FILES if os.access(_MEMORY_FILES, os.W_OK) else None
        with tempfile.NamedTemporaryFile(prefix="coronel-ram-", dir=folder, delete=False) as file:
            self.path = Path(file.name)
            self._cleanup.callback(self.path.unlink, missing_ok=True)
            file.truncate(self.size_bytes)
            self._bytes = mmap.mmap(file.fileno(), self.size_bytes)
        self._pages = np.frombuffer(self._bytes, np.uint64).reshape(-1, PAGE_BYTES // 8)
        return self

    def __exit__(self, *_: object) -> None:
        # The array holds the map open; both go with this object.
        self._cleanup.close()

    @property
    def options(self) -> list[str]:
        """QEMU's options that make the file the machine's RAM."""
        backend = f"memory-backend-file,id=ram,size={self.size_bytes},mem-path={self.path},share=on"
        return ["-object", backend, "-machine", "memory-backend=ram"]

    def read(self, address: int, size_bytes: int) -> bytes:
        """The bytes there now."""
        return self._bytes[address : address + size_bytes]

    def read_u64(self, address: int) -> int:
        """The little-endian u64 there now."""
        return int.from_bytes(self._bytes[address : address + 8], "little")

    def write(self, address: int, data: bytes) -> None:
        """Put bytes there; the guest sees them at once."""
        self._bytes[address : address + len(data)] = data

    def take_base(self, kept: range) -> None:
        """Remember all of it as it is; the pages of the addresses `kept` are left out of everything else."""
        self._base = self._pages.copy()
        self._kept = np.arange(kept.start // PAGE_BYTES, kept.stop // PAGE_BYTES)

    def base_page(self, address: int) -> bytes:
        """A page as it was when the base was taken."""
        return bytes(self._base[address // PAGE_BYTES].tobytes())

    def changed(self) -> list[int]:
        """The addresses of the pages that are not as they were, ascending."""
        different = (self._pages != self._base).any(axis=1)
        different[self._kept] = False
        return [int(number) * PAGE_BYTES for number in np.flatnonzero(different)]

    def restore(self) -> None:
        """Put every changed page back."""
        numbers = [address // PAGE_BYTES for address in self.changed()]
        self._pages[numbers] = self._base[numbers]

    def used_pages(self, start: int) -> list[int]:
        """The addresses from `start` on of the pages that held something when the base was taken."""
        first = start // PAGE_BYTES
        return [(first + int(n)) * PAGE_BYTES for n in np.flatnonzero(self._base[first:].any(axis=1))]
