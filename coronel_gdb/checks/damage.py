"""What damaged bytes look like, and who could have written them."""

from dataclasses import dataclass

_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\0")
_POINTER_BYTES = 8


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
        """The JSON form; bytes in memory order as hexadecimal."""
        return {
            "field": self.name,
            "address": self.address,
            "found": int.from_bytes(self.found, "little"),
            "found_bytes": self.found.hex(),
            "expected": None if self.expected is None else int.from_bytes(self.expected, "little"),
            "expected_bytes": None if self.expected is None else self.expected.hex(),
            "because": self.because,
            "invariant": self.invariant,
        }


def shape(data: bytes) -> str:
    """What the bytes look like: text, a fill pattern, −1, a pointer; "no pattern" when none of these."""
    if not data:
        return "nothing"
    if len(set(data)) == 1:
        named = {0x00: "zeros", 0xFF: "all ones (−1)"}
        return named.get(data[0], f"fill of {data[0]:#04x}") if len(data) > 1 else f"one byte {data[0]:#04x}"
    if all(byte in _TEXT for byte in data) and any(byte > 0x20 for byte in data):
        return f'text "{_printable(data)}"'
    if len(data) == _POINTER_BYTES:
        value = int.from_bytes(data, "little")
        if value >= 0xFFFF_8000_0000_0000:
            return f"a kernel pointer {value:#x}"
    return "no pattern"


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def hexdump(data: bytes, start: int, marked: tuple[int, int]) -> list[str]:
    """Rows of 16 bytes with their text; bytes at addresses in `marked` have a line of carets below."""
    rows = []
    for offset in range(0, len(data), 16):
        row, at = data[offset : offset + 16], start + offset
        rows.append(f"{at:#018x}  {row.hex(' '):<47}  |{_printable(row)}|")
        carets = " ".join("^^" if marked[0] <= at + i < marked[1] else "  " for i in range(len(row)))
        if carets.strip():
            rows.append(f"{'':18}  {carets.rstrip()}")
    return rows
