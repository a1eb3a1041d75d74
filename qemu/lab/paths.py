"""Where the checkout keeps what the laboratory needs; `make kernel` makes the first two."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNEL_ELF = ROOT / "build" / "kernel" / "coronel.elf"
"""The kernel with its DWARF, for a debugger."""
BOOT_ELF = ROOT / "build" / "kernel" / "coronel.boot.elf"
"""The same image as a 32-bit ELF, the only kind `qemu -kernel` boots by multiboot 1."""
OLDER_ELF = ROOT / "build" / "older" / "coronel-older.elf"
"""The kernel of qemu/kernels/older with its DWARF."""
OLDER_BOOT_ELF = ROOT / "build" / "older" / "coronel-older.boot.elf"
GDB_SCRIPT = ROOT / "gdbinit.py"
LLDB_SCRIPT = ROOT / "coronel_gdb" / "lldbinit.py"
