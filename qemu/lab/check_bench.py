"""`make bench`, the checkers' part: whole commands over synthetic kernels, beside what the bytes alone cost.

The peers run in the same process on the same bytes: numpy's own sum over them (memory speed) and a plain loop
that only follows the links and judges nothing.
"""

import time
from collections.abc import Callable

from coronel_gdb.commands.command import Context
from coronel_gdb.lift.bulk import plain
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_table
from lab import synthetic
from lab.synthetic import Synthetic

_TIMES = 3
_FRAME_NODES = (1_000_000, 10_000_000)
_BLOCKS = (100_000, 1_000_000)


def checkers() -> None:
    """Print blocks and nodes per second from command to printed summary."""
    print("\ncheckers, from command to printed report (CPU time, best of three; peers on the same bytes)")
    print(f"  {'what':<28} {'items/s':>12} {'stdlib/s':>12} {'ratio':>6} {'x links only':>13} {'x sum':>7}")
    for count in _BLOCKS:
        _row("heapcheck", f"heapcheck, {count:,} blocks", count, synthetic.heap(count), 16)
    for count in _FRAME_NODES:
        _row("frames", f"frames, {count:,} nodes", count, synthetic.frames(count), 8)


def _row(name: str, what: str, items: int, target: Synthetic, link: int) -> None:
    command = next(command for command in commands() if command.name == name)

    def run() -> None:
        as_table.render(command.run(Context(target), command.parse([])))

    fast = _seconds(run)
    with plain():
        slow = _seconds(run)
    links = _seconds(lambda: _follow(target, name, link))
    total = _seconds(lambda: target.bytes.view("<u8").sum())
    print(
        f"  {what:<28} {items / fast:>12,.0f} {items / slow:>12,.0f} {slow / fast:>6.1f}"
        f" {fast / links:>13.2f} {fast / total:>7.1f}"
    )


def _follow(target: Synthetic, name: str, link: int) -> int:
    """The list, link by link, and nothing else."""
    words = memoryview(target.bytes.data).cast("Q")
    pointer, offset = ("g_kernel_heap", 24) if name == "heapcheck" else ("g_physical_manager", 8)
    base = synthetic.BASE - target.first_free
    at = words[(words[(target.symbols[pointer] - base) >> 3] + offset - base) >> 3]
    count = 0
    while at:
        at = words[(at + link - base) >> 3]
        count += 1
    return count


def _seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_TIMES):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best
