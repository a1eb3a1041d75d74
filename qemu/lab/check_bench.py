"""`make bench`, the checkers' part: whole commands over synthetic kernels, beside what the bytes alone cost.

The peers run in the same process on the same bytes: numpy's own sum over them (memory speed) and a plain loop
that only follows the links and judges nothing.
"""

import time
from collections.abc import Callable, Sequence

from coronel_gdb.backends.qemu_host import QemuTarget
from coronel_gdb.backends.qmp import Qmp
from coronel_gdb.commands.command import Context
from coronel_gdb.lift.bulk import plain
from coronel_gdb.plugins import commands
from coronel_gdb.render import as_table
from lab import synthetic
from lab.demand import Demand, rows
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF
from lab.stopped import MIXED_THEN_OVERFLOW, at_checkpoint
from lab.synthetic import Synthetic

_SECONDS_OF_BOOT = 60.0
_TIMES = 3
_FRAME_NODES = (1_000_000, 10_000_000)
_BLOCKS = (100_000, 1_000_000, 10_000_000)
_PROMISED = {"heapcheck": 3e6, "frames": 5e6}  # items a second at a million
_MOST_RATIO = 8.0  # without numpy
_LINEAR = 2.0  # linear but for the caches, which end somewhere


def main(_arguments: Sequence[str] = ()) -> int:
    """These figures alone: `python -m lab check_bench`."""
    checkers()
    return 0


def checkers() -> None:
    """Print blocks and nodes per second from command to printed summary, and what was promised."""
    print("\ncheckers, from command to printed report (CPU time, best of three; peers on the same bytes)")
    print(f"  {'what':<28} {'items/s':>12} {'stdlib/s':>12} {'ratio':>6} {'x links only':>13} {'x sum':>7}")
    paces = {
        ("heapcheck", count): _row(
            "heapcheck", f"heapcheck, {count:,} blocks", count, synthetic.heap(count), 16
        )
        for count in _BLOCKS
    }
    paces |= {
        ("frames", count): _row("frames", f"frames, {count:,} nodes", count, synthetic.frames(count), 8)
        for count in _FRAME_NODES
    }
    demands = []
    for name, wanted in _PROMISED.items():
        fast, slow = paces[name, 1_000_000]
        longer = paces[name, 10_000_000][0]
        demands += [
            Demand(f"{name}, 1,000,000", wanted / 1e6, fast / 1e6, "million/s", least=True),
            Demand(f"{name} without numpy", _MOST_RATIO, fast / slow, "times slower"),
            Demand(f"{name}, an item of ten million", _LINEAR, fast / longer, "times that of one"),
        ]
    demands += [_ledger(), *_in_gdb()]
    print("\n".join(["", "  promised", *rows(demands)]))


def _ledger() -> Demand:
    """The ledger of a booted guest of 4 GiB, in a process that has looked at nothing before."""
    with Machine(BOOT_ELF, "scenario=mixed ops=2000", memory="4G") as machine:
        machine.wait_for_serial("coronel: done", _SECONDS_OF_BOOT)
        machine.monitor("stop")
        qmp = Qmp(machine.qmp_socket)
        try:
            command = next(command for command in commands() if command.name == "frames")
            options = command.parse(["--ledger"])

            def run() -> None:
                as_table.render(command.run(Context(QemuTarget(qmp, KERNEL_ELF)), options))

            return Demand("frames --ledger of a guest of 4 GiB", 1, _seconds(run, time.perf_counter), "s")
        finally:
            qmp.close()


def _in_gdb() -> list[Demand]:
    """`memcheck` of the demonstration's kernel, the first one and those after it."""
    line = "python import time; t = time.perf_counter(); n = len(gdb.execute('memcheck', to_string=True))"
    with at_checkpoint(1, MIXED_THEN_OVERFLOW) as stopped:
        first, *again = (
            float(stopped.gdb.console(line + "; print(time.perf_counter() - t)"))
            for _ in range(1 + 2 * _TIMES)
        )
    return [
        Demand(
            "memcheck of the demonstration's kernel in GDB", 0.5, first, "s", remark="the first of a session"
        ),
        Demand("the same once more", 0.5, min(again), "s"),
    ]


def _row(name: str, what: str, items: int, target: Synthetic, link: int) -> tuple[float, float]:
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
    return items / fast, items / slow


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


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    best = float("inf")
    for _ in range(_TIMES):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best
