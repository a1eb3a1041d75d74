"""All invariants by noun, and the document that lists them (docs/invariants.md)."""

from collections.abc import Mapping
from typing import Final

from model.invariants import (
    boot,
    borders,
    chunks,
    frame_manager,
    frames,
    heap,
    layout,
    locks,
    memory_map,
    ownership,
    paging,
    placed_frames,
    placement,
    processes,
    regions,
    runs,
    table_entries,
    trace,
    user_heap,
)
from model.invariants.base import Invariant

NOUNS: Final[Mapping[str, tuple[Invariant, ...]]] = {
    "Memory map": memory_map.ALL,
    "Placement area": placement.ALL,
    "What the boot fixed": boot.ALL,
    "Physical frames": (*frame_manager.ALL, *frames.ALL),
    "Physical frames with nodes placed one by one": placed_frames.OWN,
    "Owners of frames": ownership.ALL,
    "Paging": (*paging.ALL, *table_entries.ALL),
    "Kernel address space": layout.ALL,
    "Border of the halves": borders.ALL,
    "Virtual regions": regions.ALL,
    "Kernel heap": (*heap.PER_BLOCK, *heap.PER_HEAP),
    "Processes": processes.ALL,
    "User heap": user_heap.ALL,
    "Trace": trace.ALL,
    "Locks": locks.ALL,
    "Free pages as a list of their own (scheme run_list)": runs.ALL,
    "Heap with boundary tags (scheme boundary_tags)": chunks.ALL,
}

_HEAD: Final = """\
# Invariants

What must be true of the memory system between any two operations, noun by noun. `model/invariants/` has a
module a noun: pure functions from records (`model/records.py`) to violations. The model is tested against all
of them. § is a section of [spec.md](spec.md). This file is written by `make capture`.
"""


def as_markdown() -> str:
    """The document."""
    parts = [_HEAD]
    for noun, invariants in NOUNS.items():
        parts.append(f"\n## {noun}\n\n| id | formula | reason |\n| --- | --- | --- |\n")
        parts += [f"| `{each.id}` | {_cell(each.formula)} | {_cell(each.reason)} |\n" for each in invariants]
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
