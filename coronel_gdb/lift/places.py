"""Where recorded operations were called from, in the source; looked up when first asked for."""

from pathlib import Path

from coronel_gdb.errors import KernelError
from model.trace import TraceRecord


class Places:
    """Record → `function file:line` of its caller; the bare address where no line table tells more."""

    def __init__(self, kernel: Path | None) -> None:
        self._kernel = kernel
        self._known: dict[int, str] = {}

    def __call__(self, record: TraceRecord) -> str:
        """Where the operation was called."""
        if record.caller not in self._known:
            self._known[record.caller] = self._look_up(record.caller)
        return self._known[record.caller]

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
