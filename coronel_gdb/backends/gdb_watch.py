"""`coronel watch-heap`: the kernel heap is checked again and again, and the first finding stops the kernel.

Either at every stop of the debugger's, or besides at every Nth call of the heap's functions, where the kernel
stands still for as long as one check takes. The breakpoints are hardware ones, so the guest's code is not
written. Import this inside GDB only.
"""

import argparse
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import gdb

from coronel_gdb.backends.gdb_session import Session, terminal_width
from coronel_gdb.backends.surface import run_line
from coronel_gdb.commands import heapcheck
from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError, KernelError, UsageError
from coronel_gdb.report import ExitCode, Report
from model.types import VirtualAddress

_MOST_CALLERS = 3
_CTRL_C = {signal.SIGINT}


def install(session: Session) -> None:
    """Add the command to those of the session."""
    session.extra.append(_Watch(session).command)


class _Watch:
    """What is watched and what has come of it so far; one for each session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._breakpoints: list[_Entry] = []
        self._every = 0
        self._active = False
        self._calls = self._checked = self._unchecked = 0
        self._call: _Call | None = None
        self._sound: _Call | None = None
        self._interrupted = False
        self.command = Command(
            "watch-heap",
            "Check the heap at every stop or call; stop at a finding.",
            "Without an option: from now on at every stop. With --every also at each Nth call of malloc,\n"
            "free and the like: sound at one call and damaged at the next one checked, so whatever ran in\n"
            "between did it. Ends with the first finding, or with --off.",
            "coronel watch-heap --every 1",
            (
                Option("--every", "check at every Nth call of the heap's functions, too", "N"),
                Option("--off", "end it, and say what was checked"),
            ),
            self.run,
        )

    def run(self, context: Context, options: argparse.Namespace) -> Report:
        """Begin or end; the heap is checked at once, so that a damaged one is not watched."""
        if options.off:
            report = Report("watch-heap", f"ended: {self._done()}" if self._active else "was not on")
            self._end()
            return report
        every = _count(options.every)
        entries = _entries(context) if every else {}
        report = heapcheck.kernel_report(Survey(context))
        self._end()
        if report.findings:
            report.command, report.summary = self.command.name, f"not begun: {report.summary}"
            return report
        self._reset()
        self._every, self._active = every, True
        gdb.events.stop.connect(self._on_stop)
        self._breakpoints = [_Entry(self, name, address) for name, address in entries.items()]
        calls = f" and every {every:,} calls of its functions" if every > 1 else " and every call"
        report = Report("watch-heap", f"on, at every stop{calls if every else ''}", checked=report.checked)
        if entries:
            report.facts.append(("functions", ", ".join(entries)))
        return report

    def called(self, name: str) -> bool:
        """One of the heap's functions is entered; whether the kernel is to stop there.

        A Ctrl-C waits until the call is checked: GDB forgets one that comes while it asks the stub something.
        """
        self._calls += 1
        if self._calls % self._every:
            return False
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)
        try:
            found = self._judge(name)
        finally:
            self._interrupted = signal.sigtimedwait(_CTRL_C, 0) is not None
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._interrupted or found is ExitCode.FINDINGS

    def _judge(self, name: str) -> ExitCode:
        """The heap at a call of that function."""
        self._call = _Call(self._calls, name, tuple(_callers()))
        found = self._check()
        if found is ExitCode.FINDINGS:
            # The route to memory may be that of a call long ago: nobody is stopped without looking again.
            self._session.kept.forget()
            found = self._check()
        if found is ExitCode.CLEAN:
            self._sound = self._call
        return found

    def _check(self) -> ExitCode:
        """The heap now; a call that cannot be checked is counted and goes on."""
        try:
            report = heapcheck.kernel_report(Survey(self._session.context()))
        except (CoronelError, gdb.error):
            self._unchecked += 1
            return ExitCode.NOT_CHECKED
        if report.findings:
            return ExitCode.FINDINGS
        if report.not_checked:
            self._unchecked += 1
        else:
            self._checked += 1
        return report.exit_code

    def _on_stop(self, _event: object) -> None:
        if not self._active:
            return
        if self._interrupted:
            self._interrupted = False
            gdb.write(f"watch-heap: interrupted at {self._call}, {self._done()}; `continue` goes on\n")
        if self._check() is not ExitCode.FINDINGS:
            return
        here = self._call if self._call and self._call is not self._sound else None
        gdb.write(f"watch-heap: the heap is damaged at {here or 'this stop'}, {self._done()}\n")
        if self._sound:
            gdb.write(f"  it was still sound at {self._sound}\n")
        self._end()
        outcome = run_line(heapcheck.COMMAND, "", self._session.context, width=terminal_width())
        gdb.write(outcome.text + "\n")
        if _runs_backwards():
            gdb.write(
                "this target runs backwards: `reverse-continue` behind `watch` stops after the last write\n"
            )

    def _done(self) -> str:
        more = f", {self._unchecked:,} times it could not be checked" if self._unchecked else ""
        return f"{self._checked:,} checks{more}"

    def _reset(self) -> None:
        self._calls = self._checked = self._unchecked = 0
        self._call = self._sound = None

    def _end(self) -> None:
        if self._active:
            gdb.events.stop.disconnect(self._on_stop)
        self._active = False
        for breakpoint_ in self._breakpoints:
            if breakpoint_.is_valid():
                breakpoint_.delete()
        self._breakpoints = []


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of one of the heap's functions; `callers` are names and return addresses, the nearest first."""

    number: int
    function: str
    callers: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        words = [f"call {self.number:,}: {self.function}"]
        for name, address in self.callers:
            place = gdb.find_pc_line(address - 1)  # within the call, not behind it
            words.append(name + (f" ({place.symtab.filename}:{place.line})" if place.symtab else ""))
        return " from ".join(words)


def _callers() -> Iterator[tuple[str, int]]:
    """Who called the function whose first instruction comes next, as far as GDB can tell."""
    frame = gdb.newest_frame().older()
    for _ in range(_MOST_CALLERS):
        if frame is None or not frame.is_valid():
            return
        yield frame.name() or f"{frame.pc():#x}", frame.pc()
        frame = frame.older()


def _runs_backwards() -> bool:
    """Whether the stub says so, as QEMU's does while it plays a recorded run."""
    connection = gdb.selected_inferior().connection
    try:
        return b"ReverseContinue+" in bytes(connection.send_packet("qSupported"))
    except (AttributeError, gdb.error):  # no stub, or it has gone
        return False


class _Entry(gdb.Breakpoint):
    """The first instruction of a function of the heap's."""

    def __init__(self, watch: _Watch, name: str, address: int) -> None:
        super().__init__(f"*{address:#x}", type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
        self._watch = watch
        self._name = name.rpartition("::")[2]

    def stop(self) -> bool:
        """Whether the kernel stops here."""
        return self._watch.called(self._name)


def _count(text: str | None) -> int:
    """How many calls; 0 for none."""
    if text is None:
        return 0
    if not text.isdecimal() or not int(text):
        raise UsageError(f"watch-heap: --every {text} is no number of calls, from 1")
    return int(text)


def _entries(context: Context) -> dict[str, VirtualAddress]:
    """Name → address of the heap's functions that the profile lists and the kernel has."""
    section = context.profile.sections.get("heap")
    names = sorted(section.lists.get("entries", ())) if section is not None else []
    found = {name: context.target.symbol(name) for name in names}
    entries = {name: address for name, address in found.items() if address is not None}
    if not entries:
        raise KernelError(f"watch-heap: no function of the heap is known; profile {context.profile.name}")
    return entries
