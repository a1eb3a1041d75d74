"""Whether a finding names what the kernel noted of its own bug in g_seeded_fault (docs/spec.md §11.4)."""

from typing import Any

from lab.gdbmi import Gdb

PAGE = 4096
HEADER = 48
ACCESSED_DIRTY = 0x60
HEAP_FAULTS = (
    "heap_overflow",
    "heap_underflow",
    "use_after_free",
    "wild_write",
    "smashed_link",
    "cyclic_list",
)
REFUSED = {
    "double_free": "double free",
    "invalid_free": "invalid pointer",
    "frame_double_free": "double free",
}


def check_truth(fault: str, gdb: Gdb, finding: dict[str, Any]) -> None:
    """Assert that the finding is about this very bug; `AssertionError` when it is about something else."""
    truth = {
        name: gdb.evaluate(f"g_seeded_fault.{name}") for name in ("victim", "culprit", "address", "length")
    }
    written = gdb.evaluate("*(unsigned long *)g_seeded_fault.written")
    if finding["code"].startswith("PAGE"):
        check_page(truth, written, finding)
    elif fault in HEAP_FAULTS:
        assert finding["block"] == truth["victim"]
        damage = finding["damage"]
        end = truth["address"] + truth["length"]
        assert truth["address"] <= damage["start"] < damage["end"] <= max(end, truth["victim"] + HEADER)
    elif fault in REFUSED:
        assert finding["refused"] == {REFUSED[fault]: 1}
    elif fault == "memory_leak":
        assert finding["blocks"][0]["block"] == truth["victim"]
        assert finding["blocks"][-1]["block"] == truth["culprit"]
        assert finding["bytes"] == truth["length"]
    elif fault in ("frame_free_mapped", "page_entry_scribble"):
        index = (truth["victim"] - gdb.evaluate("g_physical_manager->nodes_")) // 16
        assert finding["subject"] == PAGE * index
        claims = [claim for place in finding["places"] for claim in place["claims"]]
        assert truth["address"] & -PAGE in [claim.get("virtual") for claim in claims]
    elif fault == "shared_user_page":
        (place,) = finding["places"]
        assert {claim["process"] for claim in place["claims"]} == {truth["victim"], truth["culprit"]}
        assert {claim["virtual"] for claim in place["claims"]} == {truth["address"]}
        entries = {claim["process"]: claim["entry"] & ~ACCESSED_DIRTY for claim in place["claims"]}
        assert entries[truth["culprit"]] == written & ~ACCESSED_DIRTY
    elif fault == "kernel_user_bit":
        (place,) = finding["places"]
        assert place["virtual"] == finding["subject"] == truth["address"]
        assert place["entry"] & ~ACCESSED_DIRTY == written & ~ACCESSED_DIRTY
        assert place["reachable"] is False
    elif fault == "region_overlap":
        assert truth["address"] <= gdb.evaluate(f"((virt::node *){finding['subject']})->start")
    elif fault == "stack_overflow":
        assert truth["address"] <= finding["cr2"] < truth["address"] + truth["length"]
    else:
        raise AssertionError(f"nobody knows what a finding about {fault} must say")


def check_page(truth: dict[str, int], written: int, finding: dict[str, Any]) -> None:
    """Assert that a finding of `pagewalk --audit` is about the very page, or the very entry."""
    places = finding["places"]
    pages = {place["subject"] & -PAGE for place in places}
    entries = {place["found"] & ~ACCESSED_DIRTY for place in places}
    assert truth["address"] & -PAGE in pages or written & ~ACCESSED_DIRTY in entries
