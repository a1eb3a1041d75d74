"""Which function an address lies in: GDB's own reading of the DWARF, for tests to compare with."""

from dataclasses import dataclass

from lab.gdbmi import Gdb


@dataclass(frozen=True)
class Function:
    """A function of the source, itself not inlined."""

    name: str
    file: str
    line: int


def function_at(gdb: Gdb, address: int) -> Function:
    """Return the function that address lies in, whatever is inlined there."""
    gdb.run(f"python b = gdb.block_for_pc({address:#x})")
    gdb.run("python while not (b.superblock.is_static or b.superblock.is_global): b = b.superblock")
    text = gdb.console("python print(b.function.symtab.filename, b.function.line, b.function.print_name)")
    file, line, name = text.split(maxsplit=2)
    return Function(name.strip(), file, int(line))
