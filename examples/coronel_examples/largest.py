"""A command: `largest` lists the largest blocks of the kernel heap and who allocated them."""

import argparse
from heapq import nlargest

from coronel_gdb.api import Command, Context, Option, Report, Survey, Table, UsageError, busy, is_held

API_VERSION = 1


def run(context: Context, options: argparse.Namespace) -> Report:
    """Take the blocks as `heapcheck` finds them, so damage does not hide any."""
    count = _count(options.count)
    profile, heap = context.profile.heap, Survey(context).heap
    if is_held(heap.heap.locked):
        return busy("largest", "kernel heap")
    used = [block for block in heap.all_blocks(profile) if block.magic == profile.rules.magic_used]
    found = nlargest(count, used, key=lambda block: block.size_bytes)
    report = Report("largest", f"{len(found)} of {len(used)} used blocks", checked=len(used))
    rows = []
    for block in found:
        history = context.chronicle.history(block.address + profile.rules.header_bytes)
        rows.append((int(block.address), block.size_bytes, history[0] if history else ""))
    report.tables.append(Table("blocks", ("block", "bytes", "by"), rows, frozenset({"block"})))
    return report


def _count(text: str | None) -> int:
    if text is None:
        return 10
    if not text.isdecimal():
        raise UsageError(f"largest: --count {text} is no number")
    return int(text)


COMMANDS = (
    Command(
        "largest",
        "List the largest used blocks of the kernel heap.",
        "With the size of their data, and who allocated them where the kernel keeps a trace.",
        "largest --count 5",
        (Option("--count", "how many (default 10)", "N"),),
        run,
    ),
)
