"""`coronel save`: a small file, written whole or not at all, that never takes another file's place."""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.cli import main
from coronel_gdb.dumps import small
from coronel_gdb.errors import DumpError, ReadFault
from lab.paths import KERNEL_ELF
from lab.stopped import MIXED_THEN_OVERFLOW, at_checkpoint
from model.types import PhysicalAddress

RAM_BYTES = 128 << 20


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("elf") / "vmcore"
    with at_checkpoint(2, MIXED_THEN_OVERFLOW, memory="128M") as stopped:
        assert stopped.machine.monitor(f'dump-guest-memory "{path}"') == ""
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def saved(elf: Path) -> Path:
    path = elf.parent / "small"
    assert main(["save", str(path), "--dump", str(elf), "--kernel", str(KERNEL_ELF)]) == 0
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_is_below_one_percent_of_the_memory_and_nobody_else_may_read_it(saved: Path) -> None:
    assert saved.stat().st_size < RAM_BYTES / 100
    assert saved.stat().st_mode & 0o077 == 0
    assert names(saved.parent) == {"vmcore", "small"}


def test_every_page_is_the_dumps_and_what_is_not_there_says_so(elf: Path, saved: Path) -> None:
    whole, part = DumpTarget(elf).memory, DumpTarget(saved)
    ranges = part.dump.memory.ranges()
    for start, end in ranges:
        assert part.memory.read(PhysicalAddress(start), end - start) == whole.read(
            PhysicalAddress(start), end - start
        )
    first_gap = next(end for _, end in ranges if end < RAM_BYTES)
    with pytest.raises(ReadFault, match="not in this small dump"):
        part.memory.read(PhysicalAddress(first_gap - 8), 16)


def test_the_kernel_in_it_is_the_kernel(saved: Path) -> None:
    target = DumpTarget(saved)
    kernel = target.kernel()
    assert kernel is not None
    assert kernel.read_bytes() == KERNEL_ELF.read_bytes()
    folder = kernel.parent
    del target
    gc.collect()
    assert not folder.exists()


def test_saving_what_was_saved_gives_the_same_memory(saved: Path, tmp_path: Path) -> None:
    assert main(["save", str(tmp_path / "again"), "--dump", str(saved)]) == 0
    again, before = DumpTarget(tmp_path / "again"), DumpTarget(saved)
    assert again.dump.memory.ranges() == before.dump.memory.ranges()
    assert main(["save", str(tmp_path / "again"), "--dump", str(saved)]) == 0, "a small dump may be replaced"


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(list(map(str, words))) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    return shown.err


def test_other_files_are_left_alone(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").write_text("mine")
    options = ("--dump", saved)
    said = refusal(capsys, "save", tmp_path / "notes", *options)
    assert "exists and is no small dump: it is not overwritten" in said
    assert (tmp_path / "notes").read_text() == "mine"
    assert "it is not overwritten" in refusal(capsys, "save", tmp_path, *options)
    assert "there is no folder" in refusal(capsys, "save", tmp_path / "none" / "x", *options)
    assert "name the file to write" in refusal(capsys, "save", *options)
    assert names(tmp_path) == {"notes"}


def test_a_full_disk_leaves_nothing(saved: Path, tmp_path: Path) -> None:
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "from coronel_gdb.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["save", str(tmp_path / "x"), "--dump", str(saved), "--kernel", str(KERNEL_ELF)]
    done = subprocess.run(
        [sys.executable, "-c", limited, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (2, f"save: cannot write {tmp_path / 'x'}: File too large\n")
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kernel_name", "../evil"),
        ("kernel_name", "a/b"),
        ("kernel_name", ".."),
        ("kernel_bytes", 1 << 40),
        ("registers", {"cr3": -1}),
        ("registers", []),
        ("faults", [[0, 0, "x"]]),
        ("physical_bits", 99),
        ("provenance", 7),
    ],
)
def test_a_description_that_cannot_be(tmp_path: Path, field: str, value: object) -> None:
    said = small.Description({"cr3": 0x1000}, "read")
    object.__setattr__(said, field, value)
    rows = {name: getattr(said, name) for name in small.Description.__slots__}
    text = json.dumps(rows).encode()
    with pytest.raises(DumpError, match=r"is damaged: its description"):
        small._parsed(text, "x")
