"""Fields of structures, where docs/spec.md §10 puts them."""

import struct
from dataclasses import replace

from model import layouts
from model.address_space import KERNEL_BASE
from model.layouts import (
    FRAME,
    HEAP_BLOCK,
    NODE,
    PHYSICAL,
    VIRT,
    Layout,
    LayoutDifference,
    Member,
    differences,
)
from model.memory import VirtualMemory
from model.structure import Structure, decoder
from model.types import PhysicalAddress, VirtualAddress

HERE = VirtualAddress(KERNEL_BASE + 0x5000)


def test_fields_lie_where_the_table_says(early: VirtualMemory) -> None:
    physical = Structure(early, PHYSICAL, HERE)
    physical.set("free_count_", 7)
    physical.set("ranges_", 0xAAAA, 63)
    physical.set("range_count_", 9)
    physical.set("errors_", 5, 4)
    raw = early.physical.read(PhysicalAddress(0x5000), 608)
    assert struct.unpack_from("<Q", raw, 32) == (7,)
    assert struct.unpack_from("<QQ", raw, 544) == (0xAAAA, 9)  # §10: ranges_ ends at 552
    assert struct.unpack_from("<Q", raw, 592) == (5,)
    assert physical.get("ranges_", 63) == 0xAAAA
    assert physical.field_address("errors_") == HERE + 560


def test_add_is_modulo_2_to_the_64(early: VirtualMemory) -> None:
    virt = Structure(early, VIRT, HERE)
    virt.add("spare_count_", -1)
    assert virt.get("spare_count_") == (1 << 64) - 1
    virt.add("spare_count_", 3)
    assert virt.get("spare_count_") == 2


def test_decoders_skip_padding() -> None:
    raw = bytes(range(48))
    size, free, following, previous, magic = decoder(
        HEAP_BLOCK, "size", "is_free", "next", "prev", "magic"
    ).unpack(raw)
    assert (size, free) == (0x0706050403020100, 8)
    assert (following, previous) == (0x1716151413121110, 0x1F1E1D1C1B1A1918)
    assert magic == 0x2726252423222120
    assert decoder(FRAME, "address", "previous").unpack(raw[:16]) == struct.unpack("<QQ", raw[:16])
    assert decoder(NODE, "start", "size", "next", "prev").unpack(raw[:32]) == struct.unpack("<QQQQ", raw[:32])


def test_every_decoder_spans_its_structure() -> None:
    for layout in layouts.ALL:
        assert decoder(layout, *(member.name for member in layout.members)).size == layout.size_bytes


def test_a_layout_that_differs_says_where() -> None:
    moved = replace(NODE.member("prev"), offset_bytes=32)
    found = Layout(NODE.name, 40, (*NODE.members[:2], moved, Member("owner", 24, 8)))
    assert differences(NODE, NODE) == ()
    assert differences(NODE, None) == (LayoutDifference("virt::node", "", 32, None),)
    assert differences(NODE, found) == (
        LayoutDifference("virt::node", "", 32, 40),
        LayoutDifference("virt::node", "next", NODE.member("next"), None),
        LayoutDifference("virt::node", "prev", NODE.member("prev"), moved),
        LayoutDifference("virt::node", "owner", None, Member("owner", 24, 8)),
    )
