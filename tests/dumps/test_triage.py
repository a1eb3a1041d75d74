"""`coronel triage`: runs of one bug are one group, a dump that fails is a row, a cluster finds the same."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coronel_gdb.backends.triage import Looked, look, on_cores
from coronel_gdb.checks.signature import cause, signature
from coronel_gdb.cli import main
from coronel_gdb.report import Finding
from lab.paths import KERNEL_ELF, ROOT
from lab.stopped import BOOT_SECONDS, at_checkpoint
from tests.at_terminal import Terminal

OVERFLOWS = {"overflow_1": "seed=42 ops=400", "overflow_2": "seed=7 ops=300"}


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("crashes")
    for name, size in OVERFLOWS.items():
        with at_checkpoint(1, f"scenario=mixed,overflow {size}", memory="32M") as stopped:
            if name == "overflow_1":
                stopped.gdb.console(f"coronel save {folder / 'healthy'}", 60)
            stopped.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
            stopped.gdb.console(f"coronel save {folder / name}", 60)
    with at_checkpoint(1, "scenario=use_after_free", memory="32M") as stopped:
        stopped.gdb.console(f"coronel save {folder / 'after_free'}", 60)
    data = (folder / "healthy").read_bytes()
    (folder / "truncated").write_bytes(data[: len(data) // 2])
    (folder / "notes.txt").write_text("what we did")
    (folder / ".hidden").write_text("no dump")
    yield folder
    shutil.rmtree(folder)


def triaged(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    code = main(["triage", *map(str, words), "--json"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["exit_code"] == code
    return report


def groups(report: dict[str, Any]) -> list[set[str]]:
    return [{Path(path).name for path in finding["dumps"]} for finding in report["findings"]]


def test_one_bug_is_one_group(crashes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = triaged(capsys, crashes)
    assert report["exit_code"] == 1
    assert groups(report) == [{"overflow_1", "overflow_2"}, {"after_free"}]
    first = report["findings"][0]["causes"]
    assert first == [
        "HEAP001 block header overwritten by linear overflow of coronel::run_overflow scenarios/overflow.cpp"
    ]
    failed = {Path(row["what"]).name for row in report["not_checked"]}
    assert failed == {"truncated", "notes.txt"}


def test_at_a_terminal_it_tells_how_far_it_is(crashes: Path, tmp_path: Path) -> None:
    many = [tmp_path / f"dump-{number}" for number in range(60)]
    for path in many:
        path.symlink_to(crashes / "overflow_1")
    terminal = Terminal([sys.executable, "-m", "coronel_gdb.cli", "triage", *map(str, many)])
    try:
        terminal.wait_for(" of 60 dumps so far (Ctrl-C ends)", 100.0)
        terminal.wait_for("triage: 60 dumps: 60 with 1 cause", 100.0)
    finally:
        terminal.close()


def test_the_exit_code_is_that_of_all(crashes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert triaged(capsys, crashes / "healthy")["exit_code"] == 0
    assert triaged(capsys, crashes / "healthy", crashes / "truncated")["exit_code"] == 2
    assert main(["triage"]) == 2
    assert main(["triage", "x", "--dump", "y"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def deadly(path: str, kernel: str | None) -> Looked:
    """As `look`, but one dump ends the process that looks at it, as the system does when memory is short."""
    if path == "killer":
        os._exit(9)
    return look(path, kernel)


def test_a_dump_that_kills_its_process_is_a_row(crashes: Path) -> None:
    paths = ["killer", *(str(crashes / name) for name in ("healthy", "overflow_1"))]
    killer, healthy, overflow = on_cores(paths, None, 2, deadly)
    assert killer.error == "the process that looked at it died (out of memory?)"
    assert (healthy.causes, healthy.error, len(overflow.causes)) == ((), "", 1)


def test_a_cluster_finds_the_same(crashes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own: a cluster leaves threads behind."""
    code = (
        "import sys\nfrom distributed import LocalCluster\nfrom coronel_gdb.cli import main\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:\n"
        "        code = main([*sys.argv[1:], '--scheduler', cluster.scheduler_address])\n"
        "    sys.exit(code)\n"
    )
    script = crashes.parent / "cluster.py"
    script.write_text(code)
    words = ["triage", str(crashes), "--json"]
    done = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, check=False, timeout=100, cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    clustered, local = json.loads(done.stdout), triaged(capsys, crashes)
    assert [clustered[key] for key in ("findings", "not_checked", "tables")] == [
        local[key] for key in ("findings", "not_checked", "tables")
    ]
    assert "cluster at tcp://" in clustered["facts"]["looked at by"]


def test_the_profile_is_that_of_every_dump(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["triage", str(dump), "--kernel", str(KERNEL_ELF)]
    assert main([*words, "--profile", "/none.toml"]) == 2
    said = capsys.readouterr().out
    assert f"could not check {dump}: cannot read /none.toml: No such file or directory" in said


def test_no_scheduler_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["triage", str(ROOT / "pyproject.toml"), "--scheduler", "nonsense"]) == 2
    assert "no Dask scheduler answers at nonsense" in capsys.readouterr().err


def test_a_signature_does_not_move() -> None:
    def finding(address: int, line: int) -> Finding:
        data = {
            "block": address,
            "suspect": {"kind": "linear overflow", "block": address},
            "field": f"{address:#x} x",
        }
        return Finding("HEAP001", "title", address, (), {**data, "caller": f"f file.cpp:{line}"})

    one, two = cause(finding(0x1000, 3)), cause(finding(0x2000, 9))
    assert one == two == "HEAP001 title (x) by linear overflow of f file.cpp"
    assert signature([one, "b"]) == signature(["b", two, two])
    assert signature([one]) != signature(["b"])
