"""The CPUs' registers, from the notes that QEMU puts into a dump (QEMU: target/i386/arch_dump.c).

A note of owner "QEMU", type 0, holds `QEMUCPUState` of version 1: 18 general registers from offset 8, ten
segments of 24 bytes from 152, cr0…cr4 at 392, kernel_gs_base at 432 in newer versions. There is no EFER.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_GENERAL = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rip", "eflags",
)  # fmt: skip
_SEGMENTS = ("cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr", "gdt", "idt")
_SEGMENTS_AT, _SEGMENT_BYTES, _CONTROL_AT, _LEAST_BYTES = 152, 24, 392, 432
_LONG_CODE = 1 << 21  # L of a code segment's descriptor, SDM vol. 3A §3.4.5
_MOST_CPUS = 1024

_CR0_PG, _CR4_PAE = 1 << 31, 1 << 5
_EFER_LME, _EFER_LMA, _EFER_NXE = 1 << 8, 1 << 10, 1 << 11


@dataclass(frozen=True, slots=True)
class CpuState:
    """The registers of one CPU by GDB's names; `efer_from` says where `efer` is from."""

    registers: Mapping[str, int]
    efer_from: str


def notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """(owner, type, contents) of an ELF note segment; ends where the notes stop making sense."""
    at = 0
    while at + 12 <= len(data):
        name_bytes, size_bytes, kind = struct.unpack_from("<III", data, at)
        body = at + 12 + (name_bytes + 3 & ~3)
        if body + size_bytes > len(data):
            return
        yield data[at + 12 : at + 12 + name_bytes].rstrip(b"\0"), kind, data[body : body + size_bytes]
        at = body + (size_bytes + 3 & ~3)


def cpu_states(data: bytes, *, long_mode: bool) -> tuple[CpuState, ...]:
    """One state a CPU from a dump's notes; `long_mode`: the dump is marked as that of a 64-bit machine."""
    found: list[CpuState] = []
    for owner, kind, contents in notes(data):
        if owner == b"QEMU" and kind == 0 and len(contents) >= _LEAST_BYTES and len(found) < _MOST_CPUS:
            found.append(_state(contents, long_mode=long_mode))
    return tuple(found)


def _state(data: bytes, *, long_mode: bool) -> CpuState:
    values = dict(zip(_GENERAL, struct.unpack_from("<18Q", data, 8), strict=True))
    flags = {}
    for index, name in enumerate(_SEGMENTS):
        at = _SEGMENTS_AT + index * _SEGMENT_BYTES
        values[name], _, flags[name], _, base = struct.unpack_from("<IIIIQ", data, at)
        values[f"{name}_base"] = base
    controls = struct.unpack_from("<5Q", data, _CONTROL_AT)
    values |= {f"cr{number}": value for number, value in enumerate(controls)}
    if len(data) >= _LEAST_BYTES + 8:
        (values["k_gs_base"],) = struct.unpack_from("<Q", data, _LEAST_BYTES)
    # SDM vol. 3A §4.1.1: with CR0.PG and CR4.PAE set, EFER.LME decides; a 64-bit code segment proves it.
    proved = bool(flags["cs"] & _LONG_CODE)
    active = bool(values["cr0"] & _CR0_PG and values["cr4"] & _CR4_PAE and (proved or long_mode))
    # NXE: assumed on. Tables without NX bits read alike with it on or off, and with it off a kernel that
    # sets them would fault at once, because they are reserved then (SDM §4.5).
    values["efer"] = _EFER_LME | _EFER_LMA | _EFER_NXE if active else 0
    why = "CS is a 64-bit segment" if proved else "the dump is marked x86-64"
    where = f"LMA since {why}, NXE assumed" if active else "no 64-bit paging in CR0 and CR4"
    return CpuState(values, f"inferred, a dump has none: {where}")
