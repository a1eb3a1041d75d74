"""What an address of the kernel's half is: area, object, node, record, block (docs/spec.md §2, §9)."""

from collections.abc import Callable, Iterator

from coronel_gdb.commands.roles.blocks import block_role
from coronel_gdb.commands.roles.role import Role, field_at
from coronel_gdb.commands.roles.traced import Traced
from coronel_gdb.commands.schemes.table import other_roles
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError, NotInitialised
from coronel_gdb.lift.all_spaces import who
from coronel_gdb.lift.kernel_image import KernelImage
from coronel_gdb.lift.regions import lift_list
from coronel_gdb.lift.schemes import read_any_heap
from coronel_gdb.profiles.schema import ListProfile
from coronel_gdb.report import Absent
from model import layouts
from model.address_space import DEVICE_BASE, STACK_END, STACK_GUARD, STACK_START, WINDOW_BASE, WINDOW_END
from model.layouts import Layout
from model.types import PAGE_BYTES, VirtualAddress

_SLOTS = ("walk", "fresh table", "source", "target", *(f"table of level {n} being freed" for n in range(4)))
_OBJECTS = {"frame manager": "physical manager", "virtual manager": "kernel virtual manager"}
_MOST_SPARE = 1 << 17  # §6.1


class KernelRoles:
    """Asks every structure of the kernel; what cannot be looked at is noted in the survey."""

    def __init__(self, survey: Survey, traced: Traced, image: KernelImage | None) -> None:
        self._survey = survey
        self._traced = traced
        self._image = image
        profile = survey.context.profile
        self._profile = profile
        declared = {layout.name: layout for layout in layouts.ALL}
        self._layouts = profile.structures if profile.structures is not None else declared

    def layout(self, name: str) -> Layout | None:
        """A structure of the kernel's by its name."""
        return self._layouts.get(name)

    def at(self, address: int) -> Iterator[Role]:
        """Everything that the address is, the innermost last."""
        asked: tuple[tuple[str, str, Callable[[int], Iterator[Role]]], ...] = (
            ("areas of the kernel", "", self._area),
            ("regions", "regions", self._region),
            ("kernel heap", "heap", self._block),
            ("managers", "", self._manager),
            ("frame nodes", "frames", self._frame_node),
            ("region nodes", "regions", self._region_node),
            ("processes", "", self._process),
            ("trace", "", self._record),
        )
        for noun, section, ask in asked:
            if section in self._profile.lacks:
                continue
            try:
                other = other_roles(self._survey, section, address)
                yield from ask(address) if other is None else other
            except NotInitialised:
                continue  # what does not exist yet, the address is not
            except CoronelError as error:
                self._survey.absent.append(Absent(noun, str(error)))

    def _area(self, address: int) -> Iterator[Role]:
        """The row of §2; of the stack and the windows, what part of it."""
        if self._image is None:
            return
        for zone in self._image.areas:
            if zone.start <= address < zone.end:
                details: tuple[str, ...] = () if zone.rights else ("never mapped",)
                if STACK_START <= address < STACK_END:
                    details = (f"{STACK_END - address:,} bytes below its top",)
                elif STACK_GUARD <= address < STACK_START:
                    details += ("an access here is an overflow of the kernel stack",)
                elif address >= DEVICE_BASE:
                    details += ("mapped by mapio",) if zone.rights else ()
                yield Role(zone.name, zone.start, address - zone.start, details)
        if WINDOW_BASE <= address < WINDOW_END:
            slot = (address - WINDOW_BASE) // PAGE_BYTES
            start = WINDOW_BASE + slot * PAGE_BYTES
            use = f"of CPU {slot // 8}: {_SLOTS[slot % 8]} (docs/spec.md §5.1)"
            yield Role(f"window {slot}", start, address - start, (use,))

    def _region(self, address: int) -> Iterator[Role]:
        regions = self._survey.regions
        manager = regions.manager
        if not manager.start <= address < manager.end:
            return
        self._unlocked("regions", manager.locked)
        told = self._traced.of_region(address, manager.address)
        for region in regions.regions:
            if region.start <= address < region.start + region.size_bytes:
                details = (f"{region.size_bytes:,} bytes", f"node {region.node:#x}", *told)
                yield Role("free virtual region", region.start, address - region.start, details)
                return
        page = address & -PAGE_BYTES
        yield Role("virtual region in use", page, address - page, told)

    def _block(self, address: int) -> Iterator[Role]:
        profile, context = self._profile.heap, self._survey.context
        heap = read_any_heap(context.target, context.space, profile)
        if not heap.heap_start <= address < heap.heap_end:
            return
        self._unlocked("kernel heap", heap.locked)
        header = self.layout(profile.block.name)
        found = block_role(self._survey.heap, profile, header, address, self._traced.of_block)
        if found:
            yield found

    def _manager(self, address: int) -> Iterator[Role]:
        space = self._survey.context.space
        for noun, section, structure in self._profile.managers():
            variable = self._survey.context.target.symbol(section.symbol)
            if variable is None:
                continue
            start = variable if section.is_object else space.read_u64(variable)
            if start and start <= address < start + structure.size_bytes:
                field = field_at(self.layout(structure.name), address - start)
                name = section.symbol if section.is_object else f"*{section.symbol}"
                what = f"object of the {_OBJECTS.get(noun, noun)} ({field})"
                yield Role(what, start, address - start, (name,))

    def _frame_node(self, address: int) -> Iterator[Role]:
        manager, size = self._survey.frames.manager, self._profile.frames.node.size_bytes
        if not manager.node_count:
            yield from self._placed_node(address, size)
        if not manager.nodes <= address < manager.nodes + manager.node_count * size:
            return
        self._unlocked("frame nodes", manager.locked)
        index = (address - manager.nodes) // size
        start, frame = manager.nodes + index * size, index * PAGE_BYTES
        values = self._profile.frames.node.decode(
            self._survey.context.space.read(VirtualAddress(start), size)
        )
        state = "in the list" if values["address"] else "in use, or not managed"
        if values["address"] and self._survey.frames.free_between(frame, frame + PAGE_BYTES) == 0:
            state = "free by its address, but not in the list"
        field = field_at(self.layout(self._profile.frames.node.name), address - start)
        details = (state, f"next {values['previous']:#x}", *self._traced.of_frame(frame))
        yield Role(f"node of frame {frame:#x} ({field})", start, address - start, details)

    def _placed_node(self, address: int, size: int) -> Iterator[Role]:
        """A node that lies anywhere: of a free frame, or it is none any more."""
        self._unlocked("frame nodes", self._survey.frames.manager.locked)
        for node in self._survey.frames.nodes:
            if node.node <= address < node.node + size:
                field = field_at(self.layout(self._profile.frames.node.name), address - node.node)
                what = f"node of free frame {node.address:#x} ({field})"
                yield Role(what, node.node, address - node.node, (f"next {node.previous:#x}",))

    def _region_node(self, address: int) -> Iterator[Role]:
        profile, size = self._profile.regions, self._profile.regions.node.size_bytes
        layout, space = self.layout(profile.node.name), self._survey.context.space
        listed = [("kernel virtual manager", self._survey.regions)]
        listed += [
            (f"mmap of {who(process)}", lift_list(process.memory.mmap, space, profile.node))
            for process in self._survey.listed.processes
        ]
        for owner, lifted in listed:
            for region in lifted.regions:
                if region.node <= address < region.node + size:
                    what = f"node of a free region of the {owner} ({field_at(layout, address - region.node)})"
                    details = (f"region {region.start:#x}, {region.size_bytes:,} bytes",)
                    yield Role(what, region.node, address - region.node, details)
        for node in self._spare(profile):
            if node <= address < node + size:
                what = f"unused region node in the pool ({field_at(layout, address - node)})"
                yield Role(what, node, address - node)

    def _spare(self, profile: ListProfile) -> Iterator[int]:
        """The pool of unused nodes (§6.2), bounded; what cannot be read ends it."""
        seen: set[int] = set()
        at = int(self._survey.regions.manager.spare)
        while at and at not in seen and len(seen) < _MOST_SPARE:
            yield at
            seen.add(at)
            data = self._survey.context.space.read(VirtualAddress(at), profile.node.size_bytes)
            at = profile.node.decode(data)["next"]

    def _process(self, address: int) -> Iterator[Role]:
        profile = self._profile.processes
        if profile is None:
            return
        for process in self._survey.listed.processes:
            offset = address - process.address
            if 0 <= offset < profile.process.size_bytes:
                field = field_at(self.layout(profile.process.name), offset)
                yield Role(f"object of {who(process)} ({field})", process.address, offset)

    def _record(self, address: int) -> Iterator[Role]:
        trace = self._traced.trace
        size = layouts.TRACE_RECORD_BYTES
        if trace is None or not trace.address <= address < trace.address + trace.capacity * size:
            return
        slot = (address - trace.address) // size
        start = trace.address + slot * size
        field = field_at(self.layout(layouts.TRACE_RECORD.name), address - start)
        yield Role(
            f"trace record in slot {slot} ({field})", start, address - start, self._traced.of_slot(slot)
        )

    def _unlocked(self, noun: str, locked: int) -> None:
        if locked:
            why = "its lock is held, so an operation is under way: `finish` it and ask again"
            self._survey.absent.append(Absent(noun, why))
