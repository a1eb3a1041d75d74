"""`pagewalk`: one address level by level, or the whole space as ranges (SDM vol. 3A §4.5, §4.6)."""

import argparse
from pathlib import Path

from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.commands.walks.address import explain_fault, operation_of, walk_one
from coronel_gdb.commands.walks.audit import audit
from coronel_gdb.commands.walks.comparison import compare_one, compare_space
from coronel_gdb.commands.walks.difference import difference
from coronel_gdb.commands.walks.listing import chosen, describe
from coronel_gdb.commands.walks.reverse import find_physical
from coronel_gdb.commands.walks.words import counted
from coronel_gdb.errors import KernelError, UsageError
from coronel_gdb.lift.saved import load, save
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.spaces import KnownSpaces, known_spaces, opened, space_of_process
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.profiles.schema import ResolvedProfile
from coronel_gdb.report import Absent, Report
from model.types import PhysicalAddress

_ROOT = 0x000F_FFFF_FFFF_F000
_OF_A_SPACE = ("audit", "save", "diff", "find_physical", "every_process", "fold", "pages", "writable",
               "executable", "user", "huge", "range")  # fmt: skip


def run(context: Context, options: argparse.Namespace) -> Report:
    """One address when there is one, else the whole space."""
    operation_of(options)
    one = bool(options.address)
    unfit = [name for name in _OF_A_SPACE if getattr(options, name)] if one else []
    if unfit or (options.access and not one):
        name = f"--{unfit[0].replace('_', '-')}" if unfit else "--access"
        raise UsageError(f"pagewalk: {name} is for {'a whole space' if one else 'one ADDRESS'}")
    if options.error is not None and not options.why:
        raise UsageError("pagewalk: --error goes with --why")
    space = _space(context, options)
    address = _value(context, " ".join(options.address), "address") if one else None
    if options.why:
        error = None if options.error is None else _value(context, options.error, "--error")
        return explain_fault(context, space, address, error)
    if options.compare:
        target = context.target
        return (
            compare_space(target, space, context.progress)
            if address is None
            else compare_one(target, space, address)
        )
    if address is not None:
        return walk_one(context, space, address, options)
    if options.find_physical:
        physical = _value(context, options.find_physical, "--find-physical")
        return find_physical(space, _known(context, space, options), physical, context.progress)
    if options.audit:
        return _audit(context, space, options)
    if options.every_process:
        return _every(context, space, options)
    return _whole(context, space, options)


def _value(context: Context, expression: str, what: str) -> int:
    try:
        value = int(expression, 0)
    except ValueError:
        value = context.target.evaluate(expression)
    if not 0 <= value < 1 << 64:
        raise UsageError(f"pagewalk: {what} {expression} is no 64-bit address")
    return value


def _space(context: Context, options: argparse.Namespace) -> AddressSpace:
    """The space that --cr3 or --process names, else the CPU's."""
    if sum(map(bool, (options.cr3, options.process, options.every_process))) > 1:
        raise UsageError("pagewalk: one of --cr3, --process and --every-process")
    space = context.space
    if options.cr3 is not None:
        root = _value(context, options.cr3, "--cr3")
        return context.space_of(PhysicalAddress(root & _ROOT))
    if options.process is not None:
        known = known_spaces(context.target, space, _profile(context))
        return context.space_of(space_of_process(known, _value(context, options.process, "--process")).root)
    return space


def _profile(context: Context) -> ResolvedProfile | str:
    """The profile, or why there is none."""
    try:
        return context.profile
    except KernelError as error:
        return str(error)


def _known(context: Context, space: AddressSpace, options: argparse.Namespace) -> KnownSpaces:
    """All spaces that can be found; one named by --cr3 is one more, unless it is among them."""
    known = known_spaces(context.target, context.space, _profile(context))
    if options.cr3 is not None and all(one.root != space.root for one in known.spaces):
        known.add(f"cr3 {space.root:#x}", space.root)
    return known


def _whole(context: Context, space: AddressSpace, options: argparse.Namespace) -> Report:
    pages = whole_space(space, coalesced=not options.pages, progress=context.progress)
    if options.diff is not None:
        return difference(load(Path(options.diff)), space, pages)
    report = describe("", pages, chosen(pages, options), folded=options.fold)
    report.facts.insert(0, ("cr3", f"{space.root:#x}, {len(pages.tables):,} tables"))
    if options.save is not None:
        save(Path(options.save), space.root, space.mode.levels, pages)
        report.facts.append(("saved", options.save))
    return report


