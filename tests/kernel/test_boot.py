"""Boot by `-kernel` and by GRUB, with little RAM and much: every frame is somebody's."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF, ROOT
from lab.programs import modules
from lab.stopped import BOOT_SECONDS, at_checkpoint

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PAGE = 4096
KERNEL_BASE = 0xFFFF_FFFF_8000_0000
WINDOW = 0xFFFF_FFFF_BFE0_0000
IMAGE_START = MIB
# What QEMU's firmware keeps of the RAM: [640 KiB, 1 MiB), and tables at the end of low memory.
FIRMWARE_MOST = 1 * MIB

Ranges = list[tuple[int, int]]


def ranges(gdb: Gdb, count: str, array: str) -> Ranges:
    """An array of pairs of addresses, of which the first `count` are in use."""
    return [
        (
            gdb.evaluate(f"((unsigned long *)&{array}[{i}])[0]"),
            gdb.evaluate(f"((unsigned long *)&{array}[{i}])[1]"),
        )
        for i in range(gdb.evaluate(count))
    ]


def without(wholes: Ranges, start: int, end: int) -> Ranges:
    """The ranges less [start, end)."""
    pieces = [piece for low, high in wholes for piece in ((low, min(high, start)), (max(low, end), high))]
    return [(low, high) for low, high in pieces if low < high]


def table_frames(info_tlb: str) -> int:
    """How many frames the kernel's tables take, by QEMU's list of what they map.

    No table is empty after boot; the table of the windows is no frame but part of the image.
    """
    pages = [int(line.split(":")[0], 16) for line in info_tlb.splitlines()]
    small = [
        page
        for page, line in zip(pages, info_tlb.splitlines(), strict=True)
        if line.split()[2][2] != "P" and page < WINDOW
    ]
    return sum(len({page >> shift for page in chosen}) for shift, chosen in ((21, small), (30, pages))) + 2


def check_every_frame(gdb: Gdb, machine: Machine, ram_bytes: int) -> None:
    ram = ranges(gdb, "memory::g_memory_map.ram_.count_", "memory::g_memory_map.ram_.ranges_")
    reserved = ranges(gdb, "memory::g_memory_map.reserved_.count_", "memory::g_memory_map.reserved_.ranges_")
    managed = ranges(gdb, "g_physical_manager->range_count_", "g_physical_manager->ranges_")
    assert 0 <= ram_bytes - sum(end - start for start, end in ram) < FIRMWARE_MOST

    placement_end = -(-gdb.evaluate("(unsigned long)__placement") // PAGE) * PAGE
    expected = without(without(ram, 0, IMAGE_START), IMAGE_START, placement_end)
    for start, end in reserved:
        expected = without(expected, start, end)
    assert managed == sorted(expected, reverse=True)

    frames = sum(end - start for start, end in managed) // PAGE
    free = gdb.evaluate("g_physical_manager->free_count_")
    assert frames == free + table_frames(machine.monitor("info tlb"))
    assert f"coronel: ready, {free} frames free\n" in machine.serial()


@pytest.mark.parametrize("size", ["32M", "128M", "512M", "2G", "6G", "8G", "64G"])
def test_every_frame_is_accounted_for(size: str) -> None:
    """6 GiB and more lie around the hole below 4 GiB in which the devices are."""
    sparse = [
        "-object", f"memory-backend-ram,id=ram,size={size},reserve=off",
        "-machine", "memory-backend=ram",
    ]  # fmt: skip
    with at_checkpoint(1, "scenario=boot", memory=size, extra=sparse) as stopped:
        ram_bytes = int(size[:-1]) * {"M": MIB, "G": GIB}[size[-1]]
        check_every_frame(stopped.gdb, stopped.machine, ram_bytes)
        if ram_bytes > 4 * GIB:
            holes = stopped.gdb.evaluate("memory::g_memory_map.ram_.count_")
            assert holes > 2
            assert stopped.gdb.evaluate("g_physical_manager->physical_end_") > ram_bytes


def test_modules_stay_out_of_the_free_list(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"m" * (3 * MIB + 17))
    extra = ["-initrd", f"{big} first module,{big} second"]
    with at_checkpoint(1, "scenario=boot,mixed", extra=extra) as stopped:
        check_every_frame(stopped.gdb, stopped.machine, 128 * MIB)
        reserved = ranges(
            stopped.gdb, "memory::g_memory_map.reserved_.count_", "memory::g_memory_map.reserved_.ranges_"
        )
        assert sum(end - start for start, end in reserved) >= 6 * MIB
        # After some work the modules are as they were.
        stopped.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        start, end = max(reserved, key=lambda found: found[1] - found[0])
        dump = stopped.machine.directory / "modules"
        stopped.machine.monitor(f'pmemsave {start:#x} {end - start} "{dump}"')
        assert dump.read_bytes().count(b"m" * (3 * MIB + 17)) == 2


@pytest.mark.parametrize("size", ["2M", "3M"])
def test_too_little_ram_stops_with_one_line(size: str) -> None:
    with Machine(BOOT_ELF, "scenario=boot", memory=size) as machine:
        log = machine.wait_for_serial("available\n")
        assert re.fullmatch(r"coronel: out of memory at boot: \d+ bytes needed, \d+ available\n", log)
        assert "HLT=1" in machine.monitor("info registers")


def test_without_a_memory_map_the_size_counts() -> None:
    """GDB takes the map away before the kernel looks (docs/spec.md §4.1)."""
    with paused_before_the_map_is_read() as (machine, gdb):
        gdb.run("set var ((multiboot_info *)info)->flags &= ~0x40")
        kibibytes = gdb.evaluate("((multiboot_info *)info)->mem_upper")
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        ram = ranges(gdb, "memory::g_memory_map.ram_.count_", "memory::g_memory_map.ram_.ranges_")
        assert ram == [(MIB, MIB + kibibytes * KIB)]
        check_every_frame(gdb, machine, 127 * MIB)


def test_without_memory_information_it_stops() -> None:
    with paused_before_the_map_is_read() as (machine, gdb):
        gdb.run("set var ((multiboot_info *)info)->flags &= ~0x41")
        gdb.resume()
        log = machine.wait_for_serial("\n")
        assert log == "coronel: no memory information from the boot loader\n"


@contextmanager
def paused_before_the_map_is_read() -> Iterator[tuple[Machine, Gdb]]:
    with Machine(BOOT_ELF, "scenario=boot", paused=True) as machine, Gdb(script=GDB_SCRIPT) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("memory::require_ram_for_image", BOOT_SECONDS)
        yield machine, gdb


def test_boot_by_grub_from_a_cd(tmp_path: Path) -> None:
    """The same checkpoints as by `-kernel`, with command line and modules."""
    append = "scenario=boot,mixed,processes seed=3 ops=200"
    programs = ["leave", "fault null"]
    iso = tmp_path / "coronel.iso"
    subprocess.run(
        [
            "make", "-s", "-C", str(ROOT / "qemu" / "kernel"), "iso", f"BUILD={KERNEL_ELF.parent}",
            f"ISO={iso}", f"APPEND={append}", f"MODULES={','.join(programs)}",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=100,
    )  # fmt: skip
    with (
        Machine(paused=True, extra=["-cdrom", str(iso)]) as machine,
        Gdb(script=GDB_SCRIPT) as gdb,
    ):
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        check_every_frame(gdb, machine, 128 * MIB)
        gdb.resume()
        by_grub = machine.wait_for_serial("coronel: done\n")
    with Machine(BOOT_ELF, append, extra=modules(programs)) as machine:
        by_kernel = machine.wait_for_serial("coronel: done\n")
    # The boot loaders take different memory: only the numbers of frames differ.
    assert [re.sub(r"\d+ (frames free|after)", "N", line) for line in by_grub.splitlines()] == [
        re.sub(r"\d+ (frames free|after)", "N", line) for line in by_kernel.splitlines()
    ]
