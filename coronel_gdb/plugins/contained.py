"""A plugin's mistakes stay its own: whatever it raises or returns, a `PluginError` is all that comes out."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from coronel_gdb.checks.folding import fold
from coronel_gdb.commands.additions import Check
from coronel_gdb.commands.command import Command
from coronel_gdb.dumps.dump import Dump, DumpMemory, KernelInside
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.errors import CoronelError, PluginError
from coronel_gdb.render.formats import BUILT_IN, HTML, Look, Renderer
from coronel_gdb.report import Report
from model.types import PhysicalAddress

P = ParamSpec("P")
R = TypeVar("R")

Problem = tuple[str, str]
"""(what, why), for `coronel status`."""


@dataclass(frozen=True, slots=True)
class Containment:
    """Runs what one plugin brings; `note` is told of every failure."""

    plugin: str
    note: Callable[[Problem], None]

    def call(self, what: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function returns; our own errors pass, and so does Ctrl-C."""
        try:
            with redirect_stdout(sys.stderr):  # what is printed would be part of a report
                return function(*args, **kwargs)
        except CoronelError:
            raise
        except (Exception, SystemExit) as error:
            raise self.failed(what, f"{type(error).__name__}: {error}") from error

    def failed(self, what: str, why: str) -> PluginError:
        """The error of a failure, in one line, once it is noted."""
        error = PluginError(self.plugin, f"{what} failed: {' '.join(why.split())}")
        self.note((f"plugin {self.plugin}", error.reason))
        return error

    def command(self, command: Command) -> Command:
        """The command, contained."""
        what = f"command {command.name}"
        return replace(command, run=lambda *given: self._report(what, partial(command.run, *given)))

    def check(self, check: Check) -> Check:
        """The check, contained; a finding with a code that it has not declared is a failure too."""
        codes, what = {code.code for code in check.codes}, f"check {check.name}"

        def run(survey: object) -> Report:
            report = self._report(what, partial(check.run, survey))  # type: ignore[arg-type]
            strange = sorted({finding.code for finding in report.findings} - codes)
            if strange:
                raise self.failed(what, f"{', '.join(strange)} is none of its codes")
            return report

        return replace(check, run=run)

    def renderer(self, renderer: Renderer) -> Renderer:
        """The format, contained."""
        what = f"format {renderer.name}"

        def render(report: Report, look: Look) -> str:
            text = self.call(what, renderer.render, report, look)
            if not isinstance(text, str):
                raise self.failed(what, f"it made {type(text).__name__}, not text")
            return text

        return replace(renderer, render=render)

    def reader(self, reader: DumpReader) -> DumpReader:
        """The reader of dumps, contained, and the memory of every dump that it opens."""
        what = f"dump reader {reader.name}"

        def open_(source: object) -> Dump:
            dump = self.call(what, reader.open, source)  # type: ignore[arg-type]
            if not isinstance(dump, Dump):
                raise self.failed(what, f"it made {type(dump).__name__}, not a Dump")
            kernel = None if dump.kernel is None else _Kernel(self, what, dump.kernel)
            return replace(dump, memory=_Memory(self, what, dump.memory), kernel=kernel)

        return replace(reader, open=open_)

    def _report(self, what: str, run: Callable[[], Report]) -> Report:
        """A report that can be shown on every surface; otherwise it would take others' findings along."""
        report = self.call(what, run)
        if not isinstance(report, Report):
            raise self.failed(what, f"it returned {type(report).__name__}, not a Report")
        self.call(what, fold, report.findings)
        for form in BUILT_IN:
            if form is not HTML or report.charts:
                self.call(what, form.render, report, Look(verbose=True))
        return report


@dataclass(frozen=True, slots=True)
class _Memory:
    """The memory of a dump that a plugin reads."""

    containment: Containment
    what: str
    memory: DumpMemory

    def read(self, address: PhysicalAddress, size_bytes: int) -> bytes:
        """As the plugin reads it; another number of bytes than asked for is a failure."""
        data = self.containment.call(self.what, self.memory.read, address, size_bytes)
        if not isinstance(data, bytes) or len(data) != size_bytes:
            raise self.containment.failed(self.what, f"not the {size_bytes} bytes that were asked for")
        return data

    def ranges(self) -> Sequence[tuple[int, int]]:
        """As the plugin says."""
        return self.containment.call(self.what, self.memory.ranges)


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The kernel inside a dump that a plugin reads."""

    containment: Containment
    what: str
    kernel: KernelInside

    def extract(self, folder: Path) -> Path:
        """As the plugin does it."""
        return self.containment.call(self.what, self.kernel.extract, folder)
