"""Invariants of free pages that are a list by themselves: each holds the link to the next, and junk.

Kernels in the manner of xv6 keep them so (docs/profiles.md, scheme `run_list`).
"""

from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Final

from model.invariants.base import Invariant, Verdict, Violation
from model.records import FreeRun, RunList, RunRules
from model.types import VirtualAddress, is_aligned

LINK: Final = Invariant(
    "runs.link",
    "a link is null, or a whole page of [start, end)",
    "kfree takes pages of RAM behind the kernel only",
)
CYCLE: Final = Invariant("runs.cycle", "no page is in the list twice", "a page is given out once")
JUNK: Final = Invariant(
    "runs.junk",
    "every byte of a free page but its link is the junk of free pages",
    "kfree fills the page, and nobody has it until kalloc fills it anew",
)
COUNT: Final = Invariant("runs.count", "the counter = pages in the list", "counted with each change")
LOST: Final = Invariant(
    "runs.lost",
    "a page with a link and junk is in the list",
    "kalloc fills what it gives out with other junk",
)
TABLE: Final = Invariant(
    "runs.table", "a free page is no page table", "whoever gets it overwrites the entries"
)

ALL: Final = (LINK, CYCLE, JUNK, COUNT, LOST, TABLE)
PER_PAGE: Final = (LINK, CYCLE, JUNK, TABLE)


class Known(Enum):
    """What was read of the pages that can be free: all; the whole list, not all others; parts of the list."""

    ALL = "all"
    LIST = "list"
    PARTS = "parts"


def is_place(address: int, runs: RunList, rules: RunRules) -> bool:
    """Whether a page that may be free can lie there."""
    inside = runs.start <= address and address + rules.page_bytes <= runs.end
    return inside and is_aligned(address, rules.page_bytes)


def check_runs(
    runs: RunList,
    pages: Sequence[FreeRun],
    rules: RunRules,
    *,
    stop: int = 0,
    strays: Collection[FreeRun] = (),
    tables: Collection[int] = (),
    broken: Collection[FreeRun] = (),
    known: Known = Known.ALL,
) -> Verdict:
    """Judge the list: `pages` in its order, each once; `stop` is the link at which following them ended.

    `strays` look free and are not in the list; `tables` are the addresses at which page tables lie. `broken`
    are pages behind one that cannot be read, and their link leads to no page.
    """
    verdict = Verdict(evaluated=len(PER_PAGE) * len(pages) + 1)
    if stop:
        # What is lost says where a link led only if all of it is known.
        verdict.violations.append(_broken_end(runs, pages, stop, strays if known is Known.ALL else ()))
    verdict.violations += [Violation(LINK, page.address, "next", page.next, None, "") for page in broken]
    for page in pages:
        verdict.violations += [
            Violation(
                JUNK,
                page.address,
                "junk",
                int.from_bytes(data, "little"),
                int.from_bytes(bytes([rules.junk_free or 0]) * len(data), "little"),
                f"{len(data)} bytes at {start:#x}",
            )
            for start, data in page.spoiled
        ]
        if page.address in tables:
            because = "the page tables of the CPU lead there"
            verdict.violations.append(Violation(TABLE, page.address, "page", page.address, None, because))
    if known is Known.PARTS:
        unkept = {COUNT} if "count" in runs.unkept else set()
        verdict.unchecked += [
            (rule, "not all pages are known") for rule in (COUNT, LOST) if rule not in unkept
        ]
    else:
        _check_count(runs, len(pages), verdict)
    if rules.junk_free is None:
        verdict.unkept += [(JUNK, "junk_free"), (LOST, "junk_free")]
    elif rules.junk_used is None:  # a page that was just given out looks free
        verdict.unkept.append((LOST, "junk_used"))
    elif known is not Known.PARTS:
        verdict.evaluated += 1
        _check_lost(pages, strays, verdict)
    return verdict


def beginnings(strays: Iterable[FreeRun]) -> list[VirtualAddress]:
    """Those pages outside the list to which no other one of them leads: there its lost parts begin."""
    strays = list(strays)
    led_to = {stray.next for stray in strays}
    return [stray.address for stray in strays if stray.address not in led_to]


def _broken_end(runs: RunList, pages: Sequence[FreeRun], stop: int, strays: Collection[FreeRun]) -> Violation:
    """The link that cannot be followed, or that leads back; what is lost says what it should be."""
    positions = {page.address: index for index, page in enumerate(pages)}
    lost = beginnings(strays)
    expected = lost[0] if len(lost) == 1 else None
    what = f"{len(strays):,} lost pages begin there" if expected else ""
    if stop in positions:
        because = (
            f"its link should be {expected:#x}: {what}" if expected else "nothing says where it led before"
        )
        return Violation(CYCLE, stop, "next", pages[positions[VirtualAddress(stop)]].next, expected, because)
    if not pages:
        return Violation(LINK, runs.address, "head", stop, expected, what)
    return Violation(LINK, pages[-1].address, "next", stop, expected, what)


def _check_count(runs: RunList, count: int, verdict: Verdict) -> None:
    if "count" in runs.unkept:
        verdict.unkept.append((COUNT, "count"))
        return
    verdict.evaluated += 1
    if runs.count != count:
        because = f"the list has {count} pages"
        verdict.violations.append(Violation(COUNT, runs.address, "count", runs.count, count, because))


def _check_lost(pages: Sequence[FreeRun], strays: Collection[FreeRun], verdict: Verdict) -> None:
    if not strays:
        return
    first = min(beginnings(strays), default=min(stray.address for stray in strays))
    because = f"{len(strays)} such pages, {len(pages)} in the list"
    verdict.violations.append(Violation(LOST, first, "page", first, None, because))
