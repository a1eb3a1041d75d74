"""A kernel whose heap has boundary tags: sound, and with each of its bugs."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.stopped import Stopped
from tests.kernels.told import LOADED, STRUCK, Truth, at, truth

LOAD = "seed=5 ops=1500"
INUSE, SIZE_MASK = 2, ~15
Finding = dict[str, Any]


@pytest.fixture(scope="module")
def sound() -> Iterator[Stopped]:
    with at("tags", LOAD, LOADED) as stopped:
        yield stopped


def test_a_sound_heap(sound: Stopped) -> None:
    report = sound.report("heapcheck --blocks", 0)
    assert (report["findings"], report["not_checked"]) == ([], [])
    # GDB follows the sizes itself.
    address, end = (sound.gdb.evaluate(text) for text in ("g_arena.start", "g_arena.start + g_arena.bytes"))
    chunks = []
    while address < end:
        size = sound.gdb.evaluate(f"((struct chunk *){address})->size")
        chunks.append((address, (size & SIZE_MASK) - 16, "used" if size & INUSE else "free"))
        address += size & SIZE_MASK
    rows = report["tables"][0]["rows"]
    assert [(row["address"], row["size"], row["state"]) for row in rows] == chunks
    assert report["facts"]["coverage"].startswith("100.0 % proved")


def test_memcheck_says_what_it_cannot_look_at(sound: Stopped) -> None:
    report = sound.report("memcheck", 2)
    assert report["findings"] == []
    assert [absent["what"] for absent in report["not_checked"]] == ["references"]
    verdicts = {row["check"]: row["verdict"] for row in report["tables"][0]["rows"]}
    assert verdicts["kernel heap"] == "sound"
    assert {verdicts[part] for part in ("regions", "frames", "processes")} == {"none"}


def test_views_of_the_heap(sound: Stopped) -> None:
    used = next(index for index in range(256) if sound.gdb.evaluate(f"held[{index}]"))
    data = sound.gdb.evaluate(f"(unsigned long)held[{used}]")
    report = sound.report(f"heapcheck --block {data:#x} --stats --map", 0)
    assert f"{data:#x} is data +0 of a used block" in report["facts"]["block"]
    assert len(report["tables"]) == 4


def test_whatis_knows_chunks(sound: Stopped) -> None:
    def words(expression: str) -> str:
        return str(sound.report(f"coronel whatis {expression}", 0)["summary"])

    used = next(index for index in range(256) if sound.gdb.evaluate(f"held[{index}]"))
    size = sound.gdb.evaluate(f"((unsigned long *)held[{used}])[-1]") & SIZE_MASK
    assert f"data of a used chunk of {size} bytes +0x19" in words(f"(unsigned long)held[{used}]+9")
    assert "size of a top chunk" in words("&g_arena.top->size")
    first = next(index for index in range(24) if sound.gdb.evaluate(f"g_arena.bins[{index}].fd->size") & 1)
    assert "bk of a free chunk" in words(f"&g_arena.bins[{first}].fd->bk")
    assert "object of the kernel heap (used_chunks)" in words("&g_arena.used_chunks")


def check_header(told: Truth, finding: Finding) -> None:
    """Bytes over the edge of the chunk in front."""
    damage = finding["damage"]
    assert (damage["start"], damage["end"]) == (told.address, min(told.end, damage["end"]))
    assert told.after.startswith(bytes.fromhex(damage["bytes"]))
    suspect = finding["suspect"]
    assert (suspect["kind"], suspect["direction"]) == ("linear overflow", "upwards")
    assert (suspect["chunk"], suspect["data"]) == (told.culprit, told.culprit + 16)
    (size,) = (field for field in finding["fields"] if field["field"] == "size")
    kept = bytes.fromhex(size["expected_bytes"])[: len(told.before)]
    assert told.before.startswith(kept)
    assert finding["chunk"] == told.victim


def check_links(told: Truth, finding: Finding) -> None:
    assert finding["chunk"] == finding["suspect"]["chunk"] == told.victim
    assert [field["field"] for field in finding["fields"]] == ["fd", "bk"]
    expected = b"".join(bytes.fromhex(field["expected_bytes"]) for field in finding["fields"])
    assert expected == told.before
    assert (finding["damage"]["start"], finding["damage"]["end"]) == told.changed


def check_smashed_links(told: Truth, finding: Finding) -> None:
    check_links(told, finding)
    assert finding["suspect"]["kind"] == "use after free"


def check_double_free(told: Truth, finding: Finding) -> None:
    check_links(told, finding)
    assert finding["suspect"]["kind"] == "double free"
    assert [one["code"] for one in finding["derived"]] == ["CHUNK010"]


def check_second_owner(told: Truth, finding: Finding) -> None:
    assert finding["chunk"] == finding["suspect"]["chunk"] == told.victim
    assert finding["suspect"]["kind"] == "double free"


def check_stale_tail(told: Truth, finding: Finding) -> None:
    (field,) = finding["fields"]
    assert (field["field"], field["address"]) == ("prev_size", told.address)
    assert bytes.fromhex(field["expected_bytes"]) == told.before
    assert finding["suspect"]["kind"] == "use after free"
    assert finding["suspect"]["chunk"] == told.victim


def check_not_in_a_bin(told: Truth, finding: Finding) -> None:
    assert finding["chunk"] == told.victim


BUGS = {
    "off_by_one": ("CHUNK002", check_header),
    "overflow": ("CHUNK002", check_header),
    "free_overflow": ("CHUNK001", check_header),
    "smashed_links": ("CHUNK005", check_smashed_links),
    "double_free": ("CHUNK006", check_double_free),
    "second_owner": ("CHUNK009", check_second_owner),
    "stale_tail": ("CHUNK004", check_stale_tail),
    "not_in_a_bin": ("CHUNK008", check_not_in_a_bin),
}
COUNTED_TWICE = ("double_free", "second_owner")
"""Bugs after which the kernel's own counters are wrong as well: no header can put them right."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_one_finding_and_the_very_one(bug: str) -> None:
    code, check = BUGS[bug]
    with at("tags", f"bug={bug} {LOAD}", STRUCK) as stopped:
        (finding,) = stopped.report("heapcheck", 1)["findings"]
        assert finding["code"] == code
        check(truth(stopped.gdb), finding)
        assert [one["code"] for one in stopped.report("memcheck", 1)["findings"]] == [code]
        for write in finding["repair"]:
            for command in write["commands"]:
                stopped.gdb.console(command)
        if finding["repair"]:
            left = stopped.report("heapcheck", 1 if bug in COUNTED_TWICE else 0)["findings"]
            assert {one["code"] for one in left} == ({"CHUNK010"} if bug in COUNTED_TWICE else set())


