"""The registers of a stopped CPU, as the walk and the accesses of the model take them."""

from dataclasses import replace

import pytest

from coronel_gdb.errors import TargetError
from coronel_gdb.lift.cpu import Cpu
from model.cpu_state import CpuState
from model.paging import PagingMode

LONG = Cpu(cr0=0x8001_0033, cr3=0x1234_5FFF, cr4=1 << 5 | 1 << 20, efer=0xD00)


def test_a_cpu_in_long_mode() -> None:
    assert (LONG.mode, LONG.root) == ("4-level", 0x1234_5000)
    assert LONG.paging() == PagingMode(levels=4, physical_bits=52, nx_enabled=True)
    narrow = replace(LONG, physical_bits=40)
    found = narrow.state(rflags=1 << 18, pkru=5, pkrs=6, huge_pages=False)
    mode = PagingMode(levels=4, physical_bits=40, nx_enabled=True, huge_pages=False)
    assert found == CpuState(mode, wp=True, smep=True, ac=True, pkru=5, pkrs=6)


def test_five_levels() -> None:
    assert Cpu(LONG.cr0, 0, LONG.cr4 | 1 << 12, LONG.efer).paging().levels == 5


@pytest.mark.parametrize(
    ("cpu", "mode"),
    [
        (Cpu(0x10, 0, 0, 0), "paging off, real mode"),
        (Cpu(0x11, 0, 0, 0), "paging off, protected mode"),
        (Cpu(0x8000_0011, 0, 0, 0), "32-bit"),
        (Cpu(0x8000_0011, 0, 1 << 5, 0), "PAE (32-bit)"),
    ],
)
def test_what_is_not_walked_is_named(cpu: Cpu, mode: str) -> None:
    assert cpu.mode == mode
    for ask in (cpu.paging, cpu.state):
        with pytest.raises(TargetError, match="no 64-bit paging yet") as caught:
            ask()
        assert mode in str(caught.value)