def _every(context: Context, space: AddressSpace, options: argparse.Namespace) -> Report:
    known = _known(context, space, options)
    whole = Report("pagewalk", "")
    count = total = 0
    for one, its_space in opened(known, space):
        pages = whole_space(its_space, coalesced=not options.pages, progress=context.progress)
        part = describe(one.name, pages, chosen(pages, options), folded=options.fold)
        whole.facts.append((one.name, f"cr3 {one.root:#x}, {part.summary}"))
        whole.tables += part.tables
        whole.not_checked += part.not_checked
        count, total = count + 1, total + pages.count
    _missing(whole, known)
    whole.summary = f"{counted(total, 'page')} in {counted(count, 'address space')}"
    return whole


def _audit(context: Context, space: AddressSpace, options: argparse.Namespace) -> Report:
    spaces = _known(context, space, options)
    known = list(opened(spaces, context.space))
    wanted = [(one, its) for one, its in known if options.every_process or its.root == space.root]
    report = Report("pagewalk", "")
    total = audit(context, known, wanted, report)
    if options.every_process:
        _missing(report, spaces)
    else:
        report.facts += [("cr3", f"{its.root:#x}, {one.name}") for one, its in wanted]
    verdict = counted(len(report.findings), "finding") if report.findings else "sound as far as checked"
    where = f"{counted(total, 'page')} in {counted(len(wanted), 'address space')}"
    report.summary = f"{verdict}: {where}"
    return report


def _missing(report: Report, known: KnownSpaces) -> None:
    report.not_checked += [Absent(what, why) for what, why in known.missing]
    if known.no_processes:
        report.facts.append(("processes", f"their spaces are not known: {known.no_processes}"))


COMMAND = Command(
    "pagewalk",
    "Translate an address, or list and audit an address space.",
    "With an ADDRESS (a number or any expression) every level is shown with its raw entry; rights are those\n"
    "effective over all levels. Without one, all mappings are listed, coalesced where address, physical\n"
    "address, page size and rights continue; aliases are kept. Works with any x86-64 kernel, no symbols\n"
    "needed; what needs a known kernel says so. Ctrl-C ends a long walk. Exit code (in $coronel_exit):\n"
    "0 clean, 1 findings, 2 could not check.\n"
    "\n"
    "  pagewalk $rsp                        every level of one address\n"
    "  pagewalk $rsp --access w --cpl 3     may ring 3 write there, or why not\n"
    "  pagewalk --why                       the fault that stopped the kernel\n"
    "  pagewalk --why --error 2 0xdeadb000  a fault of any kernel, by its code\n"
    "  pagewalk --range 0-0x80000000        some of the space\n"
    "  pagewalk --fold                      a Linux guest without its many aliases\n"
    "  pagewalk --find-physical 0x3fe000    who maps this page\n"
    "  pagewalk --audit --every-process     rights, tables, free frames, layout\n"
    "  pagewalk --save before.json          and later: pagewalk --diff before.json",
    "pagewalk g_kernel_heap",
    (
        Option(
            "address",
            "what to translate: a number or an expression of the debugger's",
            "ADDRESS|EXPRESSION",
            True,
        ),
        Option(
            "--access",
            "of one address, whether a read, write or fetch (r, w, x) succeeds, and if not, why",
            "r|w|x",
        ),
        Option("--cpl", "the privilege of that access: 0 (default) or 3", "0|3"),
        Option("--why", "explain the page fault that the CPU took at CR2, or at ADDRESS"),
        Option(
            "--error", "the fault's error code, for --why with a kernel that does not stop for faults", "CODE"
        ),
        Option(
            "--compare",
            "check this walk against QEMU's own: `info tlb`, or `gva2gpa` page by page in a debugger",
        ),
        Option(
            "--audit",
            "check W^X, user bits, null guard, page tables; with a known kernel its layout and frames",
        ),
        Option("--find-physical", "every mapping of that physical page in every known address space", "P"),
        Option("--writable", "list only what can be written"),
        Option("--executable", "list only what can be executed"),
        Option("--user", "list only what ring 3 can reach"),
        Option("--huge", "list only pages larger than 4 KiB"),
        Option("--range", "list only what touches the addresses from A to B", "A-B"),
        Option("--fold", "list aliases (the same pages at several addresses) once, with their number"),
        Option("--pages", "list page by page, not coalesced"),
        Option("--save", "keep the space in a file, for --diff", "FILE"),
        Option("--diff", "show what changed since the file was saved", "FILE"),
        Option("--cr3", "walk the tables at this physical address instead of the current CR3", "X"),
        Option("--process", "walk the tables of the process with that number", "PID"),
        Option("--every-process", "list or audit every address space that is known"),
    ),
    run,
)
