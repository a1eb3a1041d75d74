"""Which format a dump has: by what it holds, never by its name."""

from collections.abc import Sequence
from pathlib import Path

from coronel_gdb.dumps import elf_core, flattened, kdump, raw, small
from coronel_gdb.dumps.dump import Dump
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.dumps.source import FileSource, Source
from coronel_gdb.errors import DumpError

HEAD_BYTES = 16
# What users try as well, and what to do instead.
_OTHERS = (
    (b"PAGEDU64", "a Windows crash dump; `dump-guest-memory` without -w writes one that can be read"),
    (b"PAGEDUMP", "a Windows crash dump; `dump-guest-memory` without -w writes one that can be read"),
    (b"DISKDUMP", "an old diskdump; `makedumpfile` can convert it"),
    (b"QEVM", "a migration stream of QEMU; `dump-guest-memory` writes a dump that can be read"),
    (b"LibvirtQemudSave", "a saved guest of libvirt; `virsh dump --memory-only` writes what can be read"),
    (b"QFI\xfb", "a disk image (qcow2), not memory"),
    (b"EMiL", "a LiME image in its own format; LiME's format=raw can be read"),
    (b"\x1f\x8b", "compressed with gzip: `gunzip` it first"),
    (b"\xfd7zXZ", "compressed with xz: `unxz` it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: `unzstd` it first"),
    (b"BZh", "compressed with bzip2: `bunzip2` it first"),
)  # fmt: skip


def open_dump(path: Path, more: Sequence[DumpReader] = ()) -> Dump:
    """The dump in a file; `more` are readers of other formats.

    `DumpError` says what the file is instead, or what is wrong with it.
    """
    if path.is_dir():
        raise DumpError(f"{path} is a directory, not a dump")
    source = FileSource(path)
    head = source.read(0, min(HEAD_BYTES, source.size_bytes))
    for reader in (*READERS, *more):
        if head.startswith(reader.magic):
            return reader.open(source)
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise DumpError(f"{path} is {name}")
    return raw.open_raw(source)


def _open_flattened(source: Source) -> Dump:
    inner = flattened.Flattened(source)
    head = inner.read(0, min(HEAD_BYTES, inner.size_bytes))
    if head.startswith(kdump.MAGIC):
        return kdump.open_kdump(inner, ", flattened")
    if head.startswith(elf_core.MAGIC):
        return elf_core.open_elf(inner)
    if not inner.complete:
        raise DumpError(f"{source.name} is truncated: its header was to come last")
    raise DumpError(f"{source.name} is a flattened file, but neither kdump nor ELF is in it")


READERS = (
    DumpReader("ELF core", elf_core.MAGIC, elf_core.open_elf),
    DumpReader("kdump", kdump.MAGIC, kdump.open_kdump),
    DumpReader("flattened", flattened.MAGIC, _open_flattened),
    DumpReader("small dump", small.MAGIC, small.open_small),
)
"""The formats that the tool reads itself; what begins with none of these may be raw memory."""
