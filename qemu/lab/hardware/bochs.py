"""Vectors in Bochs: a CD with the harness and the vectors as a module; the results come over port e9."""

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lab.errors import LabError
from lab.hardware.engines import Bochs
from lab.hardware.vectors import CASES_MAX, RESULT_BYTES, VECTOR_BYTES_MAX, Group, pack
from lab.paths import ROOT
from lab.processes import end, signals_held, start

SHARED: Final = Path("/usr/share/bochs")
ROMS: Final = ("BIOS-bochs-latest", "VGABIOS-lgpl-latest")
HARNESS: Final = ROOT / "build" / "hardware" / "harness.bin"
BATCH_SECONDS: Final = 900.0
# Everything that a panic would stop for a question ends the run instead.
CONFIGURATION: Final = """\
megs: 512
cpu: model={model}, ips=100000000
romimage: file=$BXSHARE/BIOS-bochs-latest
vgaromimage: file=$BXSHARE/VGABIOS-lgpl-latest
display_library: rfb, options="timeout=0"
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{disc}", status=inserted
boot: cdrom
port_e9_hack: enabled=1
clock: sync=none
# Without a sound card its default driver writes past a buffer.
sound: driver=dummy
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
log: {log}
"""
# Debian's Bochs starts in its own debugger.
DEBUGGER_COMMANDS: Final = "continue\nquit\n"
GRUB: Final = """\
set timeout=0
menuentry harness {
    multiboot /harness.bin
    module /vectors
}
"""
# What the harness sends before its results, so that nothing the BIOS writes to the port is taken for them.
MARK: Final = b"coronel-results:"


def version() -> str:
    """What Bochs says of itself."""
    text = subprocess.run(["bochs", "--help"], capture_output=True, text=True, check=False)
    lines = [
        line.strip() for line in (text.stdout + text.stderr).splitlines() if "Bochs x86 Emulator" in line
    ]
    return lines[0] if lines else "Bochs of unknown version"


def missing() -> str | None:
    """What is not here to run it, None when all is."""
    if shutil.which("bochs") is None:
        return "bochs is not installed"
    roms = [name for name in ROMS if not (SHARED / name).exists()]
    return f"no {' and no '.join(roms)}: install bochsbios and vgabios" if roms else None


class BochsBatch:
    """A Bochs that runs vectors; a context as `lab.hardware.run.Batch` says."""

    def __init__(self, engine: Bochs, groups: list[Group]) -> None:
        self._engine = engine
        self._cases = sum(len(group.cases) for group in groups)
        self._vectors = pack(groups, five_levels=False, to_port=True)
        if len(self._vectors) > VECTOR_BYTES_MAX or self._cases > CASES_MAX:
            raise LabError(f"{self._cases} cases are too many for one run")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            place = Path(starting.enter_context(tempfile.TemporaryDirectory(prefix="coronel-bochs-")))
            self._output = place / "output"
            self._log = place / "log"
            disc = place / "disc.iso"
            _make_disc(place / "tree", disc, self._vectors)
            configuration = place / "bochsrc"
            configuration.write_text(CONFIGURATION.format(model=self._engine.model, disc=disc, log=self._log))
            commands = place / "commands"
            commands.write_text(DEBUGGER_COMMANDS)
            environment = os.environ | {"BXSHARE": str(SHARED)}
            with signals_held(), self._output.open("wb") as output:
                self._process = start(
                    ["bochs", "-q", "-f", str(configuration), "-rc", str(commands)],
                    stdout=output,
                    environment=environment,
                )
                starting.callback(end, self._process)
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def results(self) -> bytes:
        """What the harness noted; `LabError` when it did not come to its end."""
        try:
            self._process.wait(BATCH_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"Bochs is still running after {BATCH_SECONDS:g} s") from error
        output = self._output.read_bytes()
        at = output.find(MARK)
        size_bytes = RESULT_BYTES * self._cases
        found = output[at + len(MARK) : at + len(MARK) + size_bytes]
        if at < 0 or len(found) != size_bytes:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no log"]
            raise LabError(
                f"Bochs gave {len(found)} of {size_bytes} bytes of results; its log ends: {last[0]}"
            )
        return found


def _make_disc(tree: Path, disc: Path, vectors: bytes) -> None:
    (tree / "boot" / "grub").mkdir(parents=True)
    (tree / "boot" / "grub" / "grub.cfg").write_text(GRUB)
    (tree / "harness.bin").write_bytes(HARNESS.read_bytes())
    (tree / "vectors").write_bytes(vectors)
    made = subprocess.run(
        ["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", str(disc), str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise LabError(f"grub-mkrescue failed: {made.stderr.strip().splitlines()[-1:]}")
