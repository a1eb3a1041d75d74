"""A kernel's ELF file for pyelftools, which believes what a file says: what it may cost, and how it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elftools.elf.elffile import ELFFile

from coronel_gdb.errors import CoronelError, KernelError

_READ_WHOLE = (".debug", ".eh_frame")
_MOST_BYTES = 512 << 20  # of debug information, unpacked: as much as a large kernel has


@contextmanager
def opened(path: Path) -> Iterator[ELFFile]:
    """The file, while it is read; whatever is wrong with it is a `KernelError`."""
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            _judge(elf)
            yield elf
    except CoronelError:
        raise
    except OSError as error:
        raise KernelError(f"cannot read the kernel file {path}: {error.strerror}") from error
    except Exception as error:  # pyelftools has no one class for what a damaged file can bring
        what = str(error) or type(error).__name__
        raise KernelError(f"{path} is not a usable ELF file: {what[:200]}") from error


def _judge(elf: ELFFile) -> None:
    """Before a section is unpacked: a few bytes may claim to be gigabytes."""
    total = 0
    for section in elf.iter_sections():
        if section.name.startswith(".zdebug"):
            raise KernelError(
                "its debug information is packed the old way: `objcopy --decompress-debug-sections`"
            )
        if section.name.startswith(_READ_WHOLE):
            total += section.data_size
    if total > _MOST_BYTES:
        raise KernelError(f"its debug information claims {total:,} bytes, at most {_MOST_BYTES:,} are read")
