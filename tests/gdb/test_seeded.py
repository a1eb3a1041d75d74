"""The kernel's own buffer overflow: the judge is what the kernel noted when it struck."""

from lab.stopped import MIXED_THEN_OVERFLOW, Stopped, at_checkpoint


def test_heapcheck_reports_exactly_the_fault(corrupted: Stopped) -> None:
    report = corrupted.report("heapcheck", 1)
    (finding,) = report["findings"]
    truth = {
        name: corrupted.gdb.evaluate(f"g_seeded_fault.{name}") for name in ("victim", "culprit", "length")
    }
    start = corrupted.gdb.evaluate("g_seeded_fault.address")
    original = _array(corrupted, "original", truth["length"])
    written = _array(corrupted, "written", truth["length"])

    assert finding["code"] == "HEAP001"
    assert finding["block"] == truth["victim"] != 0
    assert finding["suspect"] == {
        "kind": "linear overflow",
        "block": truth["culprit"],
        "data": truth["culprit"] + 48,
        "direction": "upwards",
    }
    assert (finding["damage"]["start"], finding["damage"]["end"]) == (start, start + truth["length"])
    assert bytes.fromhex(finding["damage"]["bytes"]) == written
    assert {field["field"] for field in finding["fields"]} == {"size", "is_free", "next"}
    for field in finding["fields"]:
        offset = field["address"] - start
        size = len(field["found_bytes"]) // 2
        assert bytes.fromhex(field["found_bytes"]) == written[offset : offset + size]
        assert bytes.fromhex(field["expected_bytes"]) == original[offset : offset + size]


def _array(stopped: Stopped, name: str, length: int) -> bytes:
    return bytes(stopped.gdb.evaluate(f"(unsigned char)g_seeded_fault.{name}[{i}]") for i in range(length))


def test_the_table_names_victim_and_culprit(corrupted: Stopped) -> None:
    text = corrupted.gdb.console("heapcheck")
    victim = corrupted.gdb.evaluate("g_seeded_fault.victim")
    culprit = corrupted.gdb.evaluate("g_seeded_fault.culprit")
    assert f"HEAP001 block header overwritten at {victim:#x}" in text
    assert f"linear overflow out of block {culprit:#x}" in text


def test_the_frames_and_tables_are_sound_all_the_same(corrupted: Stopped) -> None:
    assert corrupted.report("frames", 0)["findings"] == []
    assert corrupted.report("pagewalk", 0)["findings"] == []


def test_the_commands_that_are_shown_work() -> None:
    with at_checkpoint(2, MIXED_THEN_OVERFLOW) as alone:
        (finding,) = alone.report("heapcheck", 1)["findings"]
        assert finding["repair_note"].startswith("verified")
        for write in finding["repair"]:
            for command in write["commands"]:
                alone.gdb.console(command)
        assert alone.report("heapcheck", 0)["findings"] == []
        (watch,) = finding["next_commands"]
        assert "atchpoint" in alone.gdb.console(watch)
