"""Tables full of entries that lead nowhere: some rows of what could not be checked, and soon."""

import pytest

from model.page_entry import ENTRIES_PER_TABLE, ENTRY_BYTES, PRESENT, WRITABLE
from model.types import PhysicalAddress
from tests.coronel_gdb.asked import booted, report

NOWHERE = 1 << 39
TABLES = 20


@pytest.mark.parametrize("line", ["memcheck", "layout", "processes", "frames --ledger", "pagewalk"])
def test_thousands_of_damaged_tables_are_a_hundred_rows(line: str) -> None:
    machine = booted(7, 50)
    *directories, above = [machine.frames.alloc() for _ in range(TABLES + 1)]

    def fill(table: int, entries: list[int]) -> None:
        for index, entry in enumerate(entries):
            machine.physical.write_u64(
                PhysicalAddress(table + ENTRY_BYTES * index), entry | PRESENT | WRITABLE
            )

    for number, directory in enumerate(directories):
        fill(directory, [NOWHERE + (number * ENTRIES_PER_TABLE + i << 12) for i in range(ENTRIES_PER_TABLE)])
    fill(above, [int(directory) for directory in directories])
    fill(machine.cr3 + ENTRY_BYTES * 300, [int(above)])
    rows = report(machine, line)["not_checked"]
    more = [
        row["what"] for row in rows if row["why"] == f"{TABLES * ENTRIES_PER_TABLE - 100:,} are not listed"
    ]
    assert len(more) >= 1
    assert len(rows) < 110 * max(1, len(more))
