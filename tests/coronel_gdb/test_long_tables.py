"""Tables of more rows than tabulate is asked to print: the same text."""

import random

import pytest
from tabulate import tabulate

from coronel_gdb.render import as_table
from coronel_gdb.report import Columns, Report, Table

HEADS = ("address", "few", "name", "number", "end")
ROWS = 1500


def rows(last: list[object]) -> list[tuple[object, ...]]:
    chance = random.Random(1)
    return [
        (
            chance.getrandbits(chance.choice((8, 40, 64))),
            chance.choice((0, 0x1000, 1 << 63)),
            chance.choice(("4 KiB", "2 MiB", "a long one")),
            chance.randrange(-3, 10**7),
            chance.choice(last),
        )
        for _ in range(ROWS)
    ]


@pytest.mark.parametrize(
    "last",
    [["r-- kernel", "rw- user"], ["", "a", "bcd"], [1, 22222], [*map(str, range(3000))], [*range(10**6)]],
    ids=["words", "empty", "numbers", "many words", "many numbers"],
)
def test_a_long_table_looks_as_tabulate_prints_it(last: list[object]) -> None:
    data = rows(last)
    table = Table("t", HEADS, data, frozenset({"address", "few"}))
    shown = as_table.render(Report("c", "s", tables=[table])).split("\n")
    texts = [
        (f"{a:#x}", f"{few:#x}", name, f"{number:,}", f"{end:,}" if isinstance(end, int) else end)
        for a, few, name, number, end in data
    ]
    align = ["right", "right", "left", "right", "right" if isinstance(data[0][-1], int) else "left"]
    text = tabulate(texts, HEADS, "simple", disable_numparse=True, colalign=align)
    assert shown == ["c: s", "", *(f"  {line}".rstrip() for line in text.splitlines())]


def test_rows_kept_by_columns_are_the_same_rows() -> None:
    data = rows(["x"])
    columns = Columns(*map(list, zip(*data, strict=True)))
    assert list(columns) == data
    assert columns[3] == data[3]
    assert list(columns[5:9]) == data[5:9]
    assert len(columns) == len(data)
    by_columns, by_rows = (
        as_table.render(Report("c", "s", tables=[Table("t", HEADS, kept)])) for kept in (columns, data)
    )
    assert by_columns == by_rows
