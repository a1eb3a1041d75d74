"""One address, level by level; whether an access to it succeeds; why one did not."""

import argparse
from dataclasses import dataclass

from coronel_gdb.checks.paging import disagreement
from coronel_gdb.commands.command import Context
from coronel_gdb.commands.walks.words import SIZES, flags, leads_to, memory_type_of, rights
from coronel_gdb.errors import CoronelError, TargetError, UsageError
from coronel_gdb.lift.exception import (
    DOUBLE_FAULT,
    PAGE_FAULT,
    Taken,
    access_of,
    error_bits,
    taken_exception,
)
from coronel_gdb.lift.kernel_image import KernelImage, read_image
from coronel_gdb.lift.owner import frame_manager, owner
from coronel_gdb.lift.space import AddressSpace, explain
from coronel_gdb.report import Absent, Report, Table
from model.access import Allowed, Fault, GeneralProtection, Outcome, Unreadable, judge
from model.cpu_state import CR3_PCD, CR3_PWT, CpuState, pcid
from model.denial import Access, Denial, Operation, protection_key
from model.invariants.layout import area_at
from model.paging import FaultReason, PageFault, Translation, canonical
from model.types import VirtualAddress

OPERATIONS = {"r": Operation.READ, "w": Operation.WRITE, "x": Operation.FETCH}
_OTHERS = "CR2 or the error code belongs to another fault: no page fault has such an address"
_TLB = "a stale TLB entry (no invlpg after the tables were changed), or the tables were changed since"


@dataclass(frozen=True, slots=True)
class _Walked:
    """An address, its walk, and the report so far."""

    address: VirtualAddress
    found: Translation | PageFault
    report: Report


def walk_one(context: Context, space: AddressSpace, address: int, options: argparse.Namespace) -> Report:
    """The walk of one address, with the outcome of an access when one was asked for."""
    walked = _walk(context, space, VirtualAddress(address))
    if options.access is not None:
        access = Access(OPERATIONS[options.access], user=options.cpl == "3")
        _predict(walked, _state(context, None), access)
    return walked.report


def explain_fault(context: Context, space: AddressSpace, address: int | None, error: int | None) -> Report:
    """Why the CPU took the fault: the last one of this kernel, or the one with that error code."""
    taken = taken_exception(context.target, space) if error is None else Taken(PAGE_FAULT, error)
    cr2 = VirtualAddress(context.target.register("cr2") if address is None else address)
    walked = _walk(context, space, cr2)
    report = walked.report
    if taken.rip is not None:
        report.facts.append(("rip", f"{taken.rip:#x}, CPL {(taken.cs or 0) & 3}"))
    if taken.vector != PAGE_FAULT:
        report.summary = f"{taken.name}, error code {taken.error:#x}: no page fault"
        if taken.vector == DOUBLE_FAULT:
            report.summary += f"; the last fault before it was at CR2: {_short(walked.found)}"
        return report
    state, access = _state(context, taken.rflags), access_of(taken.error)
    report.facts.append(("error code", error_bits(taken.error)))
    _judge_fault(walked, taken.error, judge(walked.found, state, access), access)
    _unknown_keys(walked, state, access)
    return report


def _judge_fault(walked: _Walked, error: int, outcome: Outcome, access: Access) -> None:
    report, who = walked.report, _who(access)
    if isinstance(outcome, Unreadable):
        report.summary = (
            f"{who} at {walked.address:#x} faulted; why cannot be said: {explain(outcome.result)}"
        )
        return
    if isinstance(outcome, Fault):
        report.tables.append(_causes(outcome))
        # TCG reports a reserved bit without P (docs/hardware.md, T1); the SDM says P is set with it.
        if error == outcome.error_code or (error & 8 and error | 1 == outcome.error_code):
            report.summary = f"{who} at {walked.address:#x} faulted: {_because(outcome)}"
            return
        expected = f"they deny it, with error code {error_bits(outcome.error_code)}: {_because(outcome)}"
    elif isinstance(outcome, GeneralProtection):
        expected = "the address is not canonical: that is #GP and leaves CR2 alone"
    else:
        expected = "they allow it"
    report.summary = f"{who} at {walked.address:#x} faulted, but not by the tables as they are: {expected}"
    suspect = _OTHERS if isinstance(outcome, GeneralProtection) else _TLB
    report.findings.append(disagreement(walked.address, error, expected, suspect))


def _predict(walked: _Walked, state: CpuState, access: Access) -> None:
    report, outcome, who = walked.report, judge(walked.found, state, access), _who(access)
    match outcome:
        case Allowed():
            sets = ", ".join(
                f"{u.after & ~u.before:#x} in the entry at {u.entry_address:#x}" for u in outcome.updates
            )
            report.facts.append(("access", f"{who}: allowed" + (f"; the CPU sets {sets}" if sets else "")))
            report.summary += f"; {who}: allowed"
        case Fault():
            code = error_bits(outcome.error_code)
            report.facts.append(("access", f"{who}: #PF, error code {code}, CR2 {outcome.cr2:#x}"))
            report.summary += f"; {who}: #PF {code}: {_because(outcome)}"
            report.tables.append(_causes(outcome))
        case GeneralProtection():
            report.facts.append(
                ("access", f"{who}: #GP(0) (#SS(0) through the stack segment), CR2 unchanged")
            )
        case Unreadable():
            report.facts.append(("access", f"{who}: cannot be said"))
    _unknown_keys(walked, state, access)


