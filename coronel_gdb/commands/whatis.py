"""`whatis`: everything that an address is, by symbols, structures, page tables and trace."""

import argparse
from collections.abc import Iterator

from coronel_gdb.commands.command import Command, Context, Option
from coronel_gdb.commands.heapcheck import has_own_user_heap
from coronel_gdb.commands.roles.kernel import KernelRoles
from coronel_gdb.commands.roles.pages import PhysicalPage, physical_page
from coronel_gdb.commands.roles.process import own_heap_role, user_roles
from coronel_gdb.commands.roles.role import COLUMNS, HEXADECIMAL, Role, joined
from coronel_gdb.commands.roles.traced import Traced
from coronel_gdb.commands.survey import Survey, value_of
from coronel_gdb.commands.walks.words import SIZES, rights
from coronel_gdb.errors import CoronelError, KernelError, NotInitialised, ReadFault, UsageError
from coronel_gdb.lift.all_spaces import who
from coronel_gdb.lift.kernel_image import read_image
from coronel_gdb.lift.owner import backing
from coronel_gdb.lift.space import explain
from coronel_gdb.lift.spaces import KnownSpaces, known_spaces
from coronel_gdb.report import Absent, Report, Table
from model.paging import Translation
from model.types import PAGE_BYTES, VirtualAddress, align_down

_PHYSICAL_END = 1 << 52


def run(context: Context, options: argparse.Namespace) -> Report:
    """Answer for one address."""
    if not options.address:
        raise UsageError("whatis: an ADDRESS is needed, a number or an expression")
    _ = context.space  # without a target or paging nothing else is worth a word
    address = value_of(context, "whatis", " ".join(options.address), "address")
    if options.physical and address >= _PHYSICAL_END:
        raise UsageError(
            f"whatis: {address:#x} is no physical address (leave out --physical for a virtual one)"
        )
    answer = _Answer(context, address)
    return answer.of_physical() if options.physical else answer.of_virtual()


