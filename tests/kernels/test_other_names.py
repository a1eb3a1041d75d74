"""Somebody else's kernel of a known shape: other names, bits and bytes, and only a TOML file for it."""

import json
import subprocess
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.cli import main
from lab.paths import PACKAGES, ROOT
from lab.stopped import Stopped, at_checkpoint
from tests.kernels.told import LOADED, MEMORY, STRUCK, at, truth

RUNS_NAMES = {"kmem": "vacancies", "freelist": "top", "run": "hole", "next": "below", "ram_top": "limit"}
RUNS_BYTES = {"JUNK_FREE": "0xDD", "JUNK_NEW": "0xAA"}
RUNS_PROFILE = """
name = "mine"
match = ["vacancies"]
lacks = ["heap", "regions", "processes"]

[frames]
scheme = "run_list"
object = "vacancies"
type = "decltype(vacancies)"
fields = { free_list = "top", locked = "lock.locked" }
run = "hole"
run_fields = { next = "below" }
start = "_end"
end = "limit"
junk_free = 0xDD
junk_used = 0xAA
lacks = ["count"]
"""
TAGS_NAMES = {
    "g_arena": "pool",
    "arena": "hoard",
    "chunk": "piece",
    "prev_size": "size_before",
    "fd": "onward",
    "bk": "backward",
    "top": "wilderness",
    "bins": "shelves",
}
TAGS_BITS = {"PREV_INUSE": "8UL", "INUSE": "1UL"}
TAGS_PROFILE = """
name = "mine"
match = ["pool"]
lacks = ["frames", "regions", "processes"]

[heap]
scheme = "boundary_tags"
object = "pool"
type = "hoard"
chunk = "piece"
flag_bits = 15
prev_in_use = 8
in_use = 1
alignment_bytes = 16
minimum_bytes = 32
lacks = ["used_bytes", "used_chunks"]

[heap.fields]
start = "start"
bytes = "bytes"
top = "wilderness"
bins = "shelves"
locked = "lock"

[heap.chunk_fields]
prev_size = "size_before"
size = "size"
fd = "onward"
bk = "backward"
"""
WITHOUT_ITS_OWN_FLAG = TAGS_PROFILE.replace("\nin_use = 1", "\nother_flags = 1")
"""The same kernel as one whose chunks do not say themselves that they are used, as in glibc."""


@dataclass(frozen=True)
class Foreign:
    """A kernel with other names, and the profile that its owner wrote."""

    folder: Path
    name: str
    command: str

    @property
    def elf(self) -> Path:
        return self.folder / f"{self.name}.elf"

    @property
    def profile(self) -> Path:
        return self.folder / "mine.toml"

    def at(self, append: str, number: int) -> Any:
        boot = self.elf.with_suffix(".boot.elf")
        return at_checkpoint(number, append, elf=self.elf, boot_elf=boot, memory=MEMORY)

    def report(self, stopped: Stopped, exit_code: int) -> dict[str, Any]:
        return stopped.report(f"{self.command} --profile {self.profile}", exit_code)


def built(folder: Path, name: str, defines: dict[str, str], profile: str) -> Foreign:
    words = " ".join(f"-D{old}={new}" for old, new in defines.items())
    make = ["make", "-s", "-C", str(ROOT / "qemu" / "kernels" / name), f"BUILD={folder}", f"DEFINES={words}"]
    subprocess.run(make, check=True)
    foreign = Foreign(folder, name, "frames" if name == "runs" else "heapcheck")
    foreign.profile.write_text(profile)
    return foreign


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    return built(tmp_path_factory.mktemp("runs"), "runs", RUNS_NAMES | RUNS_BYTES, RUNS_PROFILE)


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    return built(tmp_path_factory.mktemp("tags"), "tags", TAGS_NAMES | TAGS_BITS, TAGS_PROFILE)


def checked(foreign: Foreign, profile: str) -> tuple[int, str]:
    foreign.profile.write_text(profile)
    shown = StringIO()
    with redirect_stdout(shown):
        code = main(["profile", "check", str(foreign.profile), "--kernel", str(foreign.elf)])
    return code, shown.getvalue()


