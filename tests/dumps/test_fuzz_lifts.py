"""Every lift and every command on a kernel's memory that was damaged anywhere: an answer or a plain error.

The memory is that of real stops, in an ELF core; read, lifted, checked and rendered as users do it.
"""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.backends.triage import look
from coronel_gdb.cli import main
from coronel_gdb.layout.symbols import SymbolFile
from lab.paths import KERNEL_ELF, OLDER_ELF
from lab.programs import modules
from lab.stopped import at_checkpoint
from model.types import PhysicalAddress
from tests.dumps.mutations import EDGES, bounded, files_below, tries
from tests.dumps.writers import PAGE, elf_core, qemu_note
from tests.kernels.told import elf

STOPS = {
    "heap": ("scenario=mixed seed=3 ops=150", KERNEL_ELF, ()),
    "processes": ("scenario=processes", KERNEL_ELF, ("pause a", "pause b")),
    "older": ("scenario=load seed=3 ops=400", OLDER_ELF, ()),
    "tags": ("seed=3 ops=300", elf("tags"), ()),
    "runs": ("seed=8 ops=70", elf("runs"), ()),
}
LINES = [
    "memcheck", "memcheck --verbose", "heapcheck --everywhere --stats --blocks --leaks", "heapcheck --map",
    "frames --ledger --duplicates --leaks", "regions", "processes", "layout", "pagewalk",
    "pagewalk --audit --every-process", "pagewalk --why g_kernel_heap", "pagewalk --save space", "replay",
    "replay --minimize", "whatis g_kernel_heap", "whatis $rsp", "snapshot save kept", "snapshot diff before",
    "status", "triage",
]  # fmt: skip
HEAVY = ["save small", "report -o page.html"]
"""They run many of the others, and compress or draw what comes of it: ten times as long as one of them."""
SHARES = {"each": (0.28, LINES), "heavy": (0.01, HEAVY)}
WRITTEN = {"space", "kept", "small", "page.html"}
GIVEN = {"core", "before"}


@dataclass(frozen=True)
class Image:
    """A sound stop: its core, and where in it words lie that are no code and not zero, page by page."""

    kernel: Path
    core: bytes
    words: list[list[int]]


@pytest.fixture(scope="module", params=STOPS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the checks read of a kernel that was booted for this."""
    append, kernel, programs = STOPS[request.param]
    small = tmp_path_factory.mktemp("lifts") / "small"
    boot, extra = kernel.with_suffix(".boot.elf"), modules(programs) if programs else []
    with at_checkpoint(1, append, memory="32M", extra=extra, elf=kernel, boot_elf=boot) as stopped:
        stopped.gdb.console(f"coronel save {small}", 60)
    target = DumpTarget(small)
    memory = target.dump.memory
    runs = [(start, memory.read(PhysicalAddress(start), end - start)) for start, end in memory.ranges()]
    core = elf_core(
        [(start, start, data, len(data)) for start, data in runs], qemu_note(target.dump.cpus[0].registers)
    )
    image_bytes = b"".join(data for _, data in runs)
    first = len(core) - len(image_bytes)
    constant = b"".join(
        file.bytes_of(segment)
        for file in [SymbolFile(kernel)]
        for segment in file.segments
        if not segment.flags & 2
    )
    words = []
    for at in range(0, len(image_bytes), PAGE):
        page = image_bytes[at : at + PAGE]
        if page not in constant:
            places = [first + at + word for word in range(0, PAGE, 8) if any(page[word : word + 8])]
            words.append(places)
    return Image(kernel, core, [places for places in words if places])


Change = tuple[int, int, int, int | None]
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.integers(0, 512),
        st.integers(0, 1 << 20),
        st.one_of(st.sampled_from([*EDGES, 8, 16, 4096, -1 % (1 << 64), -8 % (1 << 64)]), st.none()),
    ),
    min_size=1,
    max_size=5,
)
"""(page, word, other word, number): the other word, the number, or their sum, takes the word's place."""


def damaged(image: Image, made: list[Change]) -> bytes:
    """The core with those words changed: to an edge, to another word, or to what lies beside it."""
    core = bytearray(image.core)
    for page, word, other, number in made:
        places = image.words[page % len(image.words)]
        at = places[word % len(places)]
        source = image.words[other % len(image.words)]
        (value,) = struct.unpack_from("<Q", core, source[other // 7 % len(source)])
        if number is not None:
            value = number if other % 3 else (struct.unpack_from("<Q", core, at)[0] + number) % (1 << 64)
        struct.pack_into("<Q", core, at, value)
    return bytes(core)


def answer(kernel: Path, line: str, form: str) -> None:
    """Run a command line on `core` as a user does, and judge what is shown."""
    if line == "triage":  # what each of its processes does
        assert look("core", str(kernel)).path == "core"
        return
    words = [*line.split(), "--dump", "core", "--kernel", str(kernel)]
    if form != "table" and words[0] != "report":
        words += ["--format", form]
    out, error = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        code = main(words)
    assert code in (0, 1, 2)
    if error.getvalue():
        assert (code, out.getvalue(), error.getvalue().count("\n")) == (2, "", 1)
    elif "json" in words:
        assert json.loads(out.getvalue()).get("exit_code", 2) == code


@contextmanager
def working(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for all that is written; nothing may be left in it that was not asked for."""
    (folder / "work").mkdir()
    (folder / "temporary").mkdir()
    monkeypatch.chdir(folder / "work")
    monkeypatch.setenv("TMPDIR", str(folder / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    assert files_below(folder / "work") <= WRITTEN | GIVEN
    assert files_below(folder / "temporary") == set()


@pytest.mark.parametrize("kind", SHARES)
def test_no_memory_brings_more_than_a_plain_error(
    kind: str, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = tmp_path / "work" / "core"
    share, lines = SHARES[kind]

    @tries(share, len(STOPS))
    @given(CHANGES, st.sampled_from(lines), st.sampled_from(["table", "json", "html"]))
    def check(made: list[Change], line: str, form: str) -> None:
        core.write_bytes(damaged(image, made))
        with bounded(None):
            answer(image.kernel, line, form)

    with working(tmp_path, monkeypatch):
        core.write_bytes(image.core)
        answer(image.kernel, "snapshot save before", "table")
        for line in lines:
            answer(image.kernel, line, "json")
        check()
