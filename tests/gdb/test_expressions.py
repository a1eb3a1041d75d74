"""`$phys`, `$heap_block`, `$frame_owner` and pretty-printers, against QEMU's and the kernel's own answers."""

import pytest

from lab.errors import GdbCommandError
from lab.gdbmi import Gdb
from lab.machine import Machine
from lab.paths import BOOT_ELF, GDB_SCRIPT, KERNEL_ELF
from lab.scenarios import scenarios
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped, at_checkpoint


def printed(stopped: Stopped, expression: str) -> str:
    return stopped.gdb.console(f"print {expression}").partition(" = ")[2].strip()


def test_phys_is_what_qemu_says(healthy: Stopped) -> None:
    for expression in ("g_kernel_heap", "g_kernel_heap->first_block_", "&coronel_checkpoint", "$rsp"):
        value = healthy.gdb.evaluate(f"(unsigned long)({expression})")
        answer = healthy.machine.monitor(f"gva2gpa {value:#x}").split()[1]
        assert healthy.gdb.evaluate(f"$phys({expression})") == int(answer, 16)
    # A structure stands for its address, as it does for `pagewalk`.
    assert healthy.gdb.evaluate("$phys(*g_kernel_heap) == $phys(g_kernel_heap)") == 1


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("$phys(0)", r"\$phys: 0x0 has no physical address: not mapped: its PML4E 0x0 is not present"),
        ("$phys(1ul << 63)", "not canonical"),
        ("$frame_owner(g_kernel_heap)", r"is no physical address: \$frame_owner\(\$phys"),
        ("$heap_block()", r": \$heap_block takes one argument: \$heap_block\(EXPRESSION\)$"),
        ("$phys(1, 2)", r": \$phys takes one argument"),
    ],
)
def test_what_cannot_be_told_is_an_error(healthy: Stopped, expression: str, why: str) -> None:
    with pytest.raises(GdbCommandError, match=why):
        healthy.gdb.console(f"print {expression}")


def test_heap_block_is_the_block_the_kernel_has_there(healthy: Stopped) -> None:
    """Followed by GDB itself, block by block: first and last byte, and one beyond the heap."""
    gdb = healthy.gdb
    at, seen = gdb.evaluate("g_kernel_heap->first_block_"), 0
    while at and seen < 20:
        size = gdb.evaluate(f"((memory::heap_block *){at:#x})->size")
        assert gdb.evaluate(f"$heap_block({at:#x})") == at
        assert gdb.evaluate(f"$heap_block({at + 48 + size - 1:#x})") == at
        at = gdb.evaluate(f"((memory::heap_block *){at:#x})->next")
        seen += 1
    assert seen == 20
    assert gdb.evaluate("$heap_block(g_kernel_heap->heap_end_)") == 0
    assert gdb.evaluate("$heap_block(g_kernel_heap->first_block_)->prev") == 0


def test_frame_owner_says_who_has_it(healthy: Stopped) -> None:
    gdb = healthy.gdb
    expected = {
        "$cr3": "page table of kernel",
        "$phys(g_kernel_heap->first_block_)": "kernel",
        "$phys(&coronel_checkpoint)": "kernel image",
        "g_physical_manager->free_list_->address": "free",
        "g_physical_manager->physical_end_": "not managed",
    }
    for expression, owner in expected.items():
        assert printed(healthy, f"$frame_owner({expression})") == f'"{owner}"'
        assert gdb.evaluate(f'$_streq($frame_owner({expression}), "{owner}")') == 1


def test_pretty_printers_say_what_a_structure_is(healthy: Stopped) -> None:
    gdb = healthy.gdb
    first = gdb.evaluate("g_kernel_heap->first_block_")
    size = gdb.evaluate("g_kernel_heap->first_block_->size")
    text = printed(healthy, "*g_kernel_heap->first_block_")
    assert text.startswith(f"used block of {size:,} bytes, data at {first + 48:#x} = {{size = {size}, ")
    assert "magic = " in text
    frame = gdb.evaluate("g_physical_manager->free_list_->address")
    assert printed(healthy, "*g_physical_manager->free_list_").startswith(f"free frame {frame:#x} = {{")
    start = gdb.evaluate("g_kernel_virtual_manager->free_mem_list_.first_->start")
    region = printed(healthy, "*g_kernel_virtual_manager->free_mem_list_.first_")
    assert region.startswith(f"free region {start:#x}..")
    assert " pages = {start = " in region
    bare = printed(healthy, "/r *g_kernel_heap->first_block_").removeprefix("= ")
    assert bare.startswith("{size")


