"""Free pages damaged one word at a time, and what leads to them: found each time, and named where it lies."""

import json
import random
from collections.abc import Iterator

import pytest

from lab.stopped import Stopped
from tests.kernels.told import LOADED, at

U64 = (1 << 64) - 1
HEAD, TOP = "*(unsigned long *)&kmem.freelist", "ram_top"


@pytest.fixture(scope="module")
def sound() -> Iterator[Stopped]:
    with at("runs", "seed=8 ops=700", LOADED) as stopped:
        yield stopped


def listed(stopped: Stopped, count: int) -> list[int]:
    """The first pages of the list, as GDB follows it."""
    pages = [stopped.gdb.evaluate("kmem.freelist")]
    while len(pages) < count:
        pages.append(stopped.gdb.evaluate(f"((struct run *){pages[-1]})->next"))
    return pages


@pytest.mark.parametrize("seed", range(6))
def test_a_word_of_a_free_page(sound: Stopped, seed: int) -> None:
    drawn = random.Random(seed)
    page = drawn.choice(listed(sound, 40)[1:])
    offset = 8 * drawn.randrange(1, 512)
    was = sound.gdb.evaluate(f"*(unsigned long *){page + offset}")
    for word in (was ^ 1 << drawn.randrange(64), 0, U64, drawn.getrandbits(64)):
        sound.gdb.console(f"set var *(unsigned long *){page + offset} = {word}")
        (finding,) = sound.report("frames", 1)["findings"]
        assert (finding["code"], finding["subject"]) == ("RUN001", page)
        assert page + offset <= finding["damage"]["start"] < finding["damage"]["end"] <= page + offset + 8
    sound.gdb.console(f"set var *(unsigned long *){page + offset} = {was}")


@pytest.mark.parametrize("seed", range(6))
def test_a_link(sound: Stopped, seed: int) -> None:
    drawn = random.Random(seed)
    page = drawn.choice(listed(sound, 40))
    was = sound.gdb.evaluate(f"*(unsigned long *){page}")
    for word in (was ^ 1 << drawn.randrange(12), U64, drawn.getrandbits(64), 0):
        sound.gdb.console(f"set var *(unsigned long *){page} = {word}")
        (finding,) = sound.report("frames", 1)["findings"]
        if word:
            assert (finding["code"], finding["subject"]) == ("RUN002", page)
            assert finding["fields"][0]["expected"] == was
        else:  # null ends the list in order: only what is lost tells
            assert (finding["code"], finding["subject"]) == ("RUN004", was)
    sound.gdb.console(f"set var *(unsigned long *){page} = {was}")


@pytest.mark.parametrize("variable", [HEAD, TOP])
def test_what_leads_there(sound: Stopped, variable: str) -> None:
    """No value makes it fail otherwise than by a finding, or by what could not be read."""
    was = sound.gdb.evaluate(variable)
    for word in (0, 7, U64, was ^ 1 << 40, was ^ 1 << 20, was + 8):
        sound.gdb.console(f"set var {variable} = {word}")
        code = json.loads(sound.gdb.console("frames --json", 60))["exit_code"]
        no_page_more = variable == TOP and word == was + 8
        assert code == 0 if no_page_more else code in (1, 2)
    sound.gdb.console(f"set var {variable} = {was}")
    assert sound.report("frames", 0)["findings"] == []