@pytest.mark.parametrize("bug", ["off_by_one", "free_overflow", "smashed_links"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_other_loads_as_well(bug: str, seed: int) -> None:
    code, check = BUGS[bug]
    with at("tags", f"bug={bug} seed={seed} ops={900 * seed}", STRUCK) as stopped:
        (finding,) = stopped.report("heapcheck", 1)["findings"]
        assert finding["code"] == code
        check(truth(stopped.gdb), finding)


def test_a_held_lock_is_busy_and_not_corrupt() -> None:
    with at("tags", LOAD, LOADED) as stopped:
        stopped.gdb.console("set var g_arena.lock = 1")
        report = stopped.report("heapcheck", 2)
        assert "busy" in report["summary"]
        assert report["findings"] == []


def test_watch_heap_stops_at_the_next_call_after_the_bug() -> None:
    with at("tags", f"bug=second_owner {LOAD}", LOADED) as stopped:
        assert "heap_free, heap_malloc" in stopped.gdb.console("coronel watch-heap --every 1")
        stopped.gdb.resume()
        stop = stopped.gdb.wait_stopped(60)
        # Freed twice in a row: the damage is there when the next owner asks.
        assert stop["frame"]["func"] == "heap_malloc"
        told = stopped.gdb.console("info breakpoints")  # what was said at the stop comes before it
        assert "heap_malloc from second_owner" in told
        (finding,) = stopped.report("heapcheck", 1)["findings"]
        assert finding["code"] == "CHUNK006"
        assert finding["suspect"]["kind"] == "double free"
