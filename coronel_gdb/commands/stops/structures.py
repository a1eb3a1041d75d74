"""Two stops structure by structure: what each has, and which fields are others now."""

from collections.abc import Iterator
from dataclasses import dataclass

from coronel_gdb.commands.roles.role import field_at
from coronel_gdb.commands.stops.side import Side
from coronel_gdb.errors import CoronelError, KernelError, ReadFault
from coronel_gdb.lift.all_spaces import who
from coronel_gdb.lift.pointer import pointer
from coronel_gdb.lift.regions import lift_list
from coronel_gdb.profiles.schema import Structure
from coronel_gdb.report import Absent, Table
from model import layouts
from model.layouts import Layout
from model.page_entry import ACCESSED, DIRTY
from model.types import PhysicalAddress, VirtualAddress

Key = tuple[str, int]
_MOST_ROWS = 200
_NODES, _NODES_AT_ONCE = "frame nodes", 4096  # of the array: a machine of gigabytes has millions
_RUNS_ON = ("context.", "state", "exit_code")
"""Fields of a process that change because it runs, by no allocator's operation."""
_IGNORED = {"memory::heap_block": ("padding",)}


@dataclass(frozen=True, slots=True)
class Change:
    """One structure that differs: bytes before and now, None where it was not or is no more."""

    noun: str
    address: int
    before: bytes | None
    after: bytes | None
    fields: tuple[tuple[str, int, int], ...] = ()
    """Name, value before, value now."""

    @property
    def kind(self) -> str:
        """In a word."""
        return "new" if self.before is None else "gone" if self.after is None else "changed"


