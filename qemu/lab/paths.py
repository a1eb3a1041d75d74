"""Where the checkout keeps what the laboratory needs; `make kernel` makes the kernel's files."""

from pathlib import Path

import coronel_gdb

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(coronel_gdb.__file__).resolve().parents[1]
"""The folder with `coronel_gdb` and `model`: the checkout, or where they are installed (`make release`)."""
KERNEL_ELF = ROOT / "build" / "kernel" / "coronel.elf"
"""The kernel with its DWARF, for a debugger."""
BOOT_ELF = ROOT / "build" / "kernel" / "coronel.boot.elf"
"""The same image as a 32-bit ELF, the only kind `qemu -kernel` boots by multiboot 1."""
OLDER_ELF = ROOT / "build" / "older" / "coronel-older.elf"
"""The kernel of qemu/kernels/older with its DWARF."""
OLDER_BOOT_ELF = ROOT / "build" / "older" / "coronel-older.boot.elf"
GDB_SCRIPT = (ROOT if PACKAGES == ROOT else PACKAGES / "coronel_gdb") / "gdbinit.py"
LLDB_SCRIPT = PACKAGES / "coronel_gdb" / "lldbinit.py"