def test_a_damaged_block_is_printed_as_one(corrupted: Stopped) -> None:
    (finding,) = corrupted.report("heapcheck", 1)["findings"]
    text = printed(corrupted, f"*(memory::heap_block *){finding['subject']:#x}")
    assert text.startswith(("no block: magic 0x", "damaged block: magic says "))


def test_a_page_entry_and_a_process_are_printed() -> None:
    scenario = scenarios()["processes"]
    with (
        Machine(BOOT_ELF, scenario.append, cpus=scenario.cpus, paused=True, extra=scenario.extra) as machine,
        Gdb(script=GDB_SCRIPT) as gdb,
    ):
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        stopped = Stopped(machine, gdb)
        pid = gdb.evaluate("g_process_list->pid")
        cr3 = gdb.evaluate("*(unsigned long *)&g_process_list->memory.page_directory_")
        text = printed(stopped, "*g_process_list")
        assert text.startswith(f"process {pid} (")
        assert f"cr3 {cr3:#x} = {{pid = {pid}, " in text
        owner = printed(stopped, f"$frame_owner({cr3:#x})")
        assert owner.startswith(f'"page table of process {pid}')
        word = gdb.evaluate("*(unsigned long *)&paging::window_table_")
        text = printed(stopped, "*(page_entry *)&paging::window_table_")
        if word & 1:
            assert text.startswith(f"{word & 0x000F_FFFF_FFFF_F000:#x} P W ")
        else:
            assert text.startswith(f"not present ({word:#x}) = {{")
        gdb.mi("-enable-pretty-printing")
        assert gdb.mi("-var-create block * *g_kernel_heap->first_block_")["dynamic"] == "1"
        names = [child["exp"] for child in gdb.mi("-var-list-children block")["children"]]
        assert names == ["size", "is_free", "next", "prev", "magic", "padding"]


def test_in_a_condition_of_a_breakpoint() -> None:
    """GDB asks them while it still calls the target running; the kernel's own words say that it was right."""
    with at_checkpoint(1, "scenario=mixed,mixed seed=42 ops=1000") as stopped:
        gdb = stopped.gdb
        frees = gdb.evaluate("g_kernel_heap->num_frees_")
        # Its argument, in the register: GDB 18 sees the entry, where a lock is inlined, as code without it.
        size = "((memory::heap_block *)$heap_block($rsi))->size"
        gdb.run(f"hbreak memory::heap::free if $phys($rsi) > 0 && {size} < 100")
        gdb.run("hbreak coronel::pass_checkpoint if $heap_block(0) != 0")
        for _ in range(3):
            gdb.resume()
            assert gdb.wait_stopped(60)["bkptno"] == "2"
            assert gdb.evaluate("((memory::heap_block *)((char *)$rsi - 48))->size") < 100
        assert gdb.evaluate("g_kernel_heap->num_frees_") > frees + 3, "it stops at others too"


def test_inside_the_heap_while_its_lock_is_held() -> None:
    """At the entry of `split` nothing is changed yet: the blocks are known, and the condition decides."""
    with at_checkpoint(1, "scenario=mixed,mixed seed=42 ops=1000") as stopped:
        gdb = stopped.gdb
        gdb.run("hbreak memory::heap::split if ((memory::heap_block *)$heap_block(block))->size > 1000")
        for _ in range(3):
            gdb.resume()
            assert gdb.wait_stopped(60)["bkptno"] == "2"
            assert gdb.evaluate("g_kernel_heap->lock_.locked_") == 1
            assert gdb.evaluate("block->size") > 1000


def test_in_the_condition_of_a_watchpoint(corrupted: Stopped) -> None:
    """The allocator and others write there rightly; it stops in the kernel's bug, and at nothing before."""
    (finding,) = corrupted.report("heapcheck", 1)["findings"]
    victim, culprit = finding["subject"], finding["suspect"]["block"]
    with at_checkpoint(1, MIXED_THEN_OVERFLOW) as stopped:
        gdb = stopped.gdb
        free = "g_kernel_heap->lock_.locked_ == 0"
        behind = f"$heap_block({victim - 1:#x}) == {culprit:#x}"
        where = f"$phys({victim:#x}) == {gdb.evaluate(f'$phys({victim:#x})'):#x}"
        gdb.run(f"watch -l *(unsigned char *){victim:#x} if {free} && {behind} && {where}")
        gdb.resume()
        stop = gdb.wait_stopped(60)
        assert stop["reason"] == "watchpoint-trigger"
        assert stop["frame"]["func"] == "coronel::format_message"
