"""`snapshot` on real kernels: the kernel's note of its own bug says which bytes no operation explains."""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.cli import main
from coronel_gdb.lift.stop_file import load, save
from lab.errors import GdbCommandError
from lab.paths import KERNEL_ELF
from lab.scenarios import scenarios
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped, at_checkpoint


def rows(report: dict[str, Any], title: str) -> list[dict[str, Any]]:
    return [row for table in report["tables"] if table["title"] == title for row in table["rows"]]


def refusal(stopped: Stopped, line: str) -> str:
    with pytest.raises(GdbCommandError) as caught:
        stopped.gdb.run(line)
    assert "Traceback" not in caught.value.message + caught.value.log
    assert "\n" not in caught.value.message.strip()
    return caught.value.message


def go_on(stopped: Stopped) -> None:
    stopped.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)


def ram(stopped: Stopped, tmp_path: Path) -> str:
    stopped.machine.monitor(f'pmemsave 0 {128 << 20} "{tmp_path / "ram"}"')
    return hashlib.sha256((tmp_path / "ram").read_bytes()).hexdigest()


def test_the_bug_is_what_no_operation_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with at_checkpoint(1, MIXED_THEN_OVERFLOW) as stopped:
        gdb = stopped.gdb
        start = ram(stopped, tmp_path)
        stopped.report(f"snapshot save {first}", 0)
        equal = stopped.report(f"snapshot diff {first}", 0)
        assert "nothing changed" in equal["summary"]
        assert equal["tables"] == equal["findings"] == equal["not_checked"] == []
        assert ram(stopped, tmp_path) == start
        before = gdb.evaluate("g_trace.next_")
        go_on(stopped)
        after = gdb.evaluate("g_trace.next_")
        live = stopped.report(f"snapshot diff {first}", 1)
        stopped.report(f"snapshot save {second}", 0)
        kept = stopped.report(f"snapshot diff {first} {second}", 1)
        assert "nothing changed" in stopped.report(f"snapshot diff {second}", 0)["summary"]
        truth = {
            name: gdb.evaluate(f"g_seeded_fault.{name}")
            for name in ("victim", "culprit", "address", "length")
        }
        written = bytes(
            gdb.evaluate(f"(unsigned char)g_seeded_fault.written[{i}]") for i in range(truth["length"])
        )
        ring = "((coronel::trace_record *)g_trace.ring_)"
        results = [gdb.evaluate(f"{ring}[{number}].result") for number in range(before, after)]
        assert "earlier one, or another run" in refusal(stopped, f"snapshot diff {second} {first}")
        # A dump of the same stop, without a debugger.
        dump = tmp_path / "dump"
        assert stopped.machine.monitor(f'dump-guest-memory -z "{dump}"') == ""
        words = ["--dump", str(dump), "--kernel", str(KERNEL_ELF), "--format", "json"]
        assert main(["snapshot", "diff", str(second), *words]) == 0
        assert "nothing changed" in json.loads(capsys.readouterr().out)["summary"]
        assert main(["snapshot", "diff", str(first), *words]) == 1
        post_mortem = json.loads(capsys.readouterr().out)
        text = gdb.console(f"snapshot diff {first}")
    assert "24 bytes in 1 structure that no operation explains" in text
    for report in (live, kept, post_mortem):
        assert report["findings"] == live["findings"]
        assert report["summary"] == live["summary"]
    (finding,) = live["findings"]
    damage = finding["damage"]
    assert (finding["code"], finding["subject"], finding["suspect"]) == (
        "TRACE002",
        truth["victim"],
        truth["culprit"],
    )
    assert (damage["start"], damage["end"]) == (truth["address"], truth["address"] + truth["length"])
    assert bytes.fromhex(damage["bytes"]) == written
    assert len(written) == 24
    operations = rows(live, "operations")
    assert [row["record"] for row in operations] == list(range(before, after))
    assert [row["result"] for row in operations] == results
    assert {row["called from"].split(":")[0:3:2][0] for row in operations} == {"coronel"}
    (kind,) = rows(live, "operations by kind")
    assert (kind["operation"], kind["called"], kind["by others"]) == ("malloc", after - before, 0)
    assert "scenarios/overflow.cpp:" in kind["callers"]
    # Headers are kept, not what lies in the blocks.
    message = b"ld not be expanded again"
    raw = zlib.decompress(second.read_bytes()[32:])
    assert raw.count(message) == 1
    assert b"heap cou" not in raw
    assert second.stat().st_size < 200_000


def test_healthy_scenarios_explain_every_change(tmp_path: Path) -> None:
    line = "scenario=boot,mixed,rapid,mmap_churn,out_of_memory seed=42 ops=100 trace=65536"
    with at_checkpoint(1, line, extra=scenarios()["mmap_churn"].extra, memory="48M") as stopped:
        stopped.report(f"snapshot save {tmp_path}/0", 0)
        for number in range(1, 5):
            go_on(stopped)
            for since in {0, number - 1}:
                report = stopped.report(f"snapshot diff {tmp_path}/{since}", 0)
                assert report["findings"] == report["not_checked"] == []
                assert "which explain every change" in report["summary"]
            stopped.report(f"snapshot save {tmp_path}/{number}", 0)
            assert "nothing changed" in stopped.report(f"snapshot diff {tmp_path}/{number}", 0)["summary"]


