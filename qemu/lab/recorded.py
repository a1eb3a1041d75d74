"""A run that QEMU records and plays again, forwards and backwards: the same instructions, however often."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.machine import Machine
from lab.paths import BOOT_ELF

RUN_SECONDS = 60.0
DONE = "coronel: done"


@contextmanager
def replayed(append: str, *, extra: Sequence[str] = (), **options: Any) -> Iterator[Machine]:
    """The kernel with that command line, recorded to its end; paused before its first instruction again.

    `extra` and `options` are the machine's own.
    """
    with tempfile.TemporaryDirectory(prefix="coronel-lab-") as folder:
        log, states = Path(folder) / "run.log", Path(folder) / "states.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", states, "1M"], check=True)
        recording, replaying = ([*extra, *_options(mode, log, states)] for mode in ("record", "replay"))
        with Machine(BOOT_ELF, append, extra=recording, **options) as machine:
            machine.wait_for_serial(DONE, RUN_SECONDS)
            with suppress(LabError):  # QEMU may go before it answers
                machine.monitor("quit")
            machine.wait_exit(RUN_SECONDS)
        with Machine(BOOT_ELF, append, extra=replaying, paused=True, **options) as machine:
            yield machine


def _options(mode: str, log: Path, states: Path) -> list[str]:
    """The same in both runs but for the mode.

    To go back, QEMU resets its devices and loads the state of the start, which it keeps on an empty disk. In
    7.2 it may hang at that: the device behind `vapic` (for Windows) waits for a CPU that waits for the log.
    """
    return [
        "-icount", f"shift=auto,rr={mode},rrfile={log},rrsnapshot=start",
        "-drive", f"file={states},if=none,id=states",
        "-global", "apic-common.vapic=off",
    ]  # fmt: skip