def test_runs_by_other_names(runs: Foreign) -> None:
    with runs.at("seed=4 ops=900", LOADED) as stopped:
        assert "no profile fits" in str(json.loads(stopped.gdb.console("frames --json"))["error"])
        report = runs.report(stopped, 0)
        assert report["findings"] == report["not_checked"] == []
    for bug, code in (("use_after_free", "RUN001"), ("double_free", "RUN003")):
        with runs.at(f"bug={bug} seed=4 ops=900", STRUCK) as stopped:
            (finding,) = runs.report(stopped, 1)["findings"]
            assert (finding["code"], finding["subject"]) == (code, truth(stopped.gdb).victim)


def test_tags_by_other_names(tags: Foreign) -> None:
    with tags.at("seed=4 ops=900", LOADED) as stopped:
        report = tags.report(stopped, 0)
        assert report["findings"] == report["not_checked"] == []
    for bug, code in (("free_overflow", "CHUNK001"), ("smashed_links", "CHUNK005")):
        with tags.at(f"bug={bug} seed=4 ops=900", STRUCK) as stopped:
            told = truth(stopped.gdb)
            (finding,) = tags.report(stopped, 1)["findings"]
            assert (finding["code"], finding["subject"]) == (code, told.victim)
            assert finding["suspect"]["chunk"] == told.culprit


def test_chunks_without_a_flag_of_their_own(tags: Foreign) -> None:
    tags.profile.write_text(WITHOUT_ITS_OWN_FLAG)
    try:
        with tags.at("seed=4 ops=900", LOADED) as stopped:
            assert tags.report(stopped, 0)["findings"] == []
        for bug, code in (
            ("off_by_one", "CHUNK002"),
            ("overflow", "CHUNK002"),
            ("smashed_links", "CHUNK005"),
            ("double_free", "CHUNK006"),
            ("stale_tail", "CHUNK004"),
            ("not_in_a_bin", "CHUNK008"),
        ):
            with tags.at(f"bug={bug} seed=4 ops=900", STRUCK) as stopped:
                (finding,) = tags.report(stopped, 1)["findings"]
                told = truth(stopped.gdb)
                assert finding["code"] == code
                assert told.victim in (finding["subject"], finding["suspect"]["chunk"]), bug
    finally:
        tags.profile.write_text(TAGS_PROFILE)


def test_a_number_instead_of_a_variable(runs: Foreign) -> None:
    """As in xv6, where the end of RAM is a macro."""
    runs.profile.write_text(RUNS_PROFILE.replace('end = "limit"', "end_address = 0xffffffff81fe0000"))
    try:
        with runs.at("seed=4 ops=900", LOADED) as stopped:
            assert stopped.gdb.evaluate("limit") == 0xFFFF_FFFF_81FE_0000
            assert runs.report(stopped, 0)["findings"] == []
    finally:
        runs.profile.write_text(RUNS_PROFILE)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('top = "wilderness"', 'top = "wildernes"', "hoard has no field wildernes"),
        ('size = "size"\n', "", "chunk_fields.size"),
        ("prev_in_use = 8", "", "prev_in_use"),
        ("flag_bits", "flagbits", "there is no such key"),
    ],
)
def test_a_slip_is_named(tags: Foreign, old: str, new: str, told: str) -> None:
    try:
        code, text = checked(tags, TAGS_PROFILE.replace(old, new))
        assert code == 1
        assert told in text
    finally:
        tags.profile.write_text(TAGS_PROFILE)
    assert checked(tags, TAGS_PROFILE)[0] == 0


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("runs", "junk_free = 0x01", "junk_free = 0x101", "no byte"),
        ("runs", "junk_used = 0x05", "page_bytes = 1000", "no size of a page"),
        ("tags", "flag_bits = 15", "flag_bits = 2", "flag_bits"),
        ("tags", "minimum_bytes = 32", "minimum_bytes = 24", "minimum_bytes"),
        ("tags", 'bytes = "bytes"\n', "", "heap.fields.end nor heap.fields.bytes"),
    ],
)
def test_numbers_that_cannot_be_are_one_line(
    tmp_path: Path, name: str, old: str, new: str, told: str
) -> None:
    text = (PACKAGES / "coronel_gdb" / "profiles" / f"{name}.toml").read_text()
    assert old in text
    profile = tmp_path / "wrong.toml"
    profile.write_text(text.replace(old, new))
    command = "frames" if name == "runs" else "heapcheck"
    with at(name, "ops=10", LOADED) as stopped:
        report = json.loads(stopped.gdb.console(f"{command} --profile {profile} --json"))
    assert told in report["error"]
    assert report["exit_code"] == 2
