"""The kernel's own trace, played on the model: both must do the same, in the same order, to the same end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab.gdbmi import Gdb
from lab.machine import Machine as Qemu
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.programs import PROGRAMS, modules
from model.events import Event, Part
from model.machine import Machine
from model.process import Process
from model.program import Program, module_line, parse
from tests.differential.kernel_side import Kernel, Record

RING = 1 << 16

# docs/spec.md §12.3: operation → number.
NUMBERS: Mapping[tuple[Part, str], int] = {
    (Part.PHYSICAL, "alloc"): 1,
    (Part.PHYSICAL, "free"): 2,
    (Part.VIRT, "alloc"): 3,
    (Part.VIRT, "alloc_at"): 4,
    (Part.VIRT, "free"): 5,
    (Part.PAGING, "map"): 6,
    (Part.PAGING, "unmap"): 7,
    (Part.HEAP, "malloc"): 8,
    (Part.HEAP, "free"): 9,
    (Part.HEAP, "realloc"): 10,
    (Part.HEAP, "calloc"): 11,
    (Part.HEAP, "aligned_alloc"): 12,
    (Part.PROCESS, "create"): 14,
    (Part.PROCESS, "destroy"): 15,
    **{
        (Part.SYSTEM_CALL, f"sys_{name}"): number
        for number, name in enumerate(("malloc", "free", "realloc", "calloc", "brk", "mmap", "munmap"), 16)
    },
    (Part.PROCESS, "grow_stack"): 23,
}
ARGUMENTS = {1: 0, 3: 1, 4: 2, 5: 2, 6: 3, 7: 2, 10: 2, 11: 2, 12: 2, 18: 2, 19: 2, 21: 3, 22: 2}
"""How many arguments of a record say what is done; one, if it is not here. A manager's address is none."""
VOID = (2, 5, 9, 15)
CREATE, DESTROY, GROW_STACK = 14, 15, 23


def essence(operation: int, arguments: tuple[int, ...], result: int) -> tuple[int, ...]:
    """What of a record or an event is compared."""
    return (operation, *arguments[: ARGUMENTS.get(operation, 1)], 0 if operation in VOID else result)


@dataclass
class Replay:
    """A kernel, and the model that follows it; `lines` are the modules whose processes are yet to be made."""

    kernel: Kernel
    model: Machine
    events: list[Event]
    lines: list[str]
    played: int = 0
    calls: dict[int, int] = field(default_factory=dict)

    def follow(self) -> None:
        """Play every record that is new, and compare all that model and kernel did meanwhile."""
        records = self.kernel.trace()
        start = len(self.essences())
        assert start == self.played
        for record in records[self.played :]:
            if record.depth == 0:
                self.play(record)
        self.played = len(records)
        theirs = [essence(record.operation, record.arguments, record.result) for record in records[start:]]
        ours = self.essences()[start:]
        differ = [index for index, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]]
        assert not differ, (differ[0], ours[differ[0]], theirs[differ[0]])
        assert len(ours) == len(theirs)
        assert self.lines_printed() == self.kernels_lines()

    def essences(self) -> list[tuple[int, ...]]:
        return [
            essence(NUMBERS[event.part, event.operation], event.arguments, event.result)
            for event in self.events
            if (event.part, event.operation) in NUMBERS
        ]

    def lines_printed(self) -> list[str]:
        return [event.line for event in self.events if event.line]

    def kernels_lines(self) -> list[str]:
        parts = tuple(f"coronel: {part}: " for part in Part)
        return [line for line in self.kernel.qemu.serial().splitlines() if line.startswith(parts)]

    def play(self, record: Record) -> None:
        """Do what a record of depth 0 says; what it says of frames and pages belongs to a creation."""
        operation, arguments = record.operation, record.arguments
        self.calls[operation] = self.calls.get(operation, 0) + 1
        if operation == NUMBERS[Part.HEAP, "malloc"]:
            self.model.kalloc(arguments[0])
        elif operation == NUMBERS[Part.HEAP, "free"]:
            self.model.kfree(arguments[0])
        elif operation == CREATE:
            program, name, rest = program_of(self.lines.pop(0))
            self.model.processes.create(program, name, rest)
        elif operation == DESTROY:
            # A creation that failed has undone itself in the model already.
            for process in [found for found in self.model.processes if found.pid == arguments[0]]:
                self.model.processes.destroy(process)
        elif operation == GROW_STACK:
            self.process_in(record.space).memory.grow_stack(arguments[0])
        elif operation > DESTROY:
            numbers = {16: 4, 17: 5, 18: 6, 19: 7, 20: 8, 21: 9, 22: 10}
            self.model.system_calls.call(
                self.process_in(record.space), numbers[operation], *arguments[: ARGUMENTS.get(operation, 1)]
            )

    def process_in(self, space: int) -> Process:
        (process,) = [found for found in self.model.processes if found.memory.directory == space]
        return process


def program_of(line: str) -> tuple[Program, str, str]:
    """The program of a module's line, its name and its arguments, as the kernel is given them."""
    program, _, rest = line.partition(" ")
    name, arguments = module_line(f"{PROGRAMS}/{program}.elf {rest}")
    parsed = parse((PROGRAMS / name).read_bytes())
    assert isinstance(parsed, Program)
    return parsed, name, arguments


@contextmanager
def replay(append: str, lines: list[str], memory: str = "128M") -> Iterator[Replay]:
    """A kernel right after its boot, with these programs as modules, and the model beside it."""
    with (
        Qemu(BOOT_ELF, f"{append} trace={RING}", memory=memory, paused=True, extra=modules(lines)) as qemu,
        Gdb(script=GDB_SCRIPT) as gdb,
    ):
        gdb.attach(qemu.gdb_socket, KERNEL_ELF)
        kernel = Kernel(qemu, gdb)
        information = kernel.boot_information()
        events: list[Event] = []
        model = Machine.boot(
            information.memory_map,
            information.reserved,
            kernel.image(),
            trace_records=RING,
            listener=events.append,
        )
        events.clear()
        yield Replay(kernel, model, events, list(lines))