class _Answer:
    """One address, and what has been found out so far."""

    def __init__(self, context: Context, address: int) -> None:
        self.context = context
        self.address = address
        self.report = Report("whatis", "")
        self.survey = Survey(context)
        self.traced = Traced(context)
        self.roles: list[Role] = []
        self.kernel: KernelRoles | None = None
        self.no_profile = ""
        try:
            image = read_image(context.target, context.space)
        except ReadFault:
            image = None
        try:
            _ = context.profile
            self.kernel = KernelRoles(self.survey, self.traced, image)
        except KernelError as error:
            self.no_profile = str(error)
        known = context.profile if self.kernel is not None else self.no_profile
        self.known: KnownSpaces = known_spaces(context.target, context.space, known)

    def of_virtual(self) -> Report:
        """A virtual address: in the current space, and where it is a process's in its own."""
        report, space, address = self.report, self.context.space, VirtualAddress(self.address)
        found = space.translate(address)
        self._roles_of(address)
        physical: int | None = None
        nothing = ""
        if isinstance(found, Translation):
            physical = found.physical
            size = SIZES[found.page_bytes]
            text = f"physical {found.physical:#x}, {size} page, {rights(found.rights)}"
            report.facts.append(("mapping", text))
        else:
            nothing = explain(found)
            report.facts.append(("mapping", nothing))
            for name, there in self._in_processes(address):
                physical = there.physical if physical is None else physical
                text = f"physical {there.physical:#x}, {rights(there.rights)}"
                report.facts.append((f"in {name}", text))
        page = self._frame(physical) if physical is not None else None
        return self._finished(page, f"{self.address:#x}", nothing)

    def of_physical(self) -> Report:
        """A physical address, and with it all virtual ones that lead there."""
        page = self._frame(self.address)
        for mapping in page.mappings:
            if mapping.virtual >> 63 or mapping.space.pid is None:
                self._roles_of(mapping.virtual, own=mapping.virtual >> 63 == 0)
            else:
                self._user_roles(mapping.virtual, mapping.space.pid)
        return self._finished(page, f"physical {self.address:#x}", "")

    def _roles_of(self, virtual: int, *, own: bool = True) -> None:
        """What a virtual address is to the kernel, and with `own` to every process that has it."""
        self.roles += self._symbol(virtual)
        if self.kernel is not None and virtual >> 63:
            self.roles += self.kernel.at(virtual)
        elif self.kernel is not None and own:
            if has_own_user_heap(self.context):
                self.roles += self._own_heap(virtual)
            for process in self.survey.listed.processes:
                self._user_roles(virtual, process.pid)

    def _own_heap(self, virtual: int) -> list[Role]:
        assert self.kernel is not None
        header = self.kernel.layout(self.context.profile.ring3_heap.block.name)
        try:
            return list(own_heap_role(self.survey, virtual, header))
        except NotInitialised:
            return []
        except CoronelError as error:
            self.report.not_checked.append(Absent("user heap", str(error)))
            return []

    def _user_roles(self, virtual: int, pid: int) -> None:
        assert self.kernel is not None
        header = self.kernel.layout(self.context.profile.ring3_heap.block.name)
        for process in self.survey.listed.processes:
            if process.pid != pid:
                continue
            try:
                self.roles += user_roles(self.survey, process, virtual, header)
            except CoronelError as error:
                self.report.not_checked.append(Absent(who(process), str(error)))

    def _symbol(self, virtual: int) -> Iterator[Role]:
        """The function or variable of the kernel's file, of code with its line."""
        kernel = self.context.target.kernel()
        if kernel is None:
            return
        try:
            from coronel_gdb.layout.symbols import SymbolFile

            found = SymbolFile(kernel).around(virtual)
        except KernelError as error:
            self.report.not_checked.append(Absent("symbols", str(error)))
            return
        if found is None:
            return
        name, symbol = found
        details: tuple[str, ...] = ()
        if symbol.is_function:
            try:
                from coronel_gdb.layout.lines import locate

                place = locate(kernel, [virtual]).get(virtual)
                details = (f"{place.file}:{place.line}",) if place is not None else ()
            except (ImportError, KernelError):
                pass  # without a line table the symbol must do
        kind = "function" if symbol.is_function else "variable" if symbol.size_bytes else "label"
        yield Role(f"{kind} {name}", symbol.address, virtual - symbol.address, details)

    def _in_processes(self, address: VirtualAddress) -> Iterator[tuple[str, Translation]]:
        for one in self.known.spaces:
            if one.pid is not None and one.root != self.context.space.root:
                found = self.context.space_of(one.root).translate(address)
                if isinstance(found, Translation):
                    yield one.name, found

    def _frame(self, physical: int) -> PhysicalPage:
        """The frame: all mappings, the tables that it is, and its owner by the ledger."""
        context, report = self.context, self.report
        page = physical_page(context.space, self.known, physical, context.progress)
        self.roles += page.tables
        frame = align_down(physical, PAGE_BYTES)
        if self.kernel is None or not context.profile.counts_frames:
            what = backing(context.space, physical)
            report.facts.append(("frame", f"{frame:#x}" + (f", {what}" if what else "")))
            return page
        try:
            segment = next((s for s in self.survey.segments if s.start <= frame < s.end), None)
            managed = any(start <= frame < end for start, end in self.survey.frames.manager.ranges)
        except CoronelError as error:
            report.not_checked.append(Absent(f"owner of frame {frame:#x}", str(error)))
            return page
        claims = segment.claims if segment else ()
        text = " and ".join(dict.fromkeys(f"{claim.owner.value}, {claim.who}" for claim in claims))
        nobody = (
            "lost: neither free nor a page table nor mapped" if managed else "not managed, claimed by nobody"
        )
        report.facts.append(("frame", f"{frame:#x}: {text or nobody}"))
        node = self.survey.frames.node_of(frame)
        if node is not None:
            report.facts.append(("frame node", f"{node:#x}"))
        for line in self.traced.of_frame(frame):
            report.facts.append(("frame freed" if line.startswith("freed") else "frame taken", line))
        if self.survey.busy:
            why = f"an operation is under way (lock of {self.survey.busy} held); `finish` it and ask again"
            report.not_checked.append(Absent("owner of the frame", why))
        return page

    def _finished(self, page: PhysicalPage | None, name: str, nothing: str) -> Report:
        report = self.report
        roles = joined(self.roles)
        if page is not None:
            if page.more:
                report.facts.append(("mappings", f"{page.more:,} more than are listed"))
            report.not_checked += page.absent
        else:
            report.not_checked += [Absent(what, why) for what, why in self.known.missing]
        report.not_checked += self.survey.absent
        report.not_checked = list(dict.fromkeys(report.not_checked))
        if self.no_profile:
            report.facts.append(("kernel", f"its structures are not known: {self.no_profile}"))
        if roles:
            report.tables.append(Table("roles", COLUMNS, [role.row() for role in roles], HEXADECIMAL))
        if page is not None and page.mappings:
            report.tables.append(page.table())
        report.summary = f"{name}: {self._words(roles, page) or nothing}"
        return report

    def _words(self, roles: list[Role], page: PhysicalPage | None) -> str:
        """The symbol and the innermost structure."""
        symbols = [role for role in roles if role.what.startswith(("function ", "variable ", "label "))]
        others = [role for role in roles if role not in symbols and not role.what.startswith("page table")]
        tables = [role for role in roles if role.what.startswith("page table")]
        said = [role.words for role in (*symbols[:1], *others[-1:], *tables[:1])]
        if not said and page is not None:
            count = len(page.mappings) + page.more
            facts = dict(self.report.facts)
            frame = str(facts.get("frame", ""))
            said = [f"physical {page.physical:#x}, frame {frame}, {count} mapping{'s' * (count != 1)}"]
        return "; ".join(said)


COMMAND = Command(
    "whatis",
    "Say everything that an address is, and who has it.",
    "Takes a number or an expression; a virtual address of the current space, or with --physical a physical\n"
    "one. Says which function or variable it lies in, which area, heap block (state, size, neighbours, who\n"
    "allocated and freed it), node, object, record, page table entry or region of a process, who has the\n"
    "frame, and lists every mapping in every address space. Of a kernel without symbols: what the page\n"
    "tables tell. In GDB it is `coronel whatis`, as `whatis` is GDB's own. Exit code (in $coronel_exit):\n"
    "0 answered, 2 something could not be looked at.",
    "coronel whatis g_kernel_heap->first_block_",
    (
        Option(
            "address",
            "what to explain: a number or an expression of the debugger's",
            "ADDRESS|EXPRESSION",
            True,
        ),
        Option("--physical", "the address is a physical one"),
    ),
    run,
)
