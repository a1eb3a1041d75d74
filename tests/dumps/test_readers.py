"""What each reader makes of well-formed, unusual and damaged files: what is not there is never zero."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.dumps.recognise import open_dump
from coronel_gdb.errors import DumpError, KernelError, ReadFault, TargetError, UsageError
from coronel_gdb.layout.symbols import SymbolFile, encodings
from lab.paths import KERNEL_ELF, PACKAGES
from model.types import PhysicalAddress
from tests.dumps.writers import CODECS, PAGE, elf_core, flattened, kdump, kdump_head, qemu_note

PAGED = {"cr0": 0x80010001, "cr3": 0x3000, "cr4": 0x20, "rip": 0xFFFFFFFF80100000}


def page(number: int) -> bytes:
    """Text that compresses, and differs from page to page."""
    return (b"page %4d, " % number * 410)[:PAGE]


PAGES = {number: page(number) for number in (*range(40), *range(100, 140), 5000)}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "dump"
    path.write_bytes(data)
    return path


def why(path: Path, address: int, size_bytes: int = 8) -> str:
    with pytest.raises(ReadFault) as caught:
        open_dump(path).memory.read(PhysicalAddress(address), size_bytes)
    return caught.value.reason


@pytest.mark.parametrize("form", ["plain", "flattened"])
@pytest.mark.parametrize("codec", CODECS)
def test_kdump_pages_in_every_compression(tmp_path: Path, codec: str, form: str) -> None:
    data = kdump(kdump_head(remarks=qemu_note(PAGED)), PAGES, codec, excluded={7, 120})
    path = written(tmp_path, flattened(data, 1000) if form == "flattened" else data)
    dump = open_dump(path)
    for number, expected in PAGES.items():
        if number not in (7, 120):
            assert dump.memory.read(PhysicalAddress(number * PAGE), PAGE) == expected
    assert dump.memory.read(PhysicalAddress(2 * PAGE - 6), 12) == page(1)[-6:] + page(2)[:6]
    whole = dump.memory.read(PhysicalAddress(8 * PAGE), 32 * PAGE)
    assert whole == b"".join(page(number) for number in range(8, 40))
    assert why(path, 7 * PAGE) == why(path, 6 * PAGE + 4090, 100) == "excluded from the dump"
    assert why(path, 40 * PAGE) == why(path, 1 << 50) == "outside the machine's RAM and ROM"
    assert dump.memory.ranges() == [(0, 40 * PAGE), (100 * PAGE, 140 * PAGE), (5000 * PAGE, 5001 * PAGE)]
    assert dump.cpus[0].registers["cr3"] == 0x3000


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    """In a Python that has no package but the standard library."""
    path = written(tmp_path, kdump(kdump_head(), PAGES, "lzo"))
    for name in ("coronel_gdb", "model"):
        (tmp_path / name).symlink_to(PACKAGES / name)
    code = (
        "import sys; from pathlib import Path\n"
        "from coronel_gdb.dumps.recognise import open_dump\n"
        "try: open_dump(Path(sys.argv[1])).memory.read(0, 8)\n"
        "except Exception as error: print(error)\n"
    )
    python = ["python3", "-S", "-c", code, str(path)]
    done = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "compressed with lzo: `pip install lzallright` to read them" in done.stdout


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("many", [False, True])
def test_elf_cores(tmp_path: Path, bits: int, many: bool) -> None:
    segments = [(0, 0, page(0) + page(1), 4 * PAGE), (0x10000, 0x10000, page(16), PAGE)]
    path = written(tmp_path, elf_core(segments, qemu_note(PAGED), bits=bits, many=many))
    dump = open_dump(path)
    assert dump.physical_addresses
    assert dump.memory.read(PhysicalAddress(PAGE - 4), 8) == page(0)[-4:] + page(1)[:4]
    assert dump.memory.read(PhysicalAddress(0x10000), PAGE) == page(16)
    assert why(path, 2 * PAGE - 4) == "excluded from the dump"
    assert why(path, 4 * PAGE) == "outside the machine's RAM and ROM"
    assert len(dump.cpus) == 1


def test_a_core_with_paging_on_holds_what_lies_between_its_segments(tmp_path: Path) -> None:
    high = 0xFFFFFFFF80000000
    body = b"".join(page(number) for number in range(512))
    notes = qemu_note(PAGED)
    # As QEMU: all RAM in the file, the segments name pages 256 to 258 and 300 of it, page 256 twice.
    rows = [(high, 256, 3), (high + 0x100000, 300, 1), (high + 0x200000, 256, 1)]
    shell = elf_core([(virtual, number * PAGE, b"", count * PAGE) for virtual, number, count in rows], notes)
    data = bytearray(shell)
    for index, (_, number, count) in enumerate(rows):
        at = 64 + 56 * (index + 1)
        struct.pack_into("<Q", data, at + 8, len(shell) + number * PAGE)
        struct.pack_into("<Q", data, at + 32, count * PAGE)
    path = written(tmp_path, bytes(data) + body + page(999) * 64)
    dump = open_dump(path)
    for number in (0, 1, 255, 256, 257, 258, 259, 299, 300, 301, 511):
        assert dump.memory.read(PhysicalAddress(number * PAGE), PAGE) == page(number), number
    assert (
        why(path, 512 * PAGE) == "not described by this dump"
    )  # the firmware behind RAM is not taken for RAM
    assert dict(dump.facts)["inferred"] == "the place of 2,032 KiB that no segment names"
    assert not dump.physical_addresses


def test_a_hole_between_segments_is_not_filled(tmp_path: Path) -> None:
    path = written(tmp_path, elf_core([(1 << 63, 0, page(0), PAGE), (1 << 62, 8 * PAGE, page(8), PAGE)]))
    assert why(path, 3 * PAGE) == "not described by this dump"


@pytest.mark.parametrize("form", ["elf", "kdump", "flattened"])
def test_a_truncated_file_gives_what_it_still_has(tmp_path: Path, form: str) -> None:
    plain = kdump(kdump_head(), PAGES, "none")
    data = {
        "elf": elf_core([(0, 0, b"".join(PAGES[number] for number in range(40)), 40 * PAGE)]),
        "kdump": plain,
        "flattened": flattened(plain, rewrites=False),
    }[form]
    path = written(tmp_path, data[: len(data) - 20 * PAGE])
    assert open_dump(path).memory.read(PhysicalAddress(0), PAGE) == page(0)
    last = {"elf": 39, "kdump": 5000, "flattened": 5000}[form]
    assert "truncated" in why(path, last * PAGE)


def test_a_flattened_file_without_its_end_is_not_zero_where_nothing_was_written(tmp_path: Path) -> None:
    plain = kdump(kdump_head(), PAGES, "zlib")
    path = written(tmp_path, flattened(plain, 64, ends=False))
    with pytest.raises(DumpError, match="truncated"):
        open_dump(path)  # its bitmaps are mostly zeros, which the pieces leave out
    path.write_bytes(flattened(plain)[:20000])
    with pytest.raises(DumpError, match="truncated: its header was to come last"):
        open_dump(path)
    path.write_bytes(flattened(plain, 64))
    assert open_dump(path).memory.read(PhysicalAddress(5000 * PAGE), PAGE) == page(5000)


def test_raw_images(tmp_path: Path) -> None:
    path = written(tmp_path, page(0) + page(1))
    dump = open_dump(path)
    assert dump.memory.read(PhysicalAddress(PAGE), PAGE) == page(1)
    assert why(path, 2 * PAGE) == "outside the machine's RAM and ROM"
    with pytest.raises(TargetError, match=r"name it with --cr3"):
        DumpTarget(path).register("cr3")
    assert DumpTarget(path, cr3=0x5000).register("cr3") == 0x5000


def test_a_sparse_image_of_64_gib_is_opened_and_searched_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.seek((40 << 30) - PAGE)
        table = bytearray(PAGE)
        struct.pack_into("<Q", table, 511 * 8, 0x3000 | 3)
        stream.write(table)
        stream.seek(0x3000)
        table = bytearray(PAGE)
        struct.pack_into("<Q", table, 0, 0x83)
        stream.write(table)
        stream.truncate(64 << 30)
    target = DumpTarget(path)
    assert target.register("cr3") == (40 << 30) - PAGE
    ((name, said),) = target.remarks()
    assert (name, said.split(":")[0]) == ("inferred", f"the top table {(40 << 30) - PAGE:#x}")
    assert DumpTarget(path, cr3=0x5000).remarks() == []


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62) + bytes(60), "is an ELF program"),
        (b"\x7fELF\x02\x02\x01" + bytes(9) + struct.pack(">HH", 4, 22) + bytes(60), "of another processor"),
        (b"\x7fELF", "truncated"),
        (b"PAGEDU64" + bytes(4088), "a Windows crash dump"),
        (b"QFI\xfb" + bytes(4092), "a disk image"),
        (b"\x1f\x8b" + bytes(4094), "`gunzip` it first"),
        (b"makedumpfile\0\0\0\0" + bytes(16), "of an unknown kind"),
        (b"KDUMP   " + bytes(8192), "its blocks have 0 bytes"),
        (b"hello", "no whole number of pages"),
        (b"", "no whole number of pages"),
    ],
)
def test_other_files_are_named(tmp_path: Path, head: bytes, message: str) -> None:
    with pytest.raises(DumpError, match=message):
        open_dump(written(tmp_path, head))


def test_a_pipe_and_a_directory_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(DumpError, match=r"cannot open the dump|is a directory"):
            open_dump(path)


@pytest.mark.parametrize(
    ("registers", "long_mode", "machine", "efer"),
    [
        (PAGED, True, 62, 0xD00),
        (PAGED, False, 62, 0xD00),  # in compatibility mode, of a dump marked x86-64
        (PAGED, False, 3, 0),
        ({**PAGED, "cr4": 0}, True, 62, 0),
        ({**PAGED, "cr0": 1}, True, 62, 0),
    ],
)
def test_efer_is_inferred(
    tmp_path: Path, registers: dict[str, int], long_mode: bool, machine: int, efer: int
) -> None:
    core = elf_core([(0, 0, page(0), PAGE)], qemu_note(registers, long_mode=long_mode), machine=machine)
    target = DumpTarget(written(tmp_path, core))
    assert target.register("efer") == efer
    assert dict(target.facts())["efer"].startswith("inferred, a dump has none")


def test_a_dump_without_registers_needs_cr3(tmp_path: Path) -> None:
    target = DumpTarget(written(tmp_path, elf_core([(0, 0, page(0), PAGE)])))
    with pytest.raises(TargetError, match="name the top table with --cr3"):
        target.register("cr3")


def test_symbols_by_their_names() -> None:
    assert list(encodings("g_kernel_heap")) == ["g_kernel_heap", "_ZL13g_kernel_heap", "_Z13g_kernel_heap"]
    assert list(encodings("coronel::g_trace")) == ["_ZN7coronel7g_traceE", "_ZN7coronelL7g_traceE"]
    assert next(encodings("(anonymous namespace)::x")) == "_ZN12_GLOBAL__N_11xE"
    file = SymbolFile(KERNEL_ELF)
    listed = subprocess.run(["nm", "-C", KERNEL_ELF], capture_output=True, text=True, check=True).stdout
    checked = 0
    names = [line[19:].partition("(")[0] for line in listed.splitlines()]
    for line in listed.splitlines():
        name = line[19:].partition("(")[0]
        if line[17] in "BbDdRrTt" and names.count(name) == 1 and all(c.isalnum() or c in "_:" for c in name):
            symbol = file.find(name)
            assert symbol is not None, name
            assert symbol.address == int(line[:16], 16), name
            checked += 1
    assert checked > 200


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"no ELF"])
def test_a_file_that_is_no_kernel(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(KernelError):
        SymbolFile(written(tmp_path, data))


def test_expressions(tmp_path: Path) -> None:
    target = DumpTarget(written(tmp_path, elf_core([(0, 0, page(0), PAGE)], qemu_note(PAGED))), KERNEL_ELF)
    heap = SymbolFile(KERNEL_ELF).find("g_kernel_heap")
    assert heap is not None
    assert target.evaluate("&g_kernel_heap") == heap.address
    assert target.evaluate(" 0x10 + 2 - $cr3") == (0x12 - 0x3000) % (1 << 64)
    assert target.evaluate("$pc") == PAGED["rip"]
    assert target.evaluate("-1") == (1 << 64) - 1
    for text in (
        "",
        "1 +",
        "1 2",
        "$nothing",
        "nothing",
        "*0",
        "__import__('os')",
        "&g_kernel_heap + 1",
        "1" * 5000,
        "18446744073709551616",
    ):
        with pytest.raises(UsageError, match="cannot evaluate"):
            target.evaluate(text)
    with pytest.raises(UsageError):
        target.evaluate("g_kernel_heap")  # this dump's tables are no tables
