"""Findings about who has a frame and who may reach it, with the page table entries that lead there."""

from collections.abc import Iterable, Sequence

from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.lift.all_spaces import LiftedSpaces, UserSpace
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.report import Finding
from model.invariants import borders
from model.invariants import ownership as rules
from model.invariants.base import Invariant
from model.invariants.ownership import Conflict
from model.ledger import Claim, Owner
from model.page_entry import USER
from model.paging import Step, Translation, walk
from model.spaces import EntryUse, Space
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_SHOWN = 8
_CODES: dict[Invariant, Code] = {
    rules.USER_TABLE: catalogue.SPACE_TABLE,
    rules.TWO_PROCESSES: catalogue.SPACE_TWO,
    rules.USER_KERNEL: catalogue.SPACE_KERNEL,
    rules.SHARED_TABLE: catalogue.SPACE_SHARED,
    rules.FREE_TABLE: catalogue.FRAME_FREE_TABLE,
    rules.FREE_MAPPED: catalogue.FRAME_FREE_MAPPED,
    rules.FREE_RESERVED: catalogue.FRAME_FREE_RESERVED,
    rules.MAPPED_TABLE: catalogue.FRAME_TABLE_MAPPED,
    rules.FOREIGN_TABLE: catalogue.FRAME_TABLE_FOREIGN,
    rules.MAPPED_TWICE: catalogue.FRAME_TWICE,
    rules.DEVICE_RAM: catalogue.FRAME_DEVICE,
    rules.OUTSIDE: catalogue.FRAME_OUTSIDE,
    rules.LOST: catalogue.FRAME_UNOWNED,
}


def ownership_findings(
    conflicts: Iterable[Conflict], space: AddressSpace, users: Sequence[UserSpace]
) -> list[Finding]:
    """One finding a rule and set of claimants, the weightiest first: damage rarely hits one frame alone."""
    groups: dict[tuple[Invariant, tuple[str, ...]], list[Conflict]] = {}
    for conflict in conflicts:
        claimants = tuple(sorted({_claimant(claim) for claim in conflict.claims}))
        groups.setdefault((conflict.invariant, claimants), []).append(conflict)
    weight = {rule: number for number, rule in enumerate(rules.ALL)}
    return [
        _finding(rule, group, space, {user.space.root: user for user in users})
        for (rule, _), group in sorted(groups.items(), key=lambda item: weight[item[0][0]])
    ]


def marked_findings(spaces: LiftedSpaces, space: AddressSpace) -> list[Finding]:
    """Entries of the kernel half with the user bit, in the kernel's own tables or a process's."""
    marked: dict[int, tuple[EntryUse, Space, list[Step]]] = {}
    for walked in spaces.all:
        for entry in walked.user_marked:
            found = walk(space.entry, walked.root, entry.virtual, space.mode)
            refusing = [step for step in found.steps if not step.entry & USER]
            known = marked.get(entry.address)
            if known is None or not refusing:
                marked[entry.address] = (entry, walked, refusing)
    if not marked:
        return []
    lines, places = [], []
    for entry, walked, refusing in marked.values():
        verdict = (
            f"the CPU still refuses: {refusing[-1].level.name} {refusing[-1].entry:#x} has no user bit"
            if refusing
            else "ring 3 can use it: every level has the user bit"
        )
        at = f"{entry.level.name} {entry.entry:#x} at physical {entry.address:#x}"
        lines.append(f"{entry.virtual:#x}: {at}; {verdict}")
        places.append(
            {
                "virtual": entry.virtual,
                "level": entry.level.name,
                "entry": entry.entry,
                "entry_address": entry.address,
                "reachable": not refusing,
                "path": _path(space, walked.root, entry.virtual),
            }
        )
    first = next(iter(marked.values()))[0]
    code = catalogue.SPACE_USER_BIT
    shown = [*lines[:_SHOWN], *_more(len(lines))]
    shown.append(_rule(borders.USER_BIT))
    data = {"invariant": borders.USER_BIT.id, "places": places}
    return [
        Finding(code.code, code.title, first.virtual, tuple(shown), data, (f"pagewalk {first.virtual:#x}",))
    ]


