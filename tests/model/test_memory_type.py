"""PAT indices and types: rule R23."""

import pytest

from model.cpu_state import CpuState
from model.memory_type import (
    PAT_RESET,
    MemoryType,
    memory_type,
    pat_index,
    root_pat_index,
    table_pat_index,
)
from model.page_entry import Level, PagingMode

PWT, PCD = 1 << 3, 1 << 4
STATE = CpuState(PagingMode())


@pytest.mark.parametrize(
    ("level", "pat"), [(Level.PTE, 1 << 7), (Level.PDE, 1 << 12), (Level.PDPTE, 1 << 12)]
)
def test_the_index_of_a_page(level: Level, pat: int) -> None:
    other = (1 << 7 | 1 << 12) ^ pat
    found = [pat_index(a | b | c | other, level) for a in (0, pat) for b in (0, PCD) for c in (0, PWT)]
    assert found == list(range(8))
    assert pat_index(~(pat | PCD | PWT), level) == 0


def test_the_index_of_a_table() -> None:
    assert [table_pat_index(b | c | 1 << 7 | 1 << 12) for b in (0, PCD) for c in (0, PWT)] == [0, 1, 2, 3]
    assert [root_pat_index(0x1FE7 | b | c, STATE) for b in (0, PCD) for c in (0, PWT)] == [0, 1, 2, 3]
    assert root_pat_index(0x1FFF, CpuState(PagingMode(), pcide=True)) == 0


def test_the_types_after_reset() -> None:
    found = [memory_type(index) for index in range(8)]
    assert [kind.label for kind in found if kind is not None] == ["WB", "WT", "UC-", "UC"] * 2
    assert memory_type(3, PAT_RESET) is MemoryType.UC


@pytest.mark.parametrize(
    ("encoding", "label"),
    [(0, "UC"), (1, "WC"), (2, None), (3, None), (4, "WT"), (5, "WP"), (6, "WB"), (7, "UC-")],
)
def test_each_encoding(encoding: int, label: str | None) -> None:
    for index in range(8):
        # The high five bits of a byte, and the other bytes, do not count.
        found = memory_type(index, (encoding | 0xF8) << (8 * index))
        assert (found.label if found is not None else None) == label


@pytest.mark.parametrize("index", [-1, 8])
def test_there_are_eight_types(index: int) -> None:
    with pytest.raises(ValueError, match="0 to 7"):
        memory_type(index)
