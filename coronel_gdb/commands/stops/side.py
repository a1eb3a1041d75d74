"""One of two stops that are compared, live or kept: its structures and its trace."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from coronel_gdb.commands.command import Context
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError, KernelError, ReadFault, TargetError
from coronel_gdb.lift.boot import BootState, lift_boot
from coronel_gdb.lift.cpu import Cpu, read_cpu
from coronel_gdb.lift.heap import read_heap
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.regions import lift_list
from coronel_gdb.lift.stop import REGISTERS, Recorder, Stop, StopTarget
from coronel_gdb.lift.trace import LiftedTrace, lift_trace
from coronel_gdb.profiles.trace import ReplayProfile, resolve_replay
from model.fast.machine import FastMachine
from model.fast.materialised import headers, page_tables, region_manager
from model.layouts import TRACE
from model.replay import replay
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_MOST_SPARE = 1 << 17  # §6.1


class Side:
    """A stop and what is looked at in it."""

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.name = name
        self.survey = Survey(context)

    @cached_property
    def replaying(self) -> ReplayProfile:
        """What the profile says of trace and boot; `KernelError` when it says nothing."""
        return resolve_replay(self.context.named, self.context.target.kernel())

    @cached_property
    def trace(self) -> LiftedTrace | str:
        """The ring, or why there is none."""
        try:
            return lift_trace(self.context.target, self.context.space, self.replaying.trace)
        except CoronelError as error:
            return str(error)

    @cached_property
    def boot(self) -> BootState:
        """The state after the boot; `CoronelError` when it cannot be told."""
        trace = self.trace
        capacity = trace.capacity if isinstance(trace, LiftedTrace) else 0
        frames = self.context.profile.frames
        return lift_boot(self.context.target, self.context.space, frames, self.replaying.boot, capacity)

    def busy(self) -> str:
        """Whose lock is held; or nothing."""
        trace = self.trace
        ring = "trace" if isinstance(trace, LiftedTrace) and trace.locked else ""
        return str(self.survey.busy or ring)

    def progress(self) -> bytes:
        """What no operation leaves as it was: where the trace and the heap's counters stand."""
        context, profile = self.context, self.context.profile
        trace = context.target.symbol(profile.trace) if profile.trace else None
        heap = read_heap(context.target, context.space, profile.heap)
        counts = (heap.num_allocations, heap.num_frees, *heap.errors)
        noted = context.space.read(trace, TRACE.size_bytes) if trace is not None else b""
        return repr(counts).encode() + noted

    def fixed(self) -> Iterator[tuple[str, VirtualAddress]]:
        """Variables that never change once the kernel has booted (docs/spec.md §9): name and address."""
        profile = self.context.profile
        names = (
            profile.heap.pointer,
            profile.frames.pointer,
            profile.regions.pointer,
            profile.image.get("placement", ""),
            profile.image.get("kernel_directory", ""),
            profile.trace,
        )
        for name in names:
            address = self.context.target.symbol(name) if name else None
            if address is not None:
                yield name, address

    def spare_nodes(self) -> Iterator[VirtualAddress]:
        """The pool of unused region nodes, bounded; what cannot be read ends it."""
        node = self.context.profile.regions.node
        seen: set[int] = set()
        at = int(self.survey.regions.manager.spare)
        while at and at not in seen and len(seen) < _MOST_SPARE:
            try:
                data = self.context.space.read(VirtualAddress(at), node.size_bytes)
            except ReadFault:
                return
            seen.add(at)
            yield VirtualAddress(at)
            at = node.decode(data)["next"]


def kept_side(stop: Stop, context: Context, name: str) -> Side:
    """A kept stop, its layouts those of the kernel that is loaded; `KernelError` when that is another."""
    if stop.kernel and context.target.kernel() is None:
        raise KernelError("no kernel loaded: name the ELF file that the snapshot was taken of")
    if stop.kernel != identity(context.target.kernel()):
        raise KernelError(f"{name} was taken of another build of the kernel than the one that is loaded")
    inner = context.on(StopTarget(stop, context.target.kernel()))
    inner.cpu = _cpu(inner, stop.physical_bits)
    return Side(inner, name)


