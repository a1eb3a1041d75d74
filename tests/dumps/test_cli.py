"""The command line: exit codes, errors, help, completion, pipes, Ctrl-C; a QEMU by its QMP socket."""

import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coronel_gdb.backends.qemu_host import MonitorMemory, QemuTarget
from coronel_gdb.backends.qemu_memory import RamMap, ram_map
from coronel_gdb.backends.qmp import Qmp
from coronel_gdb.cli import main, split_options
from coronel_gdb.commands.command import Command, Option
from coronel_gdb.errors import ReadFault
from coronel_gdb.lift.cpu import read_cpu
from coronel_gdb.plugins import command_line_only, commands
from coronel_gdb.report import Report
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF
from lab.stopped import MIXED_THEN_OVERFLOW, Stopped
from model.types import PhysicalAddress

CORONEL = [sys.executable, "-m", "coronel_gdb.cli"]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CORONEL, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_table_is_what_the_debugger_prints(corrupted: Stopped, dump: Path) -> None:
    done = run("heapcheck", "--dump", dump, "--kernel", KERNEL_ELF)
    assert done.stdout == corrupted.gdb.console("heapcheck")
    assert (done.returncode, done.stderr) == (1, "")
    assert run("frames", f"--dump={dump}", f"--kernel={KERNEL_ELF}").returncode == 0


