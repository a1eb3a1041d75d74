"""Damaged fields, what their bytes look like, and how far a run of such bytes reaches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from coronel_gdb.lift.image import Image

_PRINTABLE = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r")
_POINTER_BYTES = 8
_KERNEL_HALF = 0xFFFF_8000_0000_0000
_LONGEST_RUN_BYTES = 1 << 16
_SMALL_STEP = 8
_LAST_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Field:
    """One damaged field: raw bytes found and, where the rest of memory implies them, expected."""

    name: str
    address: int
    found: bytes
    expected: bytes | None
    because: str
    invariant: str

    @property
    def changed(self) -> tuple[int, int]:
        """Addresses [first, end) of the bytes that differ; the whole field when nothing is expected."""
        if self.expected is None:
            return self.address, self.address + len(self.found)
        differ = [index for index, byte in enumerate(self.found) if byte != self.expected[index]]
        return self.address + differ[0], self.address + differ[-1] + 1

    def data(self) -> dict[str, object]:
        """The JSON form; bytes in memory order as hexadecimal. More than a word is no number."""
        is_number = len(self.found) <= _POINTER_BYTES
        expected = self.expected if is_number else None
        return {
            "field": self.name,
            "address": self.address,
            "found": int.from_bytes(self.found, "little") if is_number else None,
            "found_bytes": self.found.hex(),
            "expected": None if expected is None else int.from_bytes(expected, "little"),
            "expected_bytes": None if self.expected is None else self.expected.hex(),
            "because": self.because,
            "invariant": self.invariant,
        }


class Kind(Enum):
    """What wrote the bytes, as far as the bytes themselves tell."""

    TEXT = "text"
    FILL = "fill"
    BIT = "bit"
    STEP = "step"
    POINTER = "pointer"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Shape:
    """What damaged bytes look like: the kind, and words for the report."""

    kind: Kind
    words: str


def is_plain(byte: int) -> bool:
    """Whether a copy of text, or its terminator, may hold that byte."""
    return byte == 0 or byte in _PRINTABLE


def shape(data: bytes, only: Field | None = None) -> Shape:
    """The shape of damaged bytes; `only` is the field when they lie in a single one."""
    found = _as_number(only) if only is not None else None
    if found is not None and found.kind is Kind.BIT:
        return found
    if len(data) > 1 and len(set(data)) == 1:
        named = {0x00: "zeros", 0xFF: "all ones (−1)"}
        return Shape(Kind.FILL, named.get(data[0], f"fill of {data[0]:#04x}"))
    if all(byte in _PRINTABLE or byte == 0 for byte in data) and any(byte > 0x20 for byte in data):
        return Shape(Kind.TEXT, f'text "{_printable(data)}"')
    if found is not None:
        return found
    if len(data) == 1:
        return Shape(Kind.FILL, f"one byte {data[0]:#04x}")
    return Shape(Kind.UNKNOWN, "no pattern")


def _as_number(field: Field) -> Shape | None:
    """A field as a number: one bit away from what it was, a small step away, or a kernel pointer now."""
    found = int.from_bytes(field.found, "little")
    if field.expected is not None:
        expected = int.from_bytes(field.expected, "little")
        flipped = found ^ expected
        if flipped.bit_count() == 1:
            return Shape(Kind.BIT, f"one bit flipped, bit {flipped.bit_length() - 1} of {field.name}")
        if len(field.found) > 1 and abs(found - expected) <= _SMALL_STEP:
            return Shape(Kind.STEP, f"the right value {found - expected:+d}")
    if len(field.found) == _POINTER_BYTES and _KERNEL_HALF <= found < (1 << 64) - _LAST_PAGE_BYTES:
        return Shape(Kind.POINTER, f"a kernel pointer {found:#x}")
    return None


def reach(image: Image, start: int, end: int, kind: Kind) -> tuple[int, int]:
    """[first, end) of the whole run of bytes of one shape around the damaged [start, end).

    Bytes that happen to be equal to what they replaced are damage nobody can see, and a run does not
    begin where a header does: text and fill patterns are followed to both sides.
    """
    fits: Callable[[int], bool]
    if kind is Kind.TEXT:
        fits = _PRINTABLE.__contains__
    elif kind is Kind.FILL:
        fill = (image.bytes_at(start, 1) or b"\0")[0]

        def fits(byte: int) -> bool:
            return byte == fill
    else:
        return start, end
    found = image.chunk(start)
    if found is None:
        return start, end
    base, data = found
    first, last = start - base, end - base
    while first > 0 and start - base - first < _LONGEST_RUN_BYTES and fits(data[first - 1]):
        first -= 1
    while last < len(data) and last - (end - base) < _LONGEST_RUN_BYTES and fits(data[last]):
        last += 1
    return base + first, base + last


def expected_bytes(fields: Iterable[Field]) -> dict[int, int]:
    """Address → the byte that must stand there, for every field whose right value is known."""
    return {
        field.address + index: byte
        for field in fields
        if field.expected is not None
        for index, byte in enumerate(field.expected)
    }


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def hexdump(data: bytes, start: int, marked: tuple[int, int], expected: Mapping[int, int]) -> list[str]:
    """Rows of 16 bytes with their text.

    Below a row with bytes at addresses in `marked` stands a row of what they must be: `^^` where
    nothing implies it.
    """
    rows = []
    for offset in range(0, len(data), 16):
        row, at = data[offset : offset + 16], start + offset
        rows.append(f"{at:#018x}  {row.hex(' '):<47}  |{_printable(row)}|")
        below = []
        for address, byte in enumerate(row, at):
            wanted = expected.get(address)
            in_damage = marked[0] <= address < marked[1]
            below.append(
                "  " if not in_damage or wanted == byte else "^^" if wanted is None else f"{wanted:02x}"
            )
        if any(cell.strip() for cell in below):
            rows.append(f"{'must be':>18}  {' '.join(below).rstrip()}")
    return rows