def _cpu(context: Context, physical_bits: int) -> Cpu:
    """The registers; a host without a monitor cannot tell how wide addresses are."""
    return replace(read_cpu(context.target), physical_bits=physical_bits)


def identity(kernel: Path | None) -> str:
    """What tells one build from another: the notes of its file, the build-id among them; else nothing."""
    if kernel is None:
        return ""
    from coronel_gdb.layout.symbols import SymbolFile

    file = SymbolFile(kernel)
    return hashlib.sha1(b"".join(map(file.bytes_of, file.notes)), usedforsecurity=False).hexdigest()


def take(context: Context) -> Stop:
    """Keep the stop: all that a comparison reads, of the heap's blocks the headers alone.

    `TargetError` while an operation is under way.
    """
    recorder = Recorder(context.target)
    inner = context.on(recorder)
    inner.cpu = _cpu(inner, context.cpu.physical_bits)
    profile = inner.profile
    side = Side(inner, "now")
    busy = side.busy()
    if busy:
        raise TargetError(f"an operation is under way (lock of {busy} held): `finish` it and take it then")
    survey, space = side.survey, inner.space
    _ = survey.frames, survey.spaces
    for name, address in side.fixed():
        space.read(address, TRACE.size_bytes if name == profile.trace else 8)
    for _ in side.spare_nodes():
        pass
    for process in survey.listed.processes:
        lift_list(process.memory.mmap, space, profile.regions.node)
    lifted = Survey(context).heap  # not by the recorder: the data of blocks is not kept
    wanted = {int(block.address) for block in lifted.all_blocks(profile.heap)} | _expected(side, recorder)
    pages = sorted((run.virtual, run.physical, run.size_bytes) for run in survey.spaces.kernel.runs)
    _keep_headers(recorder, lifted.image, wanted, pages, profile.heap.rules.header_bytes)
    blank = []
    for start, end in lifted.extents(profile.heap.rules):
        for virtual, physical, size in pages:
            low, high = max(virtual, start), min(virtual + size, end)
            if low < high:
                blank.append((physical + low - virtual, physical + high - virtual))
    if Side(context.on(context.target), "now").progress() != side.progress():
        raise TargetError("the guest runs, and its structures change while they are read: `stop` it first")
    return Stop(
        identity(context.target.kernel()),
        context.cpu.physical_bits,
        {name: recorder.register(name) for name in REGISTERS},
        recorder.symbols,
        recorder.runs(),
        _joined(blank),
    )


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _keep_headers(
    recorder: Recorder, image: Image, wanted: Iterable[int], pages: Sequence[tuple[int, int, int]], size: int
) -> None:
    """The headers at these addresses by their physical ones; one may lie on two pages."""
    starts = [virtual for virtual, _, _ in pages]
    for address in wanted:
        data = image.bytes_at(address, size)
        at = 0
        while data is not None and at < size:
            index = bisect_right(starts, address + at) - 1
            if index < 0:
                break  # the directory has no page that low; with damaged tables it may have none at all
            virtual, physical, length = pages[index]
            offset = address + at - virtual
            count = min(size - at, length - offset)
            if count <= 0:
                break  # not mapped in the kernel's directory
            recorder.keep(physical + offset, data[at : at + count])
            at += count


def _expected(side: Side, recorder: Recorder) -> set[int]:
    """Headers that the model expects, which damage may have hidden; its other structures are read now."""
    trace = side.trace
    try:
        boot = side.boot
    except CoronelError:
        return set()
    if not isinstance(trace, LiftedTrace) or trace.lost or trace.bad is not None:
        return set()
    machine = FastMachine.of(boot.machine, side.replaying.habits())
    replay(machine, trace.records)
    for table in page_tables(machine):
        with suppress(ReadFault):
            recorder.read(PhysicalAddress(table.address), PAGE_BYTES)
    for piece in region_manager(machine):
        with suppress(ReadFault):
            side.context.space.read(VirtualAddress(piece.address), len(piece.data))
    return {address for address, _ in headers(machine.heap)}