class Structures:
    """Every structure of a stop by its noun and address, as bytes; what cannot be read is noted."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self.found: dict[Key, bytes] = {}
        self.layouts: dict[str, Layout | None] = {}
        self.absent: list[Absent] = []
        profile = side.context.profile
        declared = {layout.name: layout for layout in layouts.ALL}
        self._layouts = profile.structures if profile.structures is not None else declared
        for noun, gather in (
            ("managers", self._managers),
            ("block headers", self._headers),
            ("region nodes", self._region_nodes),
            ("frame nodes", self._frame_nodes),
            ("processes", self._processes),
            ("page tables", self._tables),
        ):
            try:
                for name, address, data, structure in gather():
                    self.found[name, address] = data
                    self.layouts[name] = self._layouts.get(structure)
            except CoronelError as error:
                self.absent.append(Absent(f"{noun} of {side.name}", str(error)))

    def _managers(self) -> Iterator[tuple[str, int, bytes, str]]:
        context, profile = self._side.context, self._side.context.profile
        for noun, symbol, structure in (
            ("heap object", profile.heap.pointer, profile.heap.heap),
            ("frame manager", profile.frames.pointer, profile.frames.manager),
            ("region manager", profile.regions.pointer, profile.regions.manager),
        ):
            address = pointer(context.target, context.space, symbol, noun)
            yield noun, address, context.space.read(address, structure.size_bytes), structure.name
        for name, address in self._side.fixed():
            size = layouts.TRACE.member("next_").offset_bytes if name == profile.trace else 8
            yield f"variable {name}", address, context.space.read(address, size), ""

    def _headers(self) -> Iterator[tuple[str, int, bytes, str]]:
        survey, profile = self._side.survey, self._side.context.profile.heap
        size = profile.rules.header_bytes
        for block in survey.heap.all_blocks(profile):
            data = survey.heap.image.bytes_at(block.address, size)
            if data is not None:
                yield "block header", block.address, data, profile.block.name

    def _region_nodes(self) -> Iterator[tuple[str, int, bytes, str]]:
        profile, survey = self._side.context.profile.regions, self._side.survey
        nodes = [("region node", region.node) for region in survey.regions.regions]
        nodes += [("spare region node", node) for node in self._side.spare_nodes()]
        for process in survey.listed.processes:
            listed = lift_list(process.memory.mmap, self._side.context.space, profile.node)
            nodes += [(f"mmap node of {who(process)}", region.node) for region in listed.regions]
        for noun, node in nodes:
            yield self._read(noun, node, profile.node)

    def _frame_nodes(self) -> Iterator[tuple[str, int, bytes, str]]:
        lifted, node = self._side.survey.frames, self._side.context.profile.frames.node
        if not lifted.manager.node_count:  # no array: nodes that were placed one by one
            yield from (self._read("node of a free frame", each.node, node) for each in lifted.nodes)
            return
        chunk = lifted.image.chunk(lifted.manager.nodes)
        if chunk is None:
            raise ReadFault("virtual", lifted.manager.nodes, node.size_bytes, "not readable")
        start, data = chunk
        step = node.size_bytes * _NODES_AT_ONCE
        for at in range(0, len(data), step):
            yield _NODES, start + at, data[at : at + step], node.name

    def _processes(self) -> Iterator[tuple[str, int, bytes, str]]:
        profile = self._side.context.profile.processes
        if "processes" in self._side.context.profile.lacks:
            return
        if profile is None:
            raise KernelError(self._side.context.profile.no_processes)
        for process in self._side.survey.listed.processes:
            yield self._read(f"object of {who(process)}", process.address, profile.process)

    def _tables(self) -> Iterator[tuple[str, int, bytes, str]]:
        space = self._side.context.space
        for walked in self._side.survey.spaces.all:
            for table in walked.tables:
                data = space.table(PhysicalAddress(table.address))
                if data is not None:
                    yield "page table", table.address, data, ""

    def _read(self, noun: str, address: int, structure: Structure) -> tuple[str, int, bytes, str]:
        data = self._side.context.space.read(VirtualAddress(address), structure.size_bytes)
        return noun, address, data, structure.name


def changes(before: Structures, after: Structures) -> Iterator[Change]:
    """What differs, the managers first; bits that the CPU sets in page tables take no part."""
    for key in before.found | after.found:
        noun, address = key
        was, now = before.found.get(key), after.found.get(key)
        if was == now:
            continue
        if noun == _NODES and was is not None and now is not None:
            yield from _nodes(address, was, now, after.layouts[noun])
            continue
        fields: tuple[tuple[str, int, int], ...] = ()
        if was is not None and now is not None:
            layout = after.layouts[noun]
            fields = tuple(_fields(noun, layout, was, now))
            if not fields:
                continue
        yield Change(noun, address, was, now, fields)


def _nodes(address: int, was: bytes, now: bytes, layout: Layout | None) -> Iterator[Change]:
    """The nodes that differ in a stretch of the array."""
    size = layout.size_bytes if layout is not None else layouts.FRAME.size_bytes
    for at in range(0, max(len(was), len(now)), size):
        old, new = was[at : at + size], now[at : at + size]
        if old != new:
            fields = tuple(_fields("frame node", layout, old, new)) if len(old) == len(new) else ()
            yield Change("frame node", address + at, old or None, new or None, fields)


def _fields(noun: str, layout: Layout | None, was: bytes, now: bytes) -> Iterator[tuple[str, int, int]]:
    if layout is None:
        mask = ~(ACCESSED | DIRTY) if noun == "page table" else -1
        for at in range(0, len(now), 8):
            old, new = (int.from_bytes(data[at : at + 8], "little") for data in (was, now))
            if (old ^ new) & mask:
                yield (f"[{at // 8}]" if len(now) > 8 else "value"), old, new
        return
    for member in layout.members:
        if member.name.startswith(_RUNS_ON) or member.name in _IGNORED.get(layout.name, ()):
            continue
        for at in range(member.offset_bytes, member.end_bytes, member.size_bytes):
            old, new = (int.from_bytes(data[at : at + member.size_bytes], "little") for data in (was, now))
            if old != new:
                yield field_at(layout, at), old, new


def counted(found: list[Change]) -> str:
    """How many of which kind: `12 block headers changed, 3 new`."""
    nouns: dict[str, dict[str, int]] = {}
    for change in found:
        kinds = nouns.setdefault(change.noun, {})
        kinds[change.kind] = kinds.get(change.kind, 0) + 1
    return "; ".join(
        f"{noun}: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
        for noun, kinds in nouns.items()
    )


def table(found: list[Change]) -> Table:
    """One row a structure, the first of its fields with values."""
    rows = [
        (
            change.noun,
            change.address,
            change.kind,
            ", ".join(f"{name} {old:#x} -> {new:#x}" for name, old, new in change.fields[:4])
            + (f" and {len(change.fields) - 4} more" if len(change.fields) > 4 else ""),
        )
        for change in found[:_MOST_ROWS]
    ]
    return Table("changes", ("structure", "at", "change", "fields"), rows, frozenset({"at"}))
