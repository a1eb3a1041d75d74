"""Other files that a user may be handed: kernels, snapshots, saved spaces, small dumps, profiles, caches.

What a checksum would stop is damaged below it, as an attacker would do it.
"""

import json
import lzma
import struct
import subprocess
import tomllib
import zlib
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.dumps import small
from coronel_gdb.errors import CoronelError
from coronel_gdb.layout.facts import KernelFacts
from coronel_gdb.layout.kept_facts import read_facts
from coronel_gdb.layout.lines import locate
from coronel_gdb.layout.symbols import SymbolFile
from coronel_gdb.lift import saved, stop_file
from coronel_gdb.lift.pages import Pages
from coronel_gdb.lift.stop import REGISTERS, Stop, StopMemory
from coronel_gdb.profiles import resolve
from coronel_gdb.profiles.trace import resolve_replay
from model import layouts
from model.types import PhysicalAddress
from tests.coronel_gdb.test_dwarf import SOURCE, WANTED
from tests.dumps.mutations import Mutate, altered_values, bounded, mutations, tries

Alter = Callable[[Any], Any]
_KINDS = 11
_SHARE = 0.26
_PROFILE = Path(resolve.__file__).parent / "coronel.toml"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program with symbols, types and lines: what is read of a kernel's file."""
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "thing.cpp").write_text(SOURCE)
    command = ["g++", "-std=c++20", "-g", "-nostdlib", "-static", "-ffreestanding", "-Wl,--build-id"]
    subprocess.run(
        [*command, "-Wl,-emain", "-o", folder / "thing", folder / "thing.cpp"],
        check=True,
        capture_output=True,
    )
    return (folder / "thing").read_bytes()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def spans(data: bytes, names: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Offset and size of an ELF file's sections of those names."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, strings = struct.unpack_from("<HHH", data, 58)
    rows = [struct.unpack_from("<IIQQQQ", data, table + index * size) for index in range(count)]
    text = data[rows[strings][4] :]
    return [(row[4], row[5]) for row in rows if text[row[0] :].split(b"\0", 1)[0] in names]


def use_kernel(path: Path) -> None:
    """Everything a command does with a kernel's file."""
    with suppress(CoronelError):
        file = SymbolFile(path)
        file.find("g_thing")
        file.find("no::such")
        file.around(0x401000)
        for segment in (*file.segments, *file.notes):
            file.bytes_of(segment)
    with suppress(CoronelError):
        read_facts(path, ["outer::thing", "outer::pair"], WANTED)
    locate(path, [0x401000, 0x401010, 0x40103F])


@pytest.mark.parametrize("section", [".debug_info", ".debug_abbrev", ".debug_line", ".symtab", "anywhere"])
def test_a_kernel_file(section: str, kernel: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kernel.elf"
    ((start, size),) = spans(kernel, (section.encode(),)) if section[0] == "." else [(0, len(kernel))]

    @tries(_SHARE, _KINDS)
    @given(mutations())
    def check(mutate: Mutate) -> None:
        part = mutate(kernel[start : start + size])
        if section != "anywhere":
            part = part[:size].ljust(size, b"\0")
        path.write_bytes(kernel[:start] + part + kernel[start + size :])
        with bounded(None):
            use_kernel(path)

    path.write_bytes(kernel)
    facts = read_facts(path, ["outer::thing"], WANTED)
    assert facts.layouts["outer::thing"].size_bytes == 96
    check()


def test_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    stop = Stop(
        "k", 40, dict.fromkeys(REGISTERS, 1), {"g": 1, "h": None}, [(0, b"x" * 64), (4096, b"y" * 99)]
    )
    stop.blank = [(64, 4096)]
    stop_file.save(path, stop)
    data = path.read_bytes()
    raw = zlib.decompress(data[32:])
    (size,) = struct.unpack_from("<I", raw)
    index, memory = json.loads(raw[4 : 4 + size]), raw[4 + size :]

    def sealed(body: bytes) -> bytes:
        packed = zlib.compress(body, 1)
        return struct.pack("<16sIIQ", b"coronel snapshot", 1, zlib.crc32(packed), len(body)) + packed

    def use() -> None:
        with bounded():
            kept = stop_file.load(path)
            for address in (0, 60, 4096, 1 << 51):
                with suppress(CoronelError):
                    StopMemory(kept).read(PhysicalAddress(address), 64)

    @tries(_SHARE, _KINDS)
    @given(mutations(), altered_values())
    def check(mutate: Mutate, alter: Alter) -> None:
        text = json.dumps(alter(index)).encode()
        for damaged in (
            mutate(data),
            sealed(mutate(raw)),
            sealed(struct.pack("<I", len(text)) + text + memory),
        ):
            path.write_bytes(damaged)
            use()

    path.write_bytes(sealed(raw))
    assert stop_file.load(path) == stop
    check()


def test_a_saved_space(tmp_path: Path) -> None:
    path = tmp_path / "space"
    saved.save(path, 0x1000, 4, Pages(array("Q", [0, 1 << 21]), [0, 4096], [1, 3], [1 << 8, 1 << 8]))
    text = path.read_bytes()

    @tries(_SHARE, _KINDS)
    @given(mutations(), altered_values())
    def check(mutate: Mutate, alter: Alter) -> None:
        for damaged in (mutate(text), json.dumps(alter(json.loads(text))).encode()):
            path.write_bytes(damaged)
            with bounded():
                space = saved.load(path)
                list(saved.changes(space.pages, Pages(array("Q", [0]), [0], [1], [0])))

    check()


def test_a_small_dump_below_its_compression(tmp_path: Path) -> None:
    path, elf = tmp_path / "small", tmp_path / "k.elf"
    elf.write_bytes(b"\x7fELF" + bytes(5000))
    said = small.Description({"cr3": 0x1000}, "read", [("by", "x")], [(40, 2, "why")], 40, "k.elf", 5004)
    small.write(path, said, [(0, bytes(4096)), (9, b"text" * 1024)], elf)
    data = path.read_bytes()
    head = small._HEADER.unpack_from(data)
    parts = [data[at : at + size] for at, size in zip(head[2::2], head[3::2], strict=True)]
    described = json.loads(lzma.decompress(parts[0]))

    def packed(text: bytes) -> bytes:
        return lzma.compress(text, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=small._FILTERS)

    def joined(pieces: list[bytes]) -> bytes:
        at, places, body = len(data), [], b""
        for piece in pieces:
            places += [at + len(body), len(piece)]
            body += piece
        return small._HEADER.pack(*head[:2], *places) + data[small._HEADER.size :] + body

    @tries(_SHARE, _KINDS)
    @given(mutations(), altered_values())
    def check(mutate: Mutate, alter: Alter) -> None:
        text = packed(json.dumps(alter(described)).encode())
        for pieces in (
            [text, *parts[1:]],
            [parts[0], mutate(parts[1]), *parts[2:]],
            [*parts[:2], mutate(parts[2]), parts[3]],
        ):
            path.write_bytes(joined(pieces))
            with bounded():
                target = DumpTarget(path)
                for address in (0, 4096, 9 * 4096, 40 * 4096, 1 << 45):
                    with suppress(CoronelError):
                        target.memory.read(PhysicalAddress(address), 4096)
                target.memory.describe()
                target.facts()
        assert {one.name for one in tmp_path.iterdir()} <= {"small", "k.elf", "cache"}

    path.write_bytes(joined(parts))
    assert DumpTarget(path).memory.read(PhysicalAddress(9 * 4096), 4) == b"text"
    check()


def toml(raw: Any) -> str:
    """A profile's tables as TOML; a string in JSON's form is one in TOML's."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in raw.items() if not isinstance(value, dict)]
    for name, table in raw.items():
        if isinstance(table, dict):
            lines.append(f"[{json.dumps(name)}]")
            lines += [f"{json.dumps(key)} = {inline(value)}" for key, value in table.items()]
    return "\n".join(lines)


def inline(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def test_a_profile(kernel: bytes, tmp_path: Path) -> None:
    text = _PROFILE.read_bytes()
    raw = tomllib.loads(text.decode())

    def use(damaged: bytes) -> None:
        with bounded():
            profile = resolve.parse(damaged.decode(errors="replace"))
            with suppress(CoronelError):
                resolve.resolve(profile, None)
            resolve_replay(profile, None)

    @tries(_SHARE, _KINDS)
    @given(mutations(), altered_values())
    def check(mutate: Mutate, alter: Alter) -> None:
        use(mutate(text))
        use(toml(alter(raw)).encode())

    assert tomllib.loads(toml(raw)) == raw
    check()


def test_a_cache(tmp_path: Path) -> None:
    text = KernelFacts("id", {one.name: one for one in layouts.ALL}, {"heap::MAGIC": 7}).to_json()

    @tries(_SHARE, _KINDS)
    @given(mutations(), altered_values())
    def check(mutate: Mutate, alter: Alter) -> None:
        for damaged in (
            mutate(text.encode()).decode(errors="replace"),
            json.dumps(alter(json.loads(text))),
        ):
            with bounded(), suppress(ValueError):
                facts = KernelFacts.from_json(damaged)
                for layout in facts.layouts.values():
                    assert layout.size_bytes >= 0
                    assert all(member.end_bytes <= layout.size_bytes for member in layout.members)
                assert all(type(value) is int for value in facts.constants.values())

    check()
