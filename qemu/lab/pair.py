"""A kernel and a model of the same machine that do the same: where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lab.comparison import differences
from lab.executor import Executor, KernelStopped
from lab.modelled import Modelled, ModelStopped
from lab.orders import Code, Order

PROGRAMS: Final = ("leave", "churn one two")
"""The modules that sequences make processes of."""

_DAMAGE: Final = (Code.STORE, Code.FILL)
"""What can smash an object that nothing checks; without one of these the kernel never stops."""


@dataclass(slots=True)
class Pair:
    """A kernel and a model of the same machine."""

    executor: Executor
    modelled: Modelled
    both_stopped: int = 0
    """How often a smashed object stopped both in the same order."""

    def compare(self, orders: Sequence[Order]) -> list[str]:
        """Let both do a sequence from the state after boot; every difference."""
        self.executor.reset()
        self.modelled.reset()
        self.executor.serial_lines()
        model, dead = self._model(orders)
        kernel, stopped = self._kernel(orders if dead else orders[: len(model)])
        if stopped is not None or dead is not None:
            if stopped is not None and dead is not None and stopped.done == dead.done:
                self.both_stopped += 1
                damaged = any(order.code in _DAMAGE for order in orders[: stopped.done])
                return [] if damaged else [f"both stop in order {stopped.done}: {stopped}; {dead}"]
            return [f"kernel: {stopped or 'goes on'}", f"model: {dead or 'goes on'}"]
        found = [
            f"#{number} {order}: model {ours:#x}, kernel {theirs:#x}"
            for number, (order, ours, theirs) in enumerate(zip(orders, model, kernel, strict=False))
            if ours != theirs
        ]
        printed = self.executor.serial_lines()
        if printed != self.modelled.lines:
            found += _lines(self.modelled.lines, printed)
        return found + differences(self.executor, self.modelled)

    def _kernel(self, orders: Sequence[Order]) -> tuple[list[int], KernelStopped | None]:
        try:
            return self.executor.run(orders), None
        except KernelStopped as stop:
            return [], stop

    def _model(self, orders: Sequence[Order]) -> tuple[list[int], ModelStopped | None]:
        try:
            return self.modelled.run(orders), None
        except ModelStopped as stop:
            return [], stop


def _lines(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """The first line of the serial log that differs."""
    for index in range(max(len(ours), len(theirs))):
        a = ours[index] if index < len(ours) else "nothing"
        b = theirs[index] if index < len(theirs) else "nothing"
        if a != b:
            return [f"line {index}: model {a!r}, kernel {b!r}"]
    return []
