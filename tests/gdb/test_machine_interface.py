"""`-coronel-…` for front ends: what `--json` says, as MI's own results."""

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.paths import GDB_SCRIPT
from lab.stopped import Stopped


def test_a_report_is_a_result(healthy: Stopped, corrupted: Stopped) -> None:
    for stopped, code in ((healthy, 0), (corrupted, 1)):
        report = stopped.report("heapcheck", code)
        result = stopped.gdb.mi("-coronel-heapcheck")
        assert stopped.gdb.evaluate("$coronel_exit") == code
        assert int(result["exit_code"]) == code
        assert result["summary"] == report["summary"]
        assert result["facts"] == report["facts"]
        assert [found["code"] for found in result["findings"]] == [f["code"] for f in report["findings"]]
        assert [int(found["subject"]) for found in result["findings"]] == [
            found["subject"] for found in report["findings"]
        ]


def test_arguments_and_tables(healthy: Stopped) -> None:
    expected = healthy.report("pagewalk g_kernel_heap->first_block_", 0)["tables"][0]["rows"]
    result = healthy.gdb.mi("-coronel-pagewalk g_kernel_heap->first_block_")
    rows = result["tables"][0]["rows"]
    assert [(row["level"], int(row["entry-at"]), int(row["entry"])) for row in rows] == [
        (row["level"], row["entry at"], row["entry"]) for row in expected
    ]
    result = healthy.gdb.mi("-coronel-layout")
    assert result["findings"] == []


def test_what_could_not_check_is_an_error(healthy: Stopped) -> None:
    with pytest.raises(GdbCommandError, match="unrecognized arguments: --nonsense"):
        healthy.gdb.mi("-coronel-heapcheck --nonsense")
    assert healthy.gdb.evaluate("$coronel_exit") == 2
    with Gdb(script=GDB_SCRIPT) as gdb, pytest.raises(GdbCommandError, match="no target"):
        gdb.mi("-coronel-pagewalk")