def test_processes_that_live_and_what_is_poked(tmp_path: Path) -> None:
    scenario = scenarios()["processes"]
    append = scenario.append.replace("scenario=", "scenario=boot,")
    with at_checkpoint(1, f"{append} trace=65536", extra=scenario.extra) as stopped:
        gdb = stopped.gdb
        stopped.report(f"snapshot save {tmp_path}/boot", 0)
        go_on(stopped)
        assert gdb.evaluate("g_process_list != 0")
        report = stopped.report(f"snapshot diff {tmp_path}/boot", 0)
        assert "process create" in {row["operation"] for row in rows(report, "operations by kind")}
        stopped.report(f"snapshot save {tmp_path}/here", 0)
        for place, noun in (
            ("g_process_list->memory.stack_start_", "object of process "),
            ("*(unsigned long *)&'memory::__placement'", "variable "),
            ("g_physical_manager->nodes_[700].address", "array of frame nodes"),
            ("g_kernel_virtual_manager->free_mem_list_.count_", "region manager"),
            ("g_kernel_heap->total_free_", "heap object"),
        ):
            try:
                old = gdb.evaluate(f"(unsigned long)({place})")
            except GdbCommandError:
                place = place.replace("'memory::__placement'", "__placement")  # noqa: PLW2901
                old = gdb.evaluate(f"(unsigned long)({place})")
            gdb.run(f"set var {place} = {old + 4096}")
            findings = json.loads(gdb.console(f"snapshot diff {tmp_path}/here --json"))["findings"]
            gdb.run(f"set var {place} = {old}")
            assert [finding["structure"].startswith(noun) for finding in findings] == [True], place
        assert "nothing changed" in stopped.report(f"snapshot diff {tmp_path}/here", 0)["summary"]
        # Between two calls of an allocator nothing can be said.
        gdb.run("set var g_kernel_heap->lock_.locked_ = 1")
        assert "busy" in stopped.report(f"snapshot diff {tmp_path}/here", 2)["summary"]
        assert "an operation is under way" in refusal(stopped, f"snapshot save {tmp_path}/no")
        assert not (tmp_path / "no").exists()


def test_a_ring_that_lost_what_the_first_snapshot_has(tmp_path: Path) -> None:
    """The ring holds 2,170 records: at the second stop the first four are gone, but the file has them."""
    with at_checkpoint(1, f"{MIXED_THEN_OVERFLOW} trace=2170") as stopped:
        stopped.report(f"snapshot save {tmp_path}/a", 0)
        go_on(stopped)
        assert stopped.gdb.evaluate("g_trace.next_ > g_trace.capacity_")
        report = stopped.report(f"snapshot diff {tmp_path}/a", 1)
        assert "24 bytes in 1 structure" in report["summary"]


def test_a_ring_that_lost_records_lists_what_changed(tmp_path: Path) -> None:
    with at_checkpoint(1, f"{MIXED_THEN_OVERFLOW} trace=128") as stopped:
        gdb = stopped.gdb
        stopped.report(f"snapshot save {tmp_path}/a", 0)
        assert "nothing changed" in stopped.report(f"snapshot diff {tmp_path}/a", 0)["summary"]
        # Without an operation in between, every change is one that no operation explains.
        victim = "*(unsigned long *)g_kernel_heap->first_block_"
        old = gdb.evaluate(victim)
        gdb.run(f"set var {victim} = {old ^ 0xFF00}")
        (finding,) = stopped.report(f"snapshot diff {tmp_path}/a", 1)["findings"]
        gdb.run(f"set var {victim} = {old}")
        assert finding["fields"] == [{"field": "size", "before": old, "now": old ^ 0xFF00}]
        go_on(stopped)
        report = stopped.report(f"snapshot diff {tmp_path}/a", 2)
        assert report["findings"] == []
        assert "were lost before the first stop" in report["not_checked"][0]["why"]
        smashed = gdb.evaluate("g_seeded_fault.victim")
        changed = {row["at"]: row for row in rows(report, "changes")}
        assert changed[smashed]["change"] == "new"  # split off by one of the eight mallocs
        assert changed[gdb.evaluate("(unsigned long)g_kernel_heap")]["change"] == "changed"


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    other, text = tmp_path / "other", tmp_path / "text"
    text.write_text("important")
    with at_checkpoint(1, "scenario=mixed seed=7 ops=50") as stopped:
        stopped.report(f"snapshot save {other}", 0)
        assert "is no snapshot: it is not overwritten" in refusal(stopped, f"snapshot save {text}")
        assert text.read_text() == "important"
        stopped.report(f"snapshot save {other}", 0)  # a snapshot is replaced
        assert "cannot write" in refusal(stopped, "snapshot save /nonexistent/a")
        assert "is no snapshot that can be used" in refusal(stopped, f"snapshot diff {text}")
        for line in (
            "snapshot",
            "snapshot save",
            "snapshot nonsense x",
            f"snapshot diff {other} {other} {other}",
        ):
            assert "`snapshot save FILE`" in refusal(stopped, line)
        stop = load(other)
        stop.kernel = "0" * 40
        save(tmp_path / "build", stop)
        assert "another build" in refusal(stopped, f"snapshot diff {tmp_path / 'build'}")
        completed = stopped.gdb.console("complete snapshot --").split("\n")
        assert "snapshot --json" in completed
    with at_checkpoint(1, "scenario=mixed seed=8 ops=60") as stopped:
        assert "of different runs" in refusal(stopped, f"snapshot diff {other}")
    with at_checkpoint(1, "scenario=mixed seed=8 ops=60 trace=0") as stopped:
        stopped.report(f"snapshot save {tmp_path}/untraced", 0)
        report = stopped.report(f"snapshot diff {tmp_path}/untraced", 0)
        assert report["facts"]["operations"].startswith("not known: trace not initialised")
