"""Free pages that are a list by themselves as records, and pages outside the list that look free.

All of [start, end) is read at once: the list is followed in those bytes, and what is printed of a page is
what was judged. Behind a page that the target does not have, the list goes on where pages look free and none
leads to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.image import Image
from coronel_gdb.lift.pointer import located
from coronel_gdb.lift.space import AddressSpace, Run
from coronel_gdb.profiles.schema import Section
from coronel_gdb.protocols import Target
from model.invariants.base import Verdict
from model.invariants.runs import Known, beginnings, check_runs, is_place
from model.records import FreeRun, RunList, RunRules
from model.types import PAGE_BYTES, VirtualAddress, align_up

_LINK_BYTES = 8
_BYTE = 0xFF


@dataclass(slots=True)
class LiftedRuns:
    """The list's head, its pages in order, and the link at which following them ended: 0 for null.

    `strays` are pages that look free and are not in the list. `gap` is a page to which a link led and that
    the target does not have, 0 without one; `broken` are pages behind it whose link leads to no page.
    """

    runs: RunList
    image: Image
    rules: RunRules
    pages: list[FreeRun] = field(default_factory=list)
    stop: int = 0
    strays: list[FreeRun] = field(default_factory=list)
    gap: int = 0
    broken: list[FreeRun] = field(default_factory=list)

    @property
    def lost(self) -> list[Run]:
        """Pages that the target does not have."""
        return [run for run in self.image.unreadable if run.lost]

    def verdict(self, tables: frozenset[int] = frozenset()) -> Verdict:
        """The list against all its invariants; `tables` are the addresses of page tables."""
        known = Known.PARTS if self.gap else Known.LIST if self.lost else Known.ALL
        return check_runs(
            self.runs,
            self.pages,
            self.rules,
            stop=self.stop,
            strays=self.strays,
            tables=tables,
            broken=self.broken,
            known=known,
        )


def rules_of(section: Section) -> RunRules:
    """The kernel's own numbers; `KernelError` for some that cannot be."""
    numbers = section.numbers
    page_bytes = numbers.get("page_bytes", PAGE_BYTES)
    if page_bytes < 2 * _LINK_BYTES or page_bytes & (page_bytes - 1):
        raise KernelError(f"profile {section.profile}: frames.page_bytes {page_bytes} is no size of a page")
    junk = {key: numbers.get(key) for key in ("junk_free", "junk_used")}
    for key, byte in junk.items():
        if byte is not None and byte > _BYTE:
            raise KernelError(f"profile {section.profile}: frames.{key} {byte:#x} is no byte")
    return RunRules(
        page_bytes, section.structures["run"].offset("next"), junk["junk_free"], junk["junk_used"]
    )


def read_runs(target: Target, space: AddressSpace, section: Section) -> RunList:
    """The list's head and where free pages may be; its address is that of the head's own word."""
    holder = section.structures["type"]
    address = located(target, space, section, "list of free pages")
    values = holder.decode(space.read(address, holder.size_bytes))
    return RunList(
        address=VirtualAddress(address + holder.offset("free_list")),
        head=VirtualAddress(values["free_list"]),
        start=VirtualAddress(_edge(target, space, section, "start")),
        end=VirtualAddress(_edge(target, space, section, "end")),
        count=values.get("count", 0),
        locked=values.get("locked", 0),
        unkept=holder.unnamed({"count"}),
    )


def _edge(target: Target, space: AddressSpace, section: Section, key: str) -> int:
    """Where free pages begin, by the address of a symbol, or end, by the value of a variable; or a number."""
    name = section.names.get(key)
    if name is None:
        return section.numbers[f"{key}_address"]
    symbol = target.symbol(name)
    if symbol is None:
        raise KernelError(f"where free pages {key} is unknown: the kernel has no symbol {name}")
    return symbol if key == "start" else space.read_u64(symbol)


def follow_runs(space: AddressSpace, runs: RunList, rules: RunRules, held: frozenset[int]) -> LiftedRuns:
    """Read the list; `held` are pages that somebody is just taking or giving back: they are no strays."""
    start = VirtualAddress(min(runs.start, runs.end))
    lifted = LiftedRuns(runs, Image(space, start, runs.end), rules)
    junk = bytes([rules.junk_free or 0]) * rules.page_bytes
    seen: set[int] = set()

    def follow(at: int) -> int:
        """Take the pages from there on into the list; the link at which that ends."""
        while at and at not in seen and is_place(at, runs, rules):
            data = lifted.image.bytes_at(at, rules.page_bytes)
            if data is None:
                break
            seen.add(at)
            lifted.pages.append(_page(at, data, rules, junk))
            at = lifted.pages[-1].next
        return at

    def is_lost(at: int) -> bool:
        return is_place(at, runs, rules) and lifted.image.lacks(at, at + rules.page_bytes)

    lifted.stop = follow(int(runs.head))
    if rules.junk_free is not None and rules.junk_used is not None:
        lifted.strays = list(_strays(lifted, junk, seen | held))
    if is_lost(lifted.stop):
        lifted.gap, lifted.stop = lifted.stop, 0
        for start in beginnings(lifted.strays):
            stop = follow(start)
            if stop and stop not in seen and not is_lost(stop):
                lifted.broken.append(lifted.pages[-1])
        lifted.strays = []
    return lifted


def _page(address: int, data: bytes, rules: RunRules, junk: bytes) -> FreeRun:
    first, last = rules.link_offset, rules.link_offset + _LINK_BYTES
    link = VirtualAddress(int.from_bytes(data[first:last], "little"))
    if rules.junk_free is None or (data[last:] == junk[last:] and data[:first] == junk[:first]):
        return FreeRun(VirtualAddress(address), link)
    spoiled = [*_unlike(data, 0, first, junk), *_unlike(data, last, len(data), junk)]
    return FreeRun(
        VirtualAddress(address), link, tuple((VirtualAddress(address + at), part) for at, part in spoiled)
    )


def _unlike(data: bytes, start: int, end: int, junk: bytes) -> Iterator[tuple[int, bytes]]:
    """From the first byte in [start, end) that is no junk to the last one: they count as one stretch."""
    part = data[start:end]
    left = part.lstrip(junk[:1])
    if left:
        first = start + len(part) - len(left)
        yield first, left.rstrip(junk[:1])


def _strays(lifted: LiftedRuns, junk: bytes, known: set[int] | frozenset[int]) -> Iterator[FreeRun]:
    """Pages full of junk with a link that could be one."""
    rules, runs = lifted.rules, lifted.runs
    size, first, last = rules.page_bytes, rules.link_offset, rules.link_offset + _LINK_BYTES
    head, tail = junk[:first], junk[last:]
    for base, data in lifted.image.chunks():
        begin = align_up(base, size) - base
        for at in range(begin, len(data) - size + 1, size):
            # The last bytes alone tell most pages apart, and cost no copy of a page.
            if data[at + size - 16 : at + size] != junk[:16] or base + at in known:
                continue
            if data[at + last : at + size] != tail or data[at : at + first] != head:
                continue
            link = int.from_bytes(data[at + first : at + last], "little")
            if link == 0 or is_place(link, runs, rules):
                yield FreeRun(VirtualAddress(base + at), VirtualAddress(link))
