"""Settings, and what is left when a part cannot be loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF, PACKAGES, ROOT
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped

LOST = {
    "gdb_parameters": "set coronel",
    "gdb_watch": "coronel watch-heap",
    "gdb_functions": "$phys, $heap_block, $frame_owner",
    "gdb_printers": "pretty-printers",
    "gdb_mi": "MI commands",
}


@contextmanager
def setting(gdb: Gdb, name: str, value: str, usual: str) -> Iterator[None]:
    gdb.console(f"set coronel {name} {value}")
    try:
        yield
    finally:
        gdb.console(f"set coronel {name} {usual}")


def test_verbose_is_for_every_command(corrupted: Stopped) -> None:
    gdb = corrupted.gdb
    short, verbose = gdb.console("heapcheck"), gdb.console("heapcheck --verbose")
    assert short != verbose
    with setting(gdb, "verbose", "on", "off"):
        assert gdb.console("heapcheck") == verbose
        assert gdb.console("show coronel verbose") == "Every finding with all that is known: on.\n"
    assert gdb.console("heapcheck") == short


def test_numpy_can_be_kept_out(healthy: Stopped) -> None:
    gdb = healthy.gdb
    used = "python from coronel_gdb.lift.bulk import numpy_for; print(numpy_for(1 << 20) is not None)"
    report = gdb.console("frames --json")
    with setting(gdb, "numpy", "off", "auto"):
        assert gdb.console("frames --json") == report
        assert gdb.console("show coronel") == (
            "Every finding with all that is known: off.\nLarge structures are decoded with numpy: off.\n"
            "The profile of the kernel: found by its symbols.\n"
        )
        with pytest.raises(GdbCommandError, match="auto, off"):
            gdb.console("set coronel numpy")
    assert gdb.console(used).strip() in ("True", "False")


def test_a_wrong_setting_names_those_there_are(healthy: Stopped) -> None:
    for line in ("set coronel", "set coronel colour on", "show coronel colour"):
        with pytest.raises(GdbCommandError, match="verbose"):
            healthy.gdb.console(line)


def test_a_part_that_cannot_be_loaded_costs_that_part_alone(healthy: Stopped, tmp_path: Path) -> None:
    """A checkout in which each optional module fails at its import: `coronel status` names them all."""
    (tmp_path / "model").symlink_to(PACKAGES / "model")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    package = tmp_path / "coronel_gdb"
    backends = package / "backends"
    backends.mkdir(parents=True)
    for entry in (PACKAGES / "coronel_gdb").iterdir():
        if entry.name != "backends":
            (package / entry.name).symlink_to(entry)
    for entry in (PACKAGES / "coronel_gdb" / "backends").iterdir():
        if entry.stem in LOST:
            (backends / entry.name).write_text("import no_such_package\n")
        else:
            (backends / entry.name).symlink_to(entry)
    script = package / "gdbinit.py"
    with Machine(BOOT_ELF, MIXED_THEN_OVERFLOW, paused=True) as machine, Gdb(script=script) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        status = gdb.console("coronel status")
        assert gdb.evaluate("$coronel_exit") == 2
        for module, feature in LOST.items():
            why = f"ModuleNotFoundError in {module}: No module named 'no_such_package'"
            assert f"could not check {feature}: {why}" in status
        for command in ("heapcheck", "frames", "coronel layout"):
            assert gdb.console(f"{command} --json") == healthy.gdb.console(f"{command} --json")
        with pytest.raises(GdbCommandError):
            gdb.console("print $phys(g_kernel_heap)")