def border_findings(spaces: LiftedSpaces) -> list[Finding]:
    """Slots of the kernel half that differ in a process, and what the kernel maps below its half."""
    findings = []
    for user in spaces.users:
        if user.differing:
            code = catalogue.SPACE_UPPER
            slots = ", ".join(map(str, user.differing))
            lines = (
                f"{user.space.name}: PML4 {user.space.root:#x} differs from the kernel's in slots {slots}",
                _rule(borders.UPPER_HALF),
            )
            data = {
                "invariant": borders.UPPER_HALF.id,
                "root": user.space.root,
                "process": user.process.address,
                "slots": list(user.differing),
            }
            findings.append(Finding(code.code, code.title, user.space.root, lines, data))
    low = [run for run in spaces.kernel.runs if not run.virtual >> 63]
    if low:
        code = catalogue.SPACE_LOWER
        rows = (
            *(f"{run.virtual:#x}: {run.size_bytes // PAGE_BYTES} pages" for run in low[:_SHOWN]),
            *_more(len(low)),
            _rule(borders.LOWER_HALF),
        )
        data = {"invariant": borders.LOWER_HALF.id, "places": [run.virtual for run in low]}
        findings.append(Finding(code.code, code.title, low[0].virtual, rows, data))
    return findings


def _finding(
    rule: Invariant, group: list[Conflict], space: AddressSpace, users: dict[PhysicalAddress, UserSpace]
) -> Finding:
    code, first = _CODES[rule], group[0]
    frames = sum(conflict.frames for conflict in group)
    lines = [
        f"{'frame' if conflict.frames == 1 else f'{conflict.frames:,} frames from'} {conflict.start:#x}: "
        + (" and ".join(_where(claim, conflict.start) for claim in conflict.claims) or "claimed by nobody")
        for conflict in group[:_SHOWN]
    ]
    lines += _more(len(group))
    mapped = [claim for claim in first.claims if claim.root and claim.owner is not Owner.TABLE]
    for claim in mapped[:2]:
        virtual = claim.virtual + first.start - claim.start
        lines.append(f"path     {claim.who}, {virtual:#x}:")
        lines += [f"  {step}" for step in _path(space, PhysicalAddress(claim.root), VirtualAddress(virtual))]
    lines.append(_rule(rule))
    places = [_place(conflict, space, users) for conflict in group]
    data = {"invariant": rule.id, "frames": frames, "places": places}
    command = f"frames --owner {first.start:#x}"
    return Finding(code.code, code.title, first.start, tuple(lines), data, (command,))


def _place(
    conflict: Conflict, space: AddressSpace, users: dict[PhysicalAddress, UserSpace]
) -> dict[str, object]:
    claims = []
    for claim in conflict.claims:
        virtual = claim.virtual + conflict.start - claim.start if claim.root else None
        row: dict[str, object] = {"owner": claim.owner.name.lower(), "who": claim.who}
        if claim.root:
            row |= {"virtual": virtual, "root": claim.root}
            user = users.get(PhysicalAddress(claim.root))
            if user is not None:
                row["process"] = user.process.address
            if claim.owner is not Owner.TABLE and virtual is not None:
                found = walk(space.entry, PhysicalAddress(claim.root), VirtualAddress(virtual), space.mode)
                row["entry"] = found.leaf if isinstance(found, Translation) else None
        claims.append(row)
    return {"frame": conflict.start, "frames": conflict.frames, "claims": claims}


def _path(space: AddressSpace, root: PhysicalAddress, virtual: VirtualAddress) -> list[str]:
    """The entries that lead there, one a level."""
    found = walk(space.entry, root, virtual, space.mode)
    return [
        f"{step.level.name:<5} {step.index:>3} at {step.entry_address:#x} = {step.entry:#x}"
        for step in found.steps
    ]


def _where(claim: Claim, start: int) -> str:
    if claim.owner is Owner.TABLE:
        return f"{claim.who} for addresses from {claim.virtual:#x}"
    if not claim.root:
        return claim.who
    return f"{claim.who} at {claim.virtual + start - claim.start:#x}"


def _claimant(claim: Claim) -> str:
    return f"{claim.owner.name} {claim.who}"


def _rule(rule: Invariant) -> str:
    return f"rule     {rule.formula} ({rule.reason})"


def _more(count: int) -> list[str]:
    return [f"… and {count - _SHOWN} more places (all of them with --json)"] if count > _SHOWN else []
