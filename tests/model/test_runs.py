"""Free pages that are a list by themselves: every invariant with a sound and a damaged list."""

from collections.abc import Sequence
from dataclasses import replace

from model.invariants.base import Violation
from model.invariants.runs import ALL, Known, beginnings, check_runs
from model.records import FreeRun, RunList, RunRules
from model.types import VirtualAddress

START, END = VirtualAddress(0xFFFF_FFFF_8040_0000), VirtualAddress(0xFFFF_FFFF_8050_0000)
RULES = RunRules(4096, 0, 0x01, 0x05)
OUTSIDE = 0x3039


def page(number: int) -> VirtualAddress:
    return VirtualAddress(START + number * 4096)


def chain(numbers: Sequence[int]) -> list[FreeRun]:
    following = [*(page(number) for number in numbers[1:]), VirtualAddress(0)]
    return [FreeRun(page(number), link) for number, link in zip(numbers, following, strict=True)]


PAGES = chain([3, 1, 7, 2])
LIST = RunList(VirtualAddress(0x1000), page(3), START, END, 4, 0)


def broken(
    pages: Sequence[FreeRun], stop: int = 0, strays: Sequence[FreeRun] = (), tables: Sequence[int] = ()
) -> dict[str, Violation]:
    verdict = check_runs(LIST, pages, RULES, stop=stop, strays=strays, tables=tables)
    return {violation.invariant.id: violation for violation in verdict.violations}


def test_a_sound_list_breaks_none() -> None:
    verdict = check_runs(LIST, PAGES, RULES)
    assert (verdict.violations, verdict.unchecked, verdict.unkept) == ([], [], [])
    assert verdict.evaluated > len(ALL)


def test_a_link_that_leads_nowhere_is_what_the_lost_pages_say_it_was() -> None:
    pages = [PAGES[0], replace(PAGES[1], next=VirtualAddress(OUTSIDE))]
    found = broken(pages, OUTSIDE, PAGES[2:])
    assert set(found) == {"runs.link", "runs.lost", "runs.count"}
    link = found["runs.link"]
    assert (link.subject, link.field, link.found, link.expected) == (page(1), "next", OUTSIDE, page(7))


def test_nothing_is_implied_when_the_lost_pages_begin_twice() -> None:
    strays = [*chain([7, 2]), *chain([9, 8])]
    assert sorted(beginnings(strays)) == [page(7), page(9)]
    assert (
        broken([PAGES[0], replace(PAGES[1], next=VirtualAddress(OUTSIDE))], OUTSIDE, strays)[
            "runs.link"
        ].expected
        is None
    )


def test_a_head_that_leads_nowhere() -> None:
    link = broken([], OUTSIDE, PAGES)["runs.link"]
    assert (link.subject, link.field, link.expected) == (LIST.address, "head", page(3))


def test_a_page_freed_twice_is_a_cycle() -> None:
    pages = [PAGES[0], replace(PAGES[1], next=page(3))]
    found = broken(pages, page(3), PAGES[2:])
    assert set(found) == {"runs.cycle", "runs.lost", "runs.count"}
    assert (found["runs.cycle"].subject, found["runs.cycle"].expected) == (page(3), page(7))


def test_a_free_page_that_was_written_to() -> None:
    spoiled = ((VirtualAddress(page(7) + 100), b"text"),)
    found = broken([*PAGES[:2], replace(PAGES[2], spoiled=spoiled), PAGES[3]])
    assert set(found) == {"runs.junk"}
    assert (found["runs.junk"].subject, found["runs.junk"].expected) == (page(7), 0x01010101)


def test_a_free_page_that_is_a_page_table() -> None:
    assert set(broken(PAGES, tables=[page(1), page(200)])) == {"runs.table"}


def test_what_a_profile_does_not_name_is_not_judged() -> None:
    listed = replace(LIST, count=0, unkept=frozenset({"count"}))
    no_junk = check_runs(listed, PAGES, replace(RULES, junk_free=None))
    assert no_junk.violations == []
    assert {(rule.id, role) for rule, role in no_junk.unkept} == {
        ("runs.count", "count"),
        ("runs.junk", "junk_free"),
        ("runs.lost", "junk_free"),
    }
    one_junk = check_runs(LIST, PAGES, replace(RULES, junk_used=None), strays=chain([9]))
    assert [(rule.id, role) for rule, role in one_junk.unkept] == [("runs.lost", "junk_used")]
    assert one_junk.violations == []


def test_a_list_of_which_parts_are_known_is_judged_as_far() -> None:
    """Page 7 cannot be read: what it leads to was found by itself."""
    known = [*PAGES[:2], PAGES[3]]
    verdict = check_runs(LIST, known, RULES, known=Known.PARTS)
    assert verdict.violations == []
    assert [rule.id for rule, _ in verdict.unchecked] == ["runs.count", "runs.lost"]
    spoiled = replace(PAGES[3], next=VirtualAddress(OUTSIDE), spoiled=((VirtualAddress(page(2) + 8), b"x"),))
    verdict = check_runs(LIST, [*known[:2], spoiled], RULES, broken=[spoiled], known=Known.PARTS)
    assert [found.invariant.id for found in verdict.violations] == ["runs.link", "runs.junk"]


def test_where_a_link_led_is_not_told_by_lost_pages_of_which_some_cannot_be_read() -> None:
    pages = [PAGES[0], replace(PAGES[1], next=VirtualAddress(OUTSIDE))]
    verdict = check_runs(LIST, pages, RULES, stop=OUTSIDE, strays=PAGES[3:], known=Known.LIST)
    assert [found.expected for found in verdict.violations if found.invariant.id == "runs.link"] == [None]
