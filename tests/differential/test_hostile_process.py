"""A process that overwrites the headers of its heap: kernel and model refuse the same, and stay the same.

The program stores where it likes, so before every call the pages of its heap are copied into the model.
"""

from lab.stopped import BOOT_SECONDS
from model.process import Process
from model.types import PAGE_BYTES, PhysicalAddress
from tests.differential.kernel_side import Kernel, compare, runs
from tests.differential.replay import Replay, replay
from tests.differential.test_processes import left_open

CALLS = {"sys_malloc": (4, 1), "sys_free": (5, 1), "sys_realloc": (6, 2), "sys_calloc": (7, 2)}
"""Name → number of the call, how many arguments it has."""
WATCHED = 130


def copy_heap(kernel: Kernel, process: Process) -> None:
    """Let the model's process have stored what the kernel's has."""
    memory = process.memory
    start, end = 0x800_0000, memory.fields.get("heap_.heap_current_")
    found = (memory.paging.find(memory.directory, page) for page in range(start, end, PAGE_BYTES))
    for first, last in runs(sorted(page.physical for page in found if page is not None)):
        memory.frames.fields.memory.physical.write(
            PhysicalAddress(first), kernel.physical(first, last - first)
        )


def test_a_process_that_smashes_its_heap_is_refused_alike() -> None:
    with replay("scenario=processes", ["smash"]) as both:
        both.kernel.gdb.run_to("coronel::run_all_processes", BOOT_SECONDS)
        both.follow()
        (process,) = both.model.processes
        results = follow_calls(both, process)
        assert results.count(0) + results.count((1 << 64) - 1) > 60
        assert len(set(results)) >= 5
        records = both.kernel.trace()
        assert both.essences() == both.essences_of(records)
        assert both.lines_printed() == both.kernels_lines()
        assert compare(both.kernel, both.model, left_open(both.model)) == []


def follow_calls(both: Replay, process: Process) -> list[int]:
    """Stop the kernel at the calls of its process, and make them on the model, too."""
    gdb, results = both.kernel.gdb, []
    for name in CALLS:
        gdb.mi(f"-break-insert -h {name}")
    for _ in range(WATCHED):
        gdb.resume()
        name = gdb.wait_stopped(BOOT_SECONDS)["frame"]["func"].partition("(")[0]
        number, count = CALLS[name]
        copy_heap(both.kernel, process)
        arguments = [gdb.evaluate(f"${register}") for register in ("rsi", "rdx")[:count]]
        results.append(both.model.system_calls.call(process, number, *arguments))
    gdb.resume()
    gdb.wait_stopped(BOOT_SECONDS)  # the last call has returned
    return results