def test_json_by_either_option(dump: Path) -> None:
    options = ("--dump", dump, "--kernel", KERNEL_ELF)
    reports = [run("heapcheck", "--json", *options), run("heapcheck", *options, "--format", "json")]
    assert reports[0].stdout == reports[1].stdout
    assert json.loads(reports[0].stdout)["exit_code"] == 1
    refusal = run("heapcheck", "--dump", "/nowhere", "--json")
    assert json.loads(refusal.stdout)["error"] == "cannot open the dump /nowhere: No such file or directory"
    assert (refusal.returncode, refusal.stderr) == (2, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["heapchek"], "coronel: no command heapchek; there are: memcheck, heapcheck, "),
        (["heapcheck"], "heapcheck: nothing to look at: --dump FILE or --qmp SOCKET, one of them"),
        (["heapcheck", "--dump"], "coronel: --dump needs a value"),
        (["heapcheck", "--dump", "{dump}"], "heapcheck: no kernel file: name it with --kernel KERNEL.elf"),
        (["heapcheck", "--dump", "{dump}", "--qmp", "x"], "heapcheck: nothing to look at: "),
        (["heapcheck", "--dump", "{dump}", "--kernel", "/none"], "heapcheck: no kernel file at /none"),
        (["heapcheck", "--dump", "{dump}", "--kernel", "{dump}"], "heapcheck: the kernel file "),
        (["heapcheck", "--dump", "{dump}", "--cpu", "one"], "heapcheck: --cpu takes a number, not one"),
        (
            ["heapcheck", "--dump", "{dump}", "--format", "xml"],
            "coronel: --format takes table, json or html, not xml",
        ),
        (["heapcheck", "--dump", "{dump}", "--nonsense"], "heapcheck: heapcheck: unrecognized arguments"),
        (["heapcheck", "--qmp", "/none"], "heapcheck: cannot connect to QEMU at /none: No such file"),
        (["completion", "fish"], "coronel: completion is there for bash and zsh, not for fish"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(dump: Path, words: list[str], message: str) -> None:
    done = run(*(word.format(dump=dump) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message.replace("heapcheck: heapcheck: ", "heapcheck: "))
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kinds", [(1,), (1, 4)], ids=["code", "code and build id"])
def test_a_kernel_that_is_not_the_dumps(dump: Path, tmp_path: Path, kinds: tuple[int, ...]) -> None:
    other = tmp_path / "other.elf"
    data = bytearray(KERNEL_ELF.read_bytes())
    for at in range(64, 64 + 56 * int.from_bytes(data[56:58], "little"), 56):
        kind, flags, offset, _, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        if kind in kinds and not flags & 2 and size:
            data[offset : offset + 64] = bytes(64)
        if kind == 4 and kinds == (1,):
            struct.pack_into("<I", data, at, 0)  # no note: its code and constants must tell
    other.write_bytes(data)
    done = run("heapcheck", "--dump", dump, "--kernel", other)
    assert done.returncode == 2
    assert done.stderr == f"heapcheck: {other} is not the kernel in this memory: it is another build\n"


def test_help_of_every_command_has_an_example_that_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main(words) == 0
        return capsys.readouterr().out

    overview = said("--help")
    listed = overview.partition("commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len({len(line) - len(line[2:].partition(" ")[2].lstrip()) for line in listed}) == 1
    for command in [*commands(), *command_line_only()]:
        assert f"  {command.name} " in overview
        for words in ((command.name, "--help"), ("help", command.name)):
            text = said(*words)
            assert command.summary in text
            assert "--kernel ELF" in text
            assert text.splitlines()[-1].startswith(f"example: coronel {command.name}")
            assert "--dump vmcore --kernel kernel.elf" in text.splitlines()[-1]
    assert run().returncode == 2
    assert run("--version").stdout.startswith("coronel-gdb ")


def test_an_option_of_both_goes_to_both_unless_they_are_two() -> None:
    ours = Command(
        "ours",
        "",
        "",
        "",
        (Option("--cr3", "", "X"), Option("--kernel", "a flag")),
        lambda *_: Report("ours", ""),
    )
    known = {"ours": ours}
    given, rest = split_options(["ours", "--cr3=7", "--kernel", "k.elf", "a", "--", "--cpu"], known)
    assert given == {"--cr3": "7", "--kernel": "k.elf"}
    assert rest == ["ours", "--cr3", "7", "a", "--", "--cpu"]


def test_completion_completes() -> None:
    script = run("completion", "bash").stdout
    ask = "COMP_WORDS=(coronel {words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n_coronel\n"
    ask += "echo ${{COMPREPLY[@]}}"
    for words, offered in [
        ("heap", "heapcheck"),
        ("pagewalk --au", "--audit"),
        ("frames --dum", "--dump"),
        ("frames --format j", "json"),
        ("profile ch", "check"),
        ("profile check --kern", "--kernel"),
        ("triage /et", "/etc"),
        ("report /et", "/etc"),
        ("save /et", "/etc"),
    ]:
        text = f"{script}\n{ask.format(words=words)}"
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == offered
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n", "-c", run("completion", "zsh").stdout], check=True)


def test_a_reader_that_has_seen_enough(dump: Path) -> None:
    line = f"{' '.join(CORONEL)} pagewalk --dump '{dump}' --kernel {KERNEL_ELF}; echo $? >&3"
    shell = ["bash", "-c", f"exec 3>&1; {{ {line}; }} | true"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "0"


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    """While it waits for a QMP server that says nothing."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "q"))
        server.listen(1)
        # What was started in the background has inherited to ignore it.
        words = ["env", "--default-signal=INT", *CORONEL, "heapcheck", "--qmp", str(tmp_path / "q")]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()
            with connection:
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                _, error = process.communicate(timeout=10)
    assert error == "heapcheck: interrupted, nothing was checked\n"
    assert process.returncode == 2


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    with Machine(BOOT_ELF, MIXED_THEN_OVERFLOW) as machine:
        machine.wait_for_serial("coronel: checkpoint 2")
        yield machine


def test_a_running_qemu_is_read_and_left_running(running: Machine) -> None:
    options = ("--qmp", running.qmp_socket, "--kernel", KERNEL_ELF)
    live = run("heapcheck", *options)
    assert live.returncode == 1
    assert "HEAP001" in live.stdout
    assert "running  " in live.stdout.replace("running     ", "running  ")
    assert "read without stopping it: a structure may be in the middle of a change" in live.stdout
    assert "status: running" in running.monitor("info status")
    status = json.loads(run("status", "--json", *options).stdout)["facts"]
    assert status["memory"] == f"physical, from the memory of QEMU (pid {running.pid}), 128 MiB"
    assert run("frames", *options).returncode == 0


def test_a_paused_qemu_is_left_paused_and_nothing_is_said_of_running(running: Machine) -> None:
    running.monitor("stop")
    options = ("--qmp", running.qmp_socket, "--kernel", KERNEL_ELF)
    report = json.loads(run("heapcheck", "--json", *options).stdout)
    assert "running" not in report["facts"]
    assert "status: paused" in running.monitor("info status")
    second = run("heapcheck", *options, "--cpu", "7")
    assert (second.returncode, "no CPU 7 in this machine" in second.stderr) == (2, True)


def test_the_monitors_route_reads_the_same_bytes(running: Machine) -> None:
    qmp = Qmp(running.qmp_socket)
    try:
        fast = QemuTarget(qmp, KERNEL_ELF).memory
        slow = MonitorMemory(qmp.human, RamMap(ram_map(qmp.human)))
        for address, size in ((0x100000, 8192), (0x100003, 13), (0x400FFD, 70000)):
            assert slow.read(PhysicalAddress(address), size) == fast.read(PhysicalAddress(address), size)
        with pytest.raises(ReadFault, match="outside the machine's RAM and ROM"):
            slow.read(PhysicalAddress(1 << 40), 8)
        with pytest.raises(Exception, match="serves one client at a time"):
            Qmp(running.qmp_socket)
    finally:
        qmp.close()


def test_the_width_of_physical_addresses_is_asked_of_qemu(running: Machine) -> None:
    qmp = Qmp(running.qmp_socket)
    try:
        # Without it, reserved address bits would count as address.
        assert read_cpu(QemuTarget(qmp, KERNEL_ELF)).physical_bits == 40
    finally:
        qmp.close()
    compared = run("pagewalk", "--compare", "--qmp", running.qmp_socket)
    assert (compared.returncode, "(info tlb) agrees on" in compared.stdout) == (0, True)


def test_a_server_that_speaks_something_else(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "q"))
        server.listen(1)

        def serve() -> None:
            connection, _ = server.accept()
            connection.sendall(b"220 ready\r\n")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        done = run("status", "--qmp", tmp_path / "q")
        thread.join()
    assert (done.returncode, done.stderr) == (2, f"status: {tmp_path / 'q'} does not speak QMP\n")
