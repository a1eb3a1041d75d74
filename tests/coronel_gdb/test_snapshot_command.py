"""`snapshot` without QEMU: files that are damaged or hostile, and machines whose structures are."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coronel_gdb.backends.memory_host import MachineTarget
from coronel_gdb.commands.command import Context
from coronel_gdb.commands.stops.side import _keep_headers, take
from coronel_gdb.errors import ReadFault, UsageError
from coronel_gdb.lift.stop import Recorder, Stop, StopMemory
from coronel_gdb.lift.stop_file import load, save
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_json, as_table
from model.types import PhysicalAddress, VirtualAddress
from tests.coronel_gdb.user_side import UserSide, user_side

(SNAPSHOT,) = (command for command in commands() if command.name == "snapshot")
REGISTERS = {"cr0": 1, "cr3": 0x1000, "cr4": 2, "efer": 3}
HEAD = struct.Struct("<16sIIQ")


def small() -> Stop:
    runs = [(0x1000, b"abc"), (0x2000, bytes(range(200)))]
    return Stop("build", 40, dict(REGISTERS), {"a": 1, "b": None}, runs, [(0x1000, 0x2000), (0x5000, 0x6000)])


def report(side: UserSide, line: str) -> dict[str, Any]:
    result = SNAPSHOT.run(side.context(), SNAPSHOT.parse(line.split()))
    assert as_table.render(result).startswith("snapshot: ")
    parsed: dict[str, Any] = json.loads(as_json.render(result))
    return parsed


def test_a_file_gives_back_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert save(path, small()) == path.stat().st_size
    assert load(path) == small()
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_what_is_not_kept_cannot_be_read() -> None:
    memory = StopMemory(small())
    assert memory.read(PhysicalAddress(0x1001), 4) == b"bc\0\0"
    assert memory.read(PhysicalAddress(0x1FFE), 4) == b"\0\0\0\1"
    assert memory.read(PhysicalAddress(0x5000), 4096) == bytes(4096)
    for address, size in ((0xFFF, 2), (0x20C0, 16), (0x5FFF, 2), (0x9000, 1)):
        with pytest.raises(ReadFault, match="not in the snapshot"):
            memory.read(PhysicalAddress(address), size)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=20),
)
def test_reads_that_overlap_are_kept_once(reads: list[tuple[int, int]]) -> None:
    side = user_side_of_nothing()
    recorder = Recorder(side)
    for address, size in reads:
        recorder.read(PhysicalAddress(0x10_0000 + address), size)
    runs = recorder.runs()
    covered = {0x10_0000 + at for address, size in reads for at in range(address, address + size)}
    assert {start + at for start, data in runs for at in range(len(data))} == covered
    assert sum(len(data) for _, data in runs) == len(covered)
    for start, data in runs:
        assert data == side.memory.read(PhysicalAddress(start), len(data))


_MACHINE = user_side()


def user_side_of_nothing() -> MachineTarget:
    return MachineTarget(_MACHINE.machine)


def packed(raw: bytes, version: int = 1, length: int | None = None) -> bytes:
    body = zlib.compress(raw)
    return (
        HEAD.pack(b"coronel snapshot", version, zlib.crc32(body), len(raw) if length is None else length)
        + body
    )


def index(**changed: object) -> bytes:
    good = {
        "kernel": "",
        "physical_bits": 40,
        "registers": REGISTERS,
        "symbols": {},
        "runs": [[0, 2]],
        "blank": [],
    }
    text = json.dumps({**good, **changed}).encode()
    return struct.pack("<I", len(text)) + text + b"ab"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin like one"),
        (b"coronel snapshot", "truncated"),
        (packed(index(), version=9), "version 9"),
        (packed(index())[:-3], "checksum"),
        (packed(index(), length=1 << 40), "larger than"),
        (packed(index(), length=50), "another length"),
        (packed(index(), length=5000), "another length"),
        (packed(zlib.compress(bytes(1 << 20))), "no snapshot"),
        (packed(struct.pack("<I", 4) + b"[[[["), "no snapshot"),
        (packed(struct.pack("<I", 100_000) + b"[" * 100_000), "no snapshot"),
        (packed(index(more=1)), "index is another one"),
        (packed(index(physical_bits=99)), "physical_bits"),
        (packed(index(registers={"cr0": 1})), "registers"),
        (packed(index(registers={**REGISTERS, "cr3": -1})), "registers"),
        (packed(index(symbols={"a": "b"})), "symbols"),
        (packed(index(symbols={str(n): n for n in range(2000)})), "symbols"),
        (packed(index(runs=[[0, 3]])), "longer than its bytes"),
        (packed(index(runs=[[0, 1]])), "belong to no run"),
        (packed(index(runs=[[5, 1], [0, 1]])), "do not ascend"),
        (packed(index(runs=[[1 << 60, 2]])), "do not ascend"),
        (packed(index(runs=[[0, 2, 3]])), "no pairs"),
        (packed(index(blank=[[5, 5]])), "blank"),
        (packed(index(blank=7)), "no list"),
    ],
)
def test_a_file_that_save_would_not_have_written(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "file"
    whole = packed(index())
    raw = bytearray(index())
    if data.draw(st.booleans()):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        damaged = packed(bytes(raw))
    else:
        cut = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
        if cut:
            cut[data.draw(st.integers(0, len(cut) - 1))] ^= data.draw(st.integers(0, 255))
        damaged = bytes(cut)
    path.write_bytes(damaged)
    said = ""
    try:
        load(path)
    except UsageError as error:
        said = str(error)
    assert "\n" not in said


def test_only_snapshots_are_replaced(tmp_path: Path) -> None:
    folder, link, text = tmp_path / "folder", tmp_path / "link", tmp_path / "text"
    folder.mkdir()
    text.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for path in (folder, link, text):
        with pytest.raises(UsageError, match="not overwritten"):
            save(path, small())
    with pytest.raises(UsageError, match="cannot write"):
        save(tmp_path / "none" / "file", small())
    assert text.read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", "link", "text"]


def test_without_a_trace_changes_are_listed(tmp_path: Path) -> None:
    side = user_side("alpha")
    kept = tmp_path / "kept"
    assert report(side, f"save {kept}")["exit_code"] == 0
    equal = report(side, f"diff {kept}")
    assert (equal["exit_code"], equal["findings"], equal["not_checked"]) == (0, [], [])
    assert "all structures are equal" in equal["summary"]
    pointer = side.machine.kalloc(100)
    process = side.processes[0]
    process.set("memory.code_end_", 0x1234)
    answer = report(side, f"diff {kept}")
    assert (answer["exit_code"], answer["findings"]) == (2, [])
    (changes,) = [table["rows"] for table in answer["tables"] if table["title"] == "changes"]
    by_place = {row["at"]: row for row in changes}
    assert by_place[pointer - 48]["change"] in ("changed", "new")
    assert "memory.code_end_" in by_place[process.address]["fields"]
    assert "num_allocations_" in next(row["fields"] for row in changes if row["structure"] == "heap object")


def test_variables_of_the_boot_never_change(tmp_path: Path) -> None:
    side = user_side()
    kept = tmp_path / "kept"
    report(side, f"save {kept}")
    placement = side.machine.image.by_name()["__placement"]
    memory = side.machine.memory
    memory.write_u64(VirtualAddress(placement), memory.read_u64(VirtualAddress(placement)) + 64)
    (finding,) = report(side, f"diff {kept}")["findings"]
    assert (finding["code"], finding["structure"]) == ("TRACE002", "variable __placement")


def test_a_damaged_kernel_can_be_kept(tmp_path: Path) -> None:
    """Cycles, wild pointers, headers full of ones: taken, and equal to itself."""
    side = user_side("alpha", "beta")
    block = side.machine.heap.fields.get("first_block_")
    side.machine.memory.write(VirtualAddress(block), b"\xff" * 48)
    regions = side.machine.regions.fields
    side.machine.memory.write_u64(VirtualAddress(regions.get("spare_") + 16), regions.get("spare_"))
    side.processes[1].set("next", side.processes[0].address)
    kept = tmp_path / "kept"
    assert report(side, f"save {kept}")["exit_code"] == 0
    answer = report(side, f"diff {kept}")
    assert answer["findings"] == []
    assert "all structures are equal" in answer["summary"]


def test_the_data_of_blocks_is_not_kept() -> None:
    side = user_side()
    secret = b"nobody's business"
    pointer = side.machine.kalloc(64)
    side.machine.memory.write(pointer, secret)
    stop = take(Context(MachineTarget(side.machine)))
    assert not any(secret in data for _, data in stop.runs)


def test_headers_that_no_page_of_the_directory_holds_are_left_out() -> None:
    """Found by the fuzz: the heap is read by CR3, its pages are looked up in a directory that is damaged."""

    class Whole:
        def bytes_at(self, _address: int, size_bytes: int) -> bytes:
            return bytes(size_bytes)

    kept: list[tuple[int, bytes]] = []

    class Keeps:
        def keep(self, address: int, data: bytes) -> None:
            kept.append((address, data))

    for pages in ([], [(0x9000, 0x1000, 4096)]):
        _keep_headers(Keeps(), Whole(), [0x5000], pages, 48)  # type: ignore[arg-type]
    assert kept == []
    _keep_headers(Keeps(), Whole(), [0x9010], [(0x9000, 0x1000, 4096)], 48)  # type: ignore[arg-type]
    assert kept == [(0x1010, bytes(48))]