def _walk(context: Context, space: AddressSpace, address: VirtualAddress) -> _Walked:
    found = space.translate(address)
    rows = [(s.level.name, s.index, s.entry_address, s.entry, flags(s), leads_to(s)) for s in found.steps]
    columns = ("level", "index", "entry at", "entry", "flags", "leads to")
    table = Table("levels", columns, rows, frozenset({"entry at", "entry"}))
    image = _image(context)
    place = _place(context, image, address)
    if isinstance(found, PageFault):
        report = Report("pagewalk", f"{address:#x}: {explain(found)}", tables=[table])
        if found.reason is FaultReason.UNREADABLE:
            report.not_checked.append(Absent(f"translation of {address:#x}", explain(found)))
    else:
        report = Report("pagewalk", _short(found), _page_facts(context, space, found, image), [table])
    if place and canonical(address, space.mode.levels):
        report.facts.append(("place", place))
    report.facts.append(("cr3", _top(context, space)))
    return _Walked(address, found, report)


def _top(context: Context, space: AddressSpace) -> str:
    """The top table and, where it is the CPU's, what the low bits of CR3 say (SDM vol. 3A §4.5)."""
    words, cpu = [f"{space.root:#x}", f"{space.mode.levels} levels"], context.cpu
    if space.root == cpu.root:
        state = cpu.state()
        if state.pcide:
            words.append(f"PCID {pcid(cpu.cr3, state):#x}")
        else:
            words += [name for name, bit in (("PWT", CR3_PWT), ("PCD", CR3_PCD)) if cpu.cr3 & bit]
    return ", ".join(words)


def _page_facts(
    context: Context, space: AddressSpace, found: Translation, image: KernelImage | None
) -> list[tuple[str, object]]:
    page = found.physical & -found.page_bytes
    what = owner(context.space, found.physical, image, None)
    if image is not None:
        profile = context.profile.frames
        manager = frame_manager(context.target, context.space, profile)
        what = owner(context.space, found.physical, image, (manager, profile) if manager else None)
    own = [step.level.name for step in found.steps if step.entry_address & -4096 == found.physical & -4096]
    if own:
        what += f", the table of this walk's {own[0]}"
    facts: list[tuple[str, object]] = [
        ("physical", hex(found.physical)),
        ("page", f"{SIZES[found.page_bytes]} at {page:#x}"),
        ("rights", f"{rights(found.rights)} (effective over all levels)"),
        ("type", memory_type_of(found.leaf, found.level)),
        ("owner", what),
    ]
    if protection_key(found.leaf):
        facts.append(("key", str(protection_key(found.leaf))))
    return facts


def _image(context: Context) -> KernelImage | None:
    try:
        image = read_image(context.target, context.space)
        return image if image is not None and context.profile else None
    except CoronelError:
        return None


def _place(context: Context, image: KernelImage | None, address: int) -> str | None:
    area = area_at(address, image.areas) if image is not None else None
    return None if area is None else area.name if area.rights else f"{area.name} (never mapped)"


def _short(found: Translation | PageFault) -> str:
    if isinstance(found, PageFault):
        return f"{found.virtual:#x}: {explain(found)}"
    size = SIZES[found.page_bytes]
    return f"{found.virtual:#x} -> physical {found.physical:#x}, {size} page, {rights(found.rights)}"


def _state(context: Context, rflags: int | None) -> CpuState:
    if rflags is None:
        try:
            rflags = context.target.register("eflags")
        except TargetError:
            rflags = 0
    return context.cpu.state(rflags=rflags)


def _unknown_keys(walked: _Walked, state: CpuState, access: Access) -> None:
    """PKRU and IA32_PKRS cannot be read: where they could decide, say so."""
    found = walked.found
    if not isinstance(found, Translation) or access.operation is Operation.FETCH:
        return
    enabled, register = (state.pke, "PKRU") if found.rights.user else (state.pks, "IA32_PKRS")
    key = protection_key(found.leaf)
    if enabled and key:
        walked.report.not_checked.append(
            Absent(f"protection key {key}", f"{register} cannot be read here; it is taken as allowing")
        )


def _who(access: Access) -> str:
    return f"{access.operation.value} at CPL {3 if access.user else 0}"


def _because(fault: Fault) -> str:
    cause = fault.causes[0]
    entry = f"{cause.level.name} at {cause.entry_address:#x}"
    bits = "" if cause.denial is Denial.NOT_PRESENT else f", bits {cause.bits:#x}"
    return f"{cause.denial.label} in the {entry}{bits}" + (f" with {cause.control}" if cause.control else "")


def _causes(fault: Fault) -> Table:
    rows = [
        (cause.denial.label, cause.level.name, cause.entry_address, cause.bits, cause.control or "-")
        for cause in fault.causes
    ]
    return Table(
        "causes", ("cause", "level", "entry at", "bits", "because of"), rows, frozenset({"entry at", "bits"})
    )


def operation_of(options: argparse.Namespace) -> None:
    """`UsageError` unless --access and --cpl have values that they can have."""
    if options.access is not None and options.access not in OPERATIONS:
        raise UsageError(f"pagewalk: --access takes r, w or x, not {options.access}")
    if options.cpl is not None and (options.cpl not in ("0", "3") or options.access is None):
        raise UsageError("pagewalk: --cpl takes 0 or 3, together with --access")
