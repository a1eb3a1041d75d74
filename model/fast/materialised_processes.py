"""The processes of the twin as bytes: their objects, nodes and headers (docs/spec.md §14.2, §14.3, §15.3).

What no record tells is left open: saved registers, the name, the state among those that there are, and where
a program's code ends and its data begins when the two touch; there the kernel's own object decides, if it can
be so.
"""

from collections.abc import Iterator
from typing import Final

from model.address_space import MMAP_END, MMAP_START, USER_HEAP_LIMIT, USER_STACK_END
from model.errors import ErrorKind
from model.fast.machine import FastMachine
from model.fast.materialised import GUESSED, Piece, headers
from model.fast.process import FastProcess
from model.fast.user_pages import USER_CODE, USER_DATA
from model.layouts import NODE, PROCESS
from model.process import ProcessState
from model.types import PAGE_BYTES

_CODE_END: Final = PROCESS.member("memory.code_end_")
_DATA_START: Final = PROCESS.member("memory.data_start_")
_STATE: Final = PROCESS.member("state")


def process_list(machine: FastMachine) -> Piece:
    """The head of the list of processes."""
    first = next(iter(machine.processes.live.values()), None)
    data = (first.address if first is not None else 0).to_bytes(8, "little")
    return Piece("head of the process list", machine.processes.head, data, b"\xff" * 8)


def process_object(process: FastProcess, following: int, found: bytes) -> Piece:
    """A process's object; `found` are the kernel's bytes, asked where the twin leaves a choice."""
    code, data = program(process, found)
    heap, mappings = process.heap, process.mappings
    nodes = [node for _, _, node in mappings.free]
    values = {
        "pid": process.pid,
        "next": following,
        "memory.page_directory_": process.pages.directory,
        "memory.code_start_": code[0],
        "memory.code_end_": code[1],
        "memory.data_start_": data[0],
        "memory.data_end_": data[1],
        "memory.stack_start_": process.stack_start,
        "memory.stack_end_": USER_STACK_END,
        "memory.heap_.heap_limit_": USER_HEAP_LIMIT,
        "memory.heap_.page_directory_": process.pages.directory,
        "memory.heap_.lock_": 0,
        "memory.mmap_.free_mem_list_.first_": nodes[0] if nodes else 0,
        "memory.mmap_.free_mem_list_.last_": nodes[-1] if nodes else 0,
        "memory.mmap_.free_mem_list_.count_": len(nodes),
        "memory.mmap_.spare_": 0,
        "memory.mmap_.spare_count_": 0,
        "memory.mmap_.start_": MMAP_START,
        "memory.mmap_.end_": MMAP_END,
        "memory.mmap_.lock_": 0,
        "memory.mmap_.nodes_from_": 1,
    }
    state = _STATE.offset_bytes
    if int.from_bytes(found[state : state + 4], "little") not in list(ProcessState):
        values["state"] = ProcessState.READY
    if found[state] != ProcessState.ENDED:
        values["exit_code"] = 0
    guessed: tuple[ErrorKind, ...] = ()
    if process.doubt is None:
        values |= {
            "memory.heap_.heap_start_": heap.start,
            "memory.heap_.heap_current_": heap.current,
            "memory.heap_.first_block_": heap.first_block,
            "memory.heap_.total_allocated_": heap.total_allocated,
            "memory.heap_.num_blocks_": len(heap.sizes),
        }
        guessed = GUESSED if heap.guesses else ()
    contents, mask = bytearray(PROCESS.size_bytes), bytearray(PROCESS.size_bytes)

    def put(offset: int, field: bytes) -> None:
        contents[offset : offset + len(field)] = field
        mask[offset : offset + len(field)] = b"\xff" * len(field)

    for offset, field in PROCESS.encode(values).items():
        put(offset, field)
    for kind in ErrorKind:
        errors = PROCESS.member("memory.mmap_.errors_").offset_bytes
        put(errors + 8 * kind, mappings.errors[kind].to_bytes(8, "little"))
        if process.doubt is None and kind not in guessed:
            errors = PROCESS.member("memory.heap_.errors_").offset_bytes
            put(errors + 8 * kind, heap.errors[kind].to_bytes(8, "little"))
    return Piece("process", process.address, bytes(contents), bytes(mask), PROCESS)


def program(process: FastProcess, found: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Code and data of a process, each [start, end); pages are mapped ascending, code first (§14.3)."""
    pages = list(process.program)
    if not pages:
        return (0, 0), (0, 0)
    length = 1
    while length < len(pages) and pages[length] == pages[length - 1] + PAGE_BYTES:
        length += 1
    if length == len(pages):  # what touches can be parted anywhere
        for member in (_CODE_END, _DATA_START):  # one of them may be damaged
            end = int.from_bytes(found[member.offset_bytes : member.end_bytes], "little")
            if end - PAGE_BYTES in process.program:
                length = pages.index(end - PAGE_BYTES) + 1
                break
    code = pages[0], pages[length - 1] + PAGE_BYTES
    return code, (pages[length], pages[-1] + PAGE_BYTES) if length < len(pages) else (0, 0)


def settle_rights(machine: FastMachine, process: FastProcess, found: bytes) -> None:
    """Say which rights the pages of a program must have."""
    (start, end), _ = program(process, found)
    for page in process.program:
        flags = USER_CODE if start <= page < end else USER_DATA
        machine.tables.set_flags(process.pages.directory, page, flags)


def mmap_nodes(process: FastProcess) -> Iterator[Piece]:
    """The nodes of a process's free mappings, blocks of the kernel heap."""
    regions = process.mappings.free
    nodes = [node for _, _, node in regions]
    full = b"\xff" * NODE.size_bytes
    for (start, size, node), after, before in zip(regions, [*nodes[1:], 0], [0, *nodes], strict=False):
        words = (start, size, after, before)
        yield Piece("mmap node", node, b"".join(word.to_bytes(8, "little") for word in words), full, NODE)


def user_headers(process: FastProcess) -> Iterator[tuple[int, bytes]]:
    """Address and bytes of every header in a process's heap; nothing once it cannot be followed."""
    if process.doubt is None:
        yield from headers(process.heap)
