"""The GDB driver, on a machine without kernel: paused at the reset vector, or running its firmware."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import GdbCommandError, LabError
from lab.gdbmi import Gdb, quoted
from lab.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine(paused=True, memory="32M") as booted:
        yield booted


def test_console_text_and_values() -> None:
    with Gdb() as gdb:
        assert gdb.console(r'printf "a\tb\\ \"c\"\n"') == 'a\tb\\ "c"\n'
        assert gdb.evaluate("6 * 7") == 42
        assert gdb.evaluate("-1") == 2**64 - 1
        assert gdb.console("python print('é')") == "é\n"


def test_output_and_error_stream_are_apart() -> None:
    with Gdb() as gdb:
        reply = gdb.run("python gdb.write('out\\n'); gdb.write('err\\n', gdb.STDERR)")
        assert (reply.console, reply.log) == ("out\n", "err\n")


def test_a_refused_command_keeps_gdbs_words() -> None:
    with Gdb() as gdb:
        with pytest.raises(GdbCommandError, match="No symbol table") as caught:
            gdb.evaluate("no_such_symbol")
        assert "no_such_symbol" in caught.value.command
        with pytest.raises(GdbCommandError) as caught:
            gdb.console("python print('before'); raise gdb.GdbError('sorry')")
        assert caught.value.message == "Error while executing Python code."
        assert caught.value.console == "before\n"
        assert "gdb.GdbError: sorry" in caught.value.log
        assert gdb.evaluate("1") == 1


def test_script_is_loaded(tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text("gdb.set_convenience_variable('hello', 7)\n")
    with Gdb(script=script) as gdb:
        assert gdb.evaluate("$hello") == 7


def test_gdb_finds_no_packages_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "nowhere-at-all")
    with Gdb() as gdb:
        assert gdb.console("python import sys; print('nowhere-at-all' in str(sys.path))") == "False\n"


def test_too_slow_a_command_is_given_up_and_can_be_interrupted() -> None:
    with Gdb() as gdb:
        token = gdb.begin('-interpreter-exec console "python while True: pass"')
        with pytest.raises(LabError, match=r"no answer to 'spin' within 0\.5 s"):
            gdb.finish(token, "spin", 0.5)
        gdb.press_ctrl_c()
        with pytest.raises(GdbCommandError):
            gdb.finish(token, "spin")
        assert gdb.evaluate("1") == 1


def test_a_gdb_that_ends_is_noticed() -> None:
    with Gdb() as gdb:
        with pytest.raises(LabError, match="GDB ended with code 3"):
            gdb.console("python import os; os._exit(3)")
        with pytest.raises(LabError, match="GDB"):
            gdb.evaluate("1")
    with pytest.raises(LabError, match="not running"):
        gdb.evaluate("1")


def test_attach_at_the_reset_vector(machine: Machine) -> None:
    with Gdb() as gdb:
        gdb.attach(machine.gdb_socket)
        assert gdb.evaluate("$pc") == 0xFFF0
        with pytest.raises(GdbCommandError):
            gdb.attach(machine.directory / "no.sock")


def test_what_a_handler_says_at_a_stop_is_not_lost() -> None:
    """However much of it comes in one piece with the stop."""
    with Machine(paused=True, memory="32M") as machine, Gdb() as gdb:
        gdb.attach(machine.gdb_socket)
        gdb.console("python gdb.events.stop.connect(lambda event: gdb.write('said\\n'))")
        for _ in range(20):
            gdb.mi("-exec-step-instruction")
            gdb.wait_stopped()
            assert gdb.console("echo there") == "said\nthere"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_resume_and_interrupt(*, asynchronous: bool) -> None:
    with Machine(paused=True, memory="32M") as machine, Gdb(asynchronous=asynchronous) as gdb:
        gdb.attach(machine.gdb_socket)
        gdb.resume()
        with pytest.raises(LabError, match="did not stop"):
            gdb.wait_stopped(0.3)
        assert "running" in machine.monitor("info status")
        stop = gdb.interrupt()
        assert stop["signal-name"] in ("SIGINT", "0")
        assert "paused" in machine.monitor("info status")


def test_quoting() -> None:
    assert quoted('a "b" \\c') == '"a \\"b\\" \\\\c"'
