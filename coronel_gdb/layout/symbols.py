"""The symbols of a kernel's ELF file by their C++ names, without a debugger and without a demangler.

A name is encoded as the Itanium C++ ABI §5.1 has it (`coronel::g_trace` is `_ZN7coronel7g_traceE`, with an L
before the last part when it is local to its file), and looked up as it stands.
"""

import mmap
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from coronel_gdb.errors import KernelError
from coronel_gdb.layout.symbol_names import source_name

_SYMBOL = struct.Struct("<IBBHQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOOKED_BACK = 64  # symbols that begin at or before an address: aliases, labels inside a function
_EXECUTABLE = 1
_SYMTAB, _LOAD, _NOTE, _FUNCTION = 2, 1, 4, 2
_ANONYMOUS = "(anonymous namespace)"


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol: its address, its size in bytes, and whether it is a function."""

    address: int
    size_bytes: int
    is_function: bool


@dataclass(frozen=True, slots=True)
class LoadSegment:
    """A segment of the image as the linker placed it; `flags`: 1 executable, 2 writable, 4 readable."""

    virtual: int
    offset: int
    file_bytes: int
    memory_bytes: int
    flags: int


class SymbolFile:
    """The symbol table and load segments of a 64-bit ELF file; `KernelError` when it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                # Mapped: a kernel with its debug information may have half a gigabyte.
                self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise KernelError(f"cannot read the kernel file {path}: {error.strerror}") from error
        except ValueError as error:
            raise KernelError(f"the kernel file {path} is empty") from error
        if self._data[:6] != b"\x7fELF\x02\x01":
            raise KernelError(f"the kernel file {path} is no 64-bit ELF file")
        try:
            self.segments = tuple(self._segments(_LOAD))
            self.notes = tuple(self._segments(_NOTE))
            self._all = tuple(self._read())  # names that are local to files can be there twice
            self._symbols = dict(self._all)
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise KernelError(f"the kernel file {path} is damaged: {error}") from error
        if not self._symbols:
            raise KernelError(f"the kernel file {path} has no symbols: it was stripped")
        self._functions: dict[str, Symbol | None] = {}

    def find(self, name: str) -> Symbol | None:
        """The symbol of that C++ name; None when there is none, or when overloads share the name."""
        for encoded in encodings(name):
            found = self._symbols.get(encoded.encode())
            if found is not None:
                return found
        return self._function(name)

    def names(self) -> Iterator[str]:
        """All of them, as the source has them."""
        for encoded in self._symbols:
            yield source_name(encoded.decode(errors="replace"))

    def around(self, address: int) -> tuple[str, Symbol] | None:
        """The function or variable that an address lies in, by its name in the source; None for neither.

        A label without a size (assembly has them) counts for the code behind it.
        """
        addresses, rows = self._ascending
        at = bisect_right(addresses, address)
        label: tuple[str, Symbol] | None = None
        for encoded, symbol in rows[max(0, at - _LOOKED_BACK) : at][::-1]:
            if address < symbol.address + symbol.size_bytes:
                return source_name(encoded.decode(errors="replace")), symbol
            if symbol.size_bytes and symbol.is_function:
                break  # a label before this function does not reach beyond it
            if label is None and self._is_code(symbol.address) and self._is_code(address):
                label = source_name(encoded.decode(errors="replace")), symbol
        return label

    @cached_property
    def _ascending(self) -> tuple[list[int], list[tuple[bytes, Symbol]]]:
        """All symbols by their address; of several at one, functions and large ones come last."""
        rows = sorted(
            self._all,
            key=lambda row: (row[1].address, row[1].is_function, row[1].size_bytes, row[0]),
        )
        return [symbol.address for _, symbol in rows], rows

    def _is_code(self, address: int) -> bool:
        return any(
            segment.flags & _EXECUTABLE
            and segment.virtual <= address < segment.virtual + segment.memory_bytes
            for segment in self.segments
        )

    def bytes_of(self, segment: LoadSegment) -> bytes:
        """What the file holds of a segment."""
        return self._data[segment.offset : segment.offset + segment.file_bytes]

    def _function(self, name: str) -> Symbol | None:
        """A function's symbol ends with its parameters, which nobody types."""
        starts = tuple(one.encode() for one in encodings(name) if one.startswith("_Z"))
        starts += tuple(one.replace(b"_ZN", b"_ZNK", 1) for one in starts)  # a const member
        found = {
            symbol for text, symbol in self._symbols.items() if symbol.is_function and text.startswith(starts)
        }
        return found.pop() if len(found) == 1 else None

    def _segments(self, wanted: int) -> Iterator[LoadSegment]:
        (table,) = struct.unpack_from("<Q", self._data, 32)
        entry_bytes, count = struct.unpack_from("<HH", self._data, 54)
        for index in range(count):
            kind, flags, offset, virtual, _, file_bytes, memory_bytes, _ = _SEGMENT.unpack_from(
                self._data, table + index * entry_bytes
            )
            if kind == wanted:
                yield LoadSegment(virtual, offset, file_bytes, memory_bytes, flags)

    def _read(self) -> Iterator[tuple[bytes, Symbol]]:
        data = self._data
        (table,) = struct.unpack_from("<Q", data, 40)
        entry_bytes, count = struct.unpack_from("<HH", data, 58)
        sections = [_SECTION.unpack_from(data, table + index * entry_bytes) for index in range(count)]
        for section in sections:
            if section[1] != _SYMTAB:
                continue
            offset, size, names = section[4], section[5], sections[section[6]]
            text = data[names[4] : names[4] + names[5]]
            rows = data[offset : offset + size - size % _SYMBOL.size]
            for name, info, _, place, value, bytes_ in _SYMBOL.iter_unpack(rows):
                if name and place:
                    yield text[name : text.index(b"\0", name)], Symbol(value, bytes_, info & 15 == _FUNCTION)


def encodings(name: str) -> Iterator[str]:
    """The symbols that a C++ name may have, without a function's parameters."""
    parts = name.removeprefix("::").split("::")
    coded = ["12_GLOBAL__N_1" if part == _ANONYMOUS else f"{len(part)}{part}" for part in parts]
    if len(parts) == 1:
        yield parts[0]
        yield f"_ZL{coded[0]}"
        yield f"_Z{coded[0]}"
        return
    yield f"_ZN{''.join(coded)}E"
    yield f"_ZN{''.join(coded[:-1])}L{coded[-1]}E"
