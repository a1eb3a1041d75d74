"""Tables of more rows than tabulate is asked to print: the same text."""

import random
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tabulate import tabulate

from coronel_gdb.render import as_table
from coronel_gdb.render.long_table import cell_text
from coronel_gdb.report import Columns, Derived, Report, Table

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


# Stretches of equal cells, as aliases make them, and cells that all differ; few and many blanks at the ends.
CELLS = st.one_of(
    st.integers(-(2**63), 2**64),
    st.integers(0, 20),
    st.sampled_from(["", "4 KiB", "ends in a blank ", "  begins with two", "ä"]),
)
STRETCHES = st.lists(
    st.tuples(st.tuples(CELLS, CELLS, CELLS), st.sampled_from([1, 3, 700, 1023, 1024, 1025]), st.booleans()),
    min_size=2,
    max_size=4,
).filter(lambda stretches: sum(count for _, count, _ in stretches) > 1000)


@given(STRETCHES)
def test_a_long_table_of_any_cells_is_the_short_ones_text(
    stretches: list[tuple[tuple[object, ...], int, bool]],
) -> None:
    data = [
        tuple(cell + at if counts and isinstance(cell, int) else cell for cell in cells)
        for cells, count, counts in stretches
        for at in range(count)
    ]
    heads = ("address", "decimal", "last")
    table = Table("t", heads, data, frozenset({"address", "last"}))
    text = as_table.render(Report("c", "s", tables=[table]))
    right = [isinstance(cell, int) for cell in data[0]]
    texts = [[cell_text(cell, at != 1) for at, cell in enumerate(row)] for row in data]
    # What draws tables where tabulate is missing, with the least width that tabulate has.
    widths = ["".ljust(len(head) + 2) for head in heads]
    plain = as_table._plain(heads, [*texts, widths], right)[:-1]
    assert text.split("\n") == ["c: s", "", *(f"  {line}".rstrip() for line in plain)]


def test_a_derived_column_is_made_of_the_others() -> None:
    numbers, steps = list(range(100)), [5] * 100
    column = Derived(add, numbers, Derived(int, steps))
    expected = [number + 5 for number in numbers]
    assert list(column) == column[:] == expected
    assert column[7] == 12
    assert column[10:20] == expected[10:20]
    assert len(column) == 100
    assert Derived(add, steps, steps)[3:6] == [10, 10, 10]
