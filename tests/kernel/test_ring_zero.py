"""Exceptions of the kernel itself: the report, the backtrace, the stop; and what the CPU forbids it."""

import re
from collections.abc import Iterator

import pytest

from lab.programs import modules
from lab.stopped import BOOT_SECONDS, Stopped, at_checkpoint

STACK_GUARD = range(0xFFFF_FFFF_8032_5000, 0xFFFF_FFFF_8032_6000)
USER_CODE = 0x40_0000
UNMAPPED = 0x1234_5000
SMEP, SMAP = 1 << 20, 1 << 21


@pytest.fixture
def booted() -> Iterator[Stopped]:
    with at_checkpoint(1, "scenario=boot") as stopped:
        yield stopped


@pytest.fixture
def in_system_call() -> Iterator[Stopped]:
    """In `sys_write`, with the process's address space active."""
    lines = modules(["pause alpha"])
    with at_checkpoint(1, "scenario=processes", extra=lines) as stopped:
        stopped.gdb.run_to("sys_write", BOOT_SECONDS)
        yield stopped


def fault(stopped: Stopped, **registers: int) -> tuple[int, int, int, int]:
    """Go on with these registers until the kernel stops itself; what its report says."""
    for name, value in registers.items():
        stopped.gdb.run(f"set ${name} = {value:#x}")
    stopped.gdb.run_to("coronel_fault_stop", BOOT_SECONDS)
    found = re.search(
        r"^coronel: exception (\d+) error (0x\w+) cr2 (0x\w+) rip (0x\w+)$", stopped.machine.serial(), re.M
    )
    assert found, stopped.machine.serial()
    vector, error, cr2, rip = (int(part, 0) for part in found.groups())
    return vector, error, cr2, rip


def backtrace(stopped: Stopped) -> list[str]:
    """The functions of the lines on the serial port, which are numbered from 0."""
    lines = re.findall(r"^coronel:   #(\d+) (0x\w+)$", stopped.machine.serial(), re.M)
    assert [int(number) for number, _ in lines] == list(range(len(lines)))
    return [stopped.gdb.console(f"info symbol {address}").split(" +")[0] for _, address in lines]


def test_a_fault_of_the_kernel_is_reported_with_its_callers(booted: Stopped) -> None:
    vector, error, cr2, rip = fault(booted, rip=UNMAPPED)
    assert (vector, error, cr2, rip) == (14, 0x10, UNMAPPED, UNMAPPED)
    assert "kernel_main" in "".join(backtrace(booted))
    assert booted.gdb.evaluate("frame->rip") == UNMAPPED
    assert booted.gdb.evaluate("frame->vector") == 14
    # The debugger's own unwinding passes through the stub to what failed.
    assert "report_exception" in booted.gdb.console("backtrace")


def test_an_overflow_of_the_kernel_stack_is_a_double_fault(booted: Stopped) -> None:
    vector, error, cr2, _ = fault(booted, rsp=STACK_GUARD.start + 64)
    assert (vector, error) == (8, 0)
    assert cr2 in STACK_GUARD
    # On its own stack, from where the chain of the broken one is still found.
    assert booted.gdb.evaluate("$rsp") not in STACK_GUARD
    assert "kernel_main" in "".join(backtrace(booted))


@pytest.mark.parametrize(
    "rbp", [0, 1, 0x41414141, 0xFFFF_FFFF_8033_5FF9, 0xFFFF_FFFF_8033_6000, (1 << 64) - 8]
)
def test_a_broken_chain_ends_the_backtrace(rbp: int) -> None:
    with at_checkpoint(1, "scenario=boot") as stopped:
        assert fault(stopped, rbp=rbp, rip=UNMAPPED)[0] == 14
        assert backtrace(stopped) == []


def test_smep_keeps_the_kernel_from_running_user_code(in_system_call: Stopped) -> None:
    assert in_system_call.gdb.evaluate("$cr4") & (SMEP | SMAP) == SMEP | SMAP
    assert fault(in_system_call, rip=USER_CODE) == (14, 0x11, USER_CODE, USER_CODE)
    assert "coronel::run_processes" in "".join(backtrace(in_system_call))


def test_smap_keeps_the_kernel_from_reading_user_memory(in_system_call: Stopped) -> None:
    evaluate = in_system_call.gdb.evaluate
    target = evaluate("(unsigned long)&g_seeded_fault")
    vector, error, cr2, _ = fault(
        in_system_call, rip=evaluate("(unsigned long)&memcpy"), rdi=target, rsi=USER_CODE, rdx=8
    )
    assert (vector, error, cr2) == (14, 1, USER_CODE)


def test_an_nmi_in_ring_3_is_not_the_processs_affair(in_system_call: Stopped) -> None:
    """It comes on the stack for faults, and stops the kernel like any exception of its own."""
    gdb = in_system_call.gdb
    gdb.run_to(f"*{gdb.evaluate('caller->context.rip'):#x}", BOOT_SECONDS)
    assert gdb.evaluate("$cs") & 3 == 3
    in_system_call.machine.monitor("nmi")
    vector, error, _, rip = fault(in_system_call)
    assert (vector, error) == (2, 0)
    assert rip in range(USER_CODE, USER_CODE + 0x1000)
    assert backtrace(in_system_call) == []


def test_a_process_has_no_flag_of_its_own_in_the_kernel(in_system_call: Stopped) -> None:
    """docs/spec.md 13.1: interrupts, trap, direction, alignment check are off in ring 0."""
    found = re.search(r"RFL=(\w+)", in_system_call.machine.monitor("info registers"))
    assert found
    assert int(found[1], 16) & (1 << 8 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 18) == 0
    assert in_system_call.gdb.evaluate("$cs") & 3 == 0
