"""What the rest of the kernel says of a damaged block: its frame, all mappings of that, and the trace."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from coronel_gdb.commands.survey import Survey
from coronel_gdb.commands.walks.words import rights
from coronel_gdb.errors import CoronelError
from coronel_gdb.lift.pages import rights_of
from coronel_gdb.lift.space import AddressSpace
from coronel_gdb.lift.whole import whole_space
from coronel_gdb.report import Finding
from model.paging import Translation
from model.types import PAGE_BYTES, PhysicalAddress, VirtualAddress

_SHOWN = 4


def surrounded(
    survey: Survey, space: AddressSpace, findings: Iterable[Finding], recount: str
) -> list[Finding]:
    """The findings of a heap in this space; those about blocks have these details as well."""
    return [
        replace(finding, details=(*finding.details, *_details(survey, space, finding), recount))
        if "block" in finding.data
        else finding
        for finding in findings
    ]


def _details(survey: Survey, space: AddressSpace, finding: Finding) -> Iterator[str]:
    found = space.translate(VirtualAddress(finding.subject))
    if isinstance(found, Translation):
        yield f"frame    {found.physical & -PAGE_BYTES:#x}, the header at physical {found.physical:#x}"
        yield f"mapped   {_mappings(survey, PhysicalAddress(found.physical))}"
    chronicle = survey.context.chronicle
    if chronicle.absent:
        yield f"trace    {chronicle.absent.removeprefix('not known: ')}"
    else:
        kept = f"the last {len(chronicle.records):,} operations are in the trace"
        yield f"trace    {kept}: `replay` runs them on the model, and names the first one that differs"


def placed(survey: Survey, findings: Iterable[Finding]) -> list[Finding]:
    """The findings; those about a chunk or a page with its frame, and all mappings of that in this space."""
    findings, space = list(findings), survey.context.space
    if not findings:
        return []
    pages = whole_space(space, progress=survey.context.progress)

    def details(finding: Finding) -> Iterator[str]:
        found = space.translate(VirtualAddress(finding.subject))
        if isinstance(found, Translation):
            where = [
                f"{virtual:#x} ({rights(rights_of(pages.kinds[index]))})"
                for virtual, index in islice(pages.mappings_of(found.physical), _SHOWN)
            ]
            yield f"frame    {found.physical & -PAGE_BYTES:#x}, it begins at physical {found.physical:#x}"
            yield f"mapped   {', '.join(where)} of the current space"

    return [
        replace(finding, details=(*finding.details, *details(finding)))
        if {"chunk", "page"} & set(finding.data)
        else finding
        for finding in findings
    ]


def _mappings(survey: Survey, physical: PhysicalAddress) -> str:
    """Every virtual address of a physical one, over all spaces that are known."""
    try:
        spaces = survey.spaces.all
    except CoronelError as error:
        return f"not known: {error}"
    found = [
        f"{run.virtual + physical - run.physical:#x} of {walked.name} ({rights(run.rights)})"
        for walked in spaces
        for run in walked.runs
        if run.physical <= physical < run.physical + run.size_bytes
    ]
    more = f", {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(islice(found, _SHOWN)) or "by no space that is known") + more
