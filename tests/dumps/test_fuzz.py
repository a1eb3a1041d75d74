"""No file, whatever it says, brings more than a `CoronelError`: nothing else raised, no hang, no waste.

`make fuzz` tries many more than the test does (CORONEL_FUZZ_EXAMPLES).
"""

from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from coronel_gdb.backends.dump_host import DumpTarget
from coronel_gdb.dumps.small import Description, write
from coronel_gdb.errors import CoronelError
from model.types import PhysicalAddress
from tests.dumps.mutations import Mutate, bounded, mutations, tries
from tests.dumps.writers import CODECS, PAGE, elf_core, flattened, kdump, kdump_head, qemu_note

_PAGED = {"cr0": 0x80010001, "cr3": 0x1000, "cr4": 0x20}


def small_dump(image: bytes) -> bytes:
    with TemporaryDirectory() as folder:
        path, kernel = Path(folder) / "small", Path(folder) / "kernel.elf"
        kernel.write_bytes(b"\x7fELF" + bytes(5000))
        said = Description(
            _PAGED | {"efer": 0xD00}, "saved", [("by", "x")], [(40, 2, "why")], 40, kernel.name, 5004
        )
        write(path, said, [(0, image[: 4 * PAGE]), (9, image[9 * PAGE :])], kernel)
        return path.read_bytes()


@cache
def seed(form: str) -> bytes:
    """A small sound file of the format."""
    notes = qemu_note(_PAGED)
    table = b"".join((0x1003 + PAGE * number).to_bytes(8, "little") for number in range(512))
    pages = {0: bytes(PAGE), 1: table, 2: table[::-1], 3: b"text" * 1024, 9: table}
    image = b"".join(pages.get(number, bytes(PAGE)) for number in range(10))
    if form in ("elf", "elf32", "elf_paging"):
        virtual = 0xFFFFFFFF80000000 if form == "elf_paging" else 0
        segments = [(virtual, 0, image[: 4 * PAGE], 5 * PAGE), (virtual + 9 * PAGE, 9 * PAGE, table, PAGE)]
        return elf_core(segments, notes, bits=32 if form == "elf32" else 64)
    if form == "small":
        return small_dump(image)
    if form == "raw":
        return image
    codec, _, shape = form.partition("_")
    data = kdump(kdump_head(remarks=notes), pages, codec, excluded={3})
    return flattened(data, 700) if shape else data


FORMS = ["small", "elf", "elf32", "elf_paging", "raw", *CODECS, *(f"{codec}_flattened" for codec in CODECS)]


def use(path: Path) -> None:
    """Everything a command does with a dump."""
    target = DumpTarget(path)
    target.facts()
    for name in ("cr3", "efer", "rip"):
        with suppress(CoronelError):
            target.register(name)
    for address in (0, PAGE - 4, 3 * PAGE, 9 * PAGE, 1 << 40, (1 << 64) - PAGE):
        with suppress(CoronelError):
            assert len(target.memory.read(PhysicalAddress(address), 2 * PAGE)) == 2 * PAGE
    with suppress(CoronelError):
        target.memory.read(PhysicalAddress(0), 64 << 20)
    target.memory.describe()


@pytest.mark.parametrize("form", FORMS)
def test_no_file_brings_more_than_a_plain_error(form: str, tmp_path: Path) -> None:
    path = tmp_path / "dump"

    @tries(0.45, len(FORMS))
    @given(mutations())
    def check(mutate: Mutate) -> None:
        path.write_bytes(mutate(seed(form)))
        with bounded():
            use(path)

    check()


@pytest.mark.parametrize("form", FORMS)
def test_the_seeds_are_sound(form: str, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(seed(form))
    target = DumpTarget(tmp_path / "dump")
    assert target.memory.read(PhysicalAddress(9 * PAGE), PAGE) == target.memory.read(
        PhysicalAddress(PAGE), PAGE
    )
    assert form == "raw" or target.register("cr3") == 0x1000
