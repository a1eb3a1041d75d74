"""A stop kept by one host is the stop that every other host looks at, and what each keeps is the same."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from coronel_gdb.backends.qemu_host import QemuTarget
from coronel_gdb.backends.qmp import Qmp
from coronel_gdb.lift.stop_file import load
from lab.paths import KERNEL_ELF
from lab.scenarios import Scenario
from lab.stopped import MIXED_THEN_OVERFLOW
from tests.conformance.hosts import DUMPS, LIVE, Host, OnTarget
from tests.conformance.stops import Stop, standing

OVERFLOW = Stop("overflow", Scenario("overflow", MIXED_THEN_OVERFLOW), arrival=2)


def test_every_host_keeps_the_same_stop_and_sees_no_change(tmp_path: Path) -> None:
    first = tmp_path / "gdb"

    def judge(name: str, host: Host) -> None:
        own = tmp_path / name
        saved = host.ask(f"snapshot save '{own}' --json").report
        assert saved["exit_code"] == 0, (name, saved)
        kept, expected = load(own), load(first)
        assert (kept.kernel, kept.runs, kept.blank) == (expected.kernel, expected.runs, expected.blank), name
        answer = host.ask(f"snapshot diff '{first}' --json").report
        assert answer["summary"] == "nothing changed: no operation, and all structures are equal", (
            name,
            answer,
        )
        assert answer["exit_code"] == 0
        assert "1 structure with bytes that no operation explains" in answer["facts"]["before"]

    with ExitStack() as stack:
        stood = stack.enter_context(standing(OVERFLOW))
        before = stood.state()
        for name, opened in (LIVE | DUMPS).items():
            with opened(stood.machine) as host:
                judge(name, host)
        judge("qmp", OnTarget(partial(QemuTarget, Qmp(stood.machine.qmp_socket), KERNEL_ELF)))
        assert stood.state() == before
