"""Where recorded operations were called from, in the source; looked up when first asked for."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from coronel_gdb.errors import KernelError
from coronel_gdb.lift.trace import describe, history
from model.trace import TraceRecord


class Places:
    """Record → `function file:line` of its caller; the bare address where no line table tells more."""

    def __init__(self, kernel: Path | None) -> None:
        self._kernel = kernel
        self._known: dict[int, str] = {}

    def load(self, callers: Iterable[int]) -> None:
        """Look many up at once: the line table is opened once for all of them."""
        wanted = {caller for caller in callers if caller not in self._known}
        try:
            from coronel_gdb.layout.lines import locate

            found = locate(self._kernel, [caller - 1 for caller in wanted]) if self._kernel else {}
        except (ImportError, KernelError):
            found = {}
        self._known |= {caller: str(found.get(caller - 1) or f"{caller:#x}") for caller in wanted}

    def __call__(self, record: TraceRecord) -> str:
        """Where the operation was called."""
        return self.at(record.caller)

    def at(self, caller: int) -> str:
        """The place of a return address."""
        if caller not in self._known:
            self._known[caller] = self._look_up(caller)
        return self._known[caller]

    def _look_up(self, caller: int) -> str:
        if self._kernel is None:
            return f"{caller:#x}"
        try:
            from coronel_gdb.layout.lines import locate

            # A return address belongs to the statement after the call.
            place = locate(self._kernel, [caller - 1]).get(caller - 1)
        except (ImportError, KernelError):  # without pyelftools the address must do
            return f"{caller:#x}"
        return str(place) if place is not None else f"{caller:#x}"


def provenance(records: Sequence[TraceRecord], pointer: int, place: Places) -> Iterator[str]:
    """Who allocated the block with data at `pointer`, and who freed it, in one line each."""
    known = history(records, pointer)
    if known.allocated is not None:
        yield f"allocated by {describe(known.allocated)}, called from {place(known.allocated)}"
    if known.freed is not None:
        yield f"freed by {describe(known.freed)}, called from {place(known.freed)}"
