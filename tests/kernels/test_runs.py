"""A kernel whose free pages are a list by themselves: sound, and with each of its bugs."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.stopped import Stopped
from tests.kernels.told import LOADED, STRUCK, Truth, at, truth

LOAD = "seed=5 ops=1500"
TABLES = 5
"""Page tables that the kernel makes: one of each upper level, and two for the first 4 MiB."""
Finding = dict[str, Any]


@pytest.fixture(scope="module")
def sound() -> Iterator[Stopped]:
    with at("runs", LOAD, LOADED) as stopped:
        yield stopped


def test_a_sound_list(sound: Stopped) -> None:
    report = sound.report("frames", 0)
    assert (report["findings"], report["not_checked"]) == ([], [])
    free = int(report["facts"]["free"].split()[0].replace(",", ""))
    in_use = int(report["facts"]["in use"].split()[0].replace(",", ""))
    held = sum(sound.gdb.evaluate(f"held[{index}] != 0") for index in range(256))
    assert in_use == held + TABLES
    pages = sound.gdb.evaluate("(ram_top - (((unsigned long)&_end + 4095) & ~4095UL)) / 4096")
    assert free + in_use == pages
    assert f"{sound.gdb.evaluate('kmem.freelist'):#x}" in report["facts"]["next"]


def test_memcheck_asks_for_nothing_that_it_lacks(sound: Stopped) -> None:
    report = sound.report("memcheck", 0)
    assert report["not_checked"] == []
    verdicts = {row["check"]: row["verdict"] for row in report["tables"][0]["rows"]}
    assert verdicts["frames"] == "sound"
    assert {verdicts[part] for part in ("regions", "kernel heap", "processes")} == {"none"}


def test_whatis_knows_pages(sound: Stopped) -> None:
    def words(expression: str) -> str:
        return str(sound.report(f"coronel whatis {expression}", 0)["summary"])

    assert "free page, number 0 of the list" in words("kmem.freelist")
    assert "free page, number 1 of the list" in words("kmem.freelist->next")
    used = next(index for index in range(256) if sound.gdb.evaluate(f"held[{index}]"))
    assert "page in use" in words(f"(unsigned long)held[{used}]+9")
    table = sound.gdb.evaluate("$cr3") + 0xFFFF_FFFF_8000_0000
    assert "page of page tables" in words(f"{table:#x}")
    assert "lock.locked" in words("&kmem")


def test_owner_of_a_frame(sound: Stopped) -> None:
    frame = sound.gdb.evaluate("(unsigned long)kmem.freelist - 0xffffffff80000000")
    assert "number 0 of the list" in sound.report(f"frames --owner {frame:#x}", 0)["facts"]["owner"]
    assert "page of page tables" in sound.report("frames --owner $cr3", 0)["facts"]["owner"]
    (absent,) = sound.report("frames --ledger", 2)["not_checked"]
    assert absent["what"] == "owners of all frames"


def check_double_free(told: Truth, finding: Finding) -> None:
    assert finding["subject"] == finding["suspect"]["page"] == told.victim
    assert finding["suspect"]["kind"] == "double free"
    assert finding["expected"] == int.from_bytes(told.before, "little")
    assert finding["pages"] == 2


def check_written(told: Truth, finding: Finding) -> None:
    damage = finding["damage"]
    assert (damage["start"], damage["end"]) == told.changed
    assert bytes.fromhex(damage["bytes"]) == told.after[: damage["end"] - damage["start"]]
    assert finding["page"] == told.victim
    assert finding["suspect"]["page"] == told.culprit


def check_use_after_free(told: Truth, finding: Finding) -> None:
    check_written(told, finding)
    assert finding["suspect"]["kind"] == "use after free"
    assert finding["damage"]["shape"] == 'text "disk: interrupt came late"'


def check_stale_counter(told: Truth, finding: Finding) -> None:
    check_written(told, finding)
    assert finding["suspect"]["kind"] == "use after free"
    (field,) = finding["fields"]
    assert bytes.fromhex(field["expected_bytes"]) == told.before


def check_overflow(told: Truth, finding: Finding) -> None:
    check_written(told, finding)
    assert (finding["suspect"]["kind"], finding["suspect"]["direction"]) == ("linear overflow", "upwards")
    assert finding["damage"]["run"] == [
        told.culprit,
        told.end,
    ]  # from the first byte of the page that was too small
    expected = b"".join(bytes.fromhex(field["expected_bytes"]) for field in finding["fields"])
    assert expected == told.before


def check_outside_ram(told: Truth, finding: Finding) -> None:
    assert (finding["found"], finding["expected"]) == (told.victim, told.culprit)
    assert finding["suspect"] == {"kind": "wild free", "page": told.victim, "direction": None}


BUGS = {
    "double_free": ("RUN003", check_double_free),
    "use_after_free": ("RUN001", check_use_after_free),
    "stale_counter": ("RUN002", check_stale_counter),
    "overflow": ("RUN001", check_overflow),
    "outside_ram": ("RUN002", check_outside_ram),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_one_finding_and_the_very_one(bug: str) -> None:
    code, check = BUGS[bug]
    with at("runs", f"bug={bug} {LOAD}", STRUCK) as stopped:
        (finding,) = stopped.report("frames", 1)["findings"]
        assert finding["code"] == code
        check(truth(stopped.gdb), finding)
        assert [one["code"] for one in stopped.report("memcheck", 1)["findings"]] == [code]
        if finding["repair"]:
            for write in finding["repair"]:
                for command in write["commands"]:
                    stopped.gdb.console(command)
            assert stopped.report("frames", 0)["findings"] == []


def test_a_held_lock_is_busy_and_not_corrupt(sound: Stopped) -> None:
    with at("runs", LOAD, LOADED) as stopped:
        stopped.gdb.console("set var kmem.lock.locked = 1")
        report = stopped.report("frames", 2)
        assert "busy" in report["summary"]
        assert report["findings"] == []
