"""`coronel report`: one page that Chromium shows, whatever the target's memory says."""

import json
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from coronel_gdb.cli import main
from coronel_gdb.render import as_html
from coronel_gdb.report import Absent, Bars, Chart, Curve, Finding, Map, Report, Table
from lab.paths import KERNEL_ELF, PACKAGES
from lab.stopped import Stopped

PROFILE = PACKAGES / "coronel_gdb" / "profiles" / "coronel.toml"
HOSTILE = "<script>alert(1)</script>\"'&\u202e\n<img src=x onerror=alert(1)>"
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", "--hide-scrollbars"]  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page with their attributes, and whether each that was opened was closed."""

    VOID = ("meta", "path", "rect")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_nothing_that_a_target_says_is_markup() -> None:
    row = (HOSTILE, 0, 100, [(0, 50, HOSTILE)])
    report = Report(
        "report",
        HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        tables=[Table(HOSTILE, (HOSTILE, "n"), [(HOSTILE, 1)])],
        findings=[Finding(HOSTILE, HOSTILE, 1, (HOSTILE,), {}, (HOSTILE,), (HOSTILE,))],
        not_checked=[Absent(HOSTILE, HOSTILE)],
        charts=[
            Map(HOSTILE, HOSTILE, [row], [(3, HOSTILE)]),
            Map(HOSTILE, HOSTILE, [row], to_scale=False),
            Bars(HOSTILE, HOSTILE, HOSTILE, [(HOSTILE, 3, HOSTILE)]),
            Curve(HOSTILE, HOSTILE, HOSTILE, HOSTILE, [(0, 1), (5, 2)]),
        ],
    )
    page = as_html.render(report)
    elements = Elements(page)
    assert elements.open == []
    names = {tag for tag, _ in elements.found}
    assert not names & {"script", "img", "iframe", "object", "embed", "link", "a", "base", "form"}
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href")], tag
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") > 10


def test_empty_charts_are_drawn_too() -> None:
    charts: list[Chart] = [
        Map("m", "", []),
        Bars("b", "", "x", []),
        Curve("c", "", "x", "y", []),
        Curve("d", "", "x", "y", [(1, 0)]),
    ]
    page = as_html.render(Report("report", "nothing", charts=charts))
    assert page.count("<svg ") == 4


def test_rows_that_look_alike_are_one_line_but_where_a_finding_is() -> None:
    rows = [(hex(at), at, at + 16, [(at, at + 16, "free")]) for at in range(0, 320, 16)]
    drawn = as_html.render(Report("report", "", charts=[Map("m", "", rows, [(160, "x")])]))
    assert "8 rows more, all free" in drawn
    assert "7 rows more, all free" in drawn
    assert ">0xa0</text>" in drawn
    assert "rows more" not in as_html.render(Report("report", "", charts=[Map("m", "", rows[:3])]))


@pytest.fixture(scope="module")
def written(corrupted: Stopped, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("report")
    dump = folder / "vmcore"
    assert corrupted.machine.monitor(f'dump-guest-memory "{dump}"') == ""
    words = ["report", str(dump), "--kernel", str(KERNEL_ELF), "-o", str(folder / "report.html")]
    assert main(words) == 1
    yield folder / "report.html"
    dump.unlink()


def test_the_page_tells_what_the_commands_tell(written: Path) -> None:
    page = written.read_text()
    assert not re.search(r"https?://|<script|url\(", page)
    for part in ("HEAP001", "block header overwritten", "linear overflow out of block", "Kernel heap",
                 "Physical memory by owner", "Address spaces", "Heap in use", "Who holds the heap",
                 "references to blocks: the heap is damaged", "scenarios/"):  # fmt: skip
        assert part in page, part
    assert page.count("<svg ") == 7


def test_chromium_shows_it(written: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    command = [*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1120,2000",
               f"--screenshot={picture}", written.as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    width, height, rows = pixels(picture.read_bytes())
    assert (width, height) == (1120, 2000)
    colours = {bytes(row[at : at + 3]) for row in rows for at in range(0, len(row), 3)}
    assert {b"\xb3\x26\x1e", b"\x00\x72\xb2", b"\xff\xff\xff"} <= colours, "verdict, used blocks, paper"


def test_printed_it_begins_with_the_finding_and_leaves_no_page_empty(written: Path, tmp_path: Path) -> None:
    paper = tmp_path / "page.pdf"
    command = [*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer",
               f"--print-to-pdf={paper}", written.as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    shown = subprocess.run(["pdftotext", "-layout", paper, "-"], check=True, capture_output=True, text=True)
    pages = shown.stdout.rstrip("\f\n").split("\f")
    assert "HEAP001" in pages[0]
    assert "watch -l" in pages[0]
    assert all(page.count("\n") > 10 for page in pages[:-1])


def pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and the RGB rows of a PNG of 8 bits a channel, without alpha or with."""
    width, height, _, kind = struct.unpack_from(">IIBB", png, 16)
    channels = {2: 3, 6: 4}[kind]
    at, data = 8, b""
    while at < len(png):
        size, name = struct.unpack_from(">I4s", png, at)
        data += png[at + 8 : at + 8 + size] if name == b"IDAT" else b""
        at += size + 12
    raw, stride = zlib.decompress(data), width * channels
    rows, before = [], bytearray(stride)
    for number in range(height):
        method = raw[number * (stride + 1)]
        row = bytearray(raw[number * (stride + 1) + 1 : (number + 1) * (stride + 1)])
        for index in range(stride):
            left = row[index - channels] if index >= channels else 0
            corner = before[index - channels] if index >= channels else 0
            guess = (0, left, before[index], (left + before[index]) // 2, 0)[method]
            if method == 4:
                estimate = left + before[index] - corner
                guess = min((left, before[index], corner), key=lambda value: abs(estimate - value))
            row[index] = (row[index] + guess) & 255
        before = row
        rows.append(bytes(row) if channels == 3 else bytes(b for i, b in enumerate(row) if i % 4 != 3))
    return width, height, rows


def test_it_is_written_over_a_page_only(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    dump = str(written.parent / "vmcore")
    assert main(["report", dump, "--kernel", str(KERNEL_ELF), "-o", str(tmp_path / "mine")]) == 2
    assert "exists and is no HTML page: it is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "mine"
    assert main(["frames", "--dump", dump, "--kernel", str(KERNEL_ELF), "--output", "x"]) == 2
    assert "--output is for pages" in capsys.readouterr().err


def test_a_dump_by_its_place_with_options_and_in_other_formats(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kernel = ["--kernel", str(KERNEL_ELF)]
    assert main(["report", str(dump), *kernel, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["command"] == "report"
    assert main(["report", str(dump), *kernel, "--format", "table"]) == 1
    assert "HEAP001 block header overwritten" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main(["report", "--cpu", "0", str(dump), *kernel, "--profile", str(PROFILE)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert main(["report", str(dump), "--dump", "another", *kernel]) == 2
    assert "one dump, not both" in capsys.readouterr().err
