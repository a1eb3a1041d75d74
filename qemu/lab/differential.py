"""`make differential`: random sequences on kernel and model for a while; every difference, made short."""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lab.comparison import differences
from lab.executor import Executor, KernelStopped
from lab.modelled import Modelled, ModelStopped
from lab.orders import MOST_ORDERS, Order, text
from lab.sequences import CHOICES, KINDS, Draw, sequence

_MOST_DIVERGENCES: Final = 10
_SHORTENINGS: Final = 400  # tries
PROGRAMS: Final = ("leave", "churn one two")
"""The modules that sequences make processes of."""


@dataclass(slots=True)
class Pair:
    """A kernel and a model of the same machine."""

    executor: Executor
    modelled: Modelled

    def compare(self, orders: Sequence[Order]) -> list[str]:
        """Let both do a sequence from the state after boot; every difference."""
        self.executor.reset()
        self.modelled.reset()
        self.executor.serial_lines()
        kernel, stopped = self._kernel(orders)
        model, dead = self._model(orders)
        if stopped is not None or dead is not None:
            if stopped is not None and dead is not None and stopped.done == dead.done:
                return [f"both stop in order {stopped.done}: {stopped}; {dead}"]
            return [f"kernel: {stopped or 'goes on'}", f"model: {dead or 'goes on'}"]
        found = [
            f"#{number} {order}: model {ours:#x}, kernel {theirs:#x}"
            for number, (order, ours, theirs) in enumerate(zip(orders, model, kernel, strict=True))
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


def shortened(pair: Pair, draws: Sequence[Draw]) -> list[Draw]:
    """Fewer draws that still differ: pieces are left out, halves first, while that goes on."""
    kept, tries = list(draws), 0
    piece = max(1, len(kept) // 2)
    while tries < _SHORTENINGS:
        at, dropped = 0, False
        while at < len(kept) and tries < _SHORTENINGS:
            shorter = kept[:at] + kept[at + piece :]
            tries += 1
            if shorter and pair.compare(sequence(pair.modelled.machine, shorter)):
                kept, dropped = shorter, True
            else:
                at += piece
        if piece == 1 and not dropped:
            break
        piece = max(1, piece // 2)
    return kept


def main(arguments: Sequence[str] = ()) -> int:
    """Run for that many seconds; 1 when anything differed."""
    parser = argparse.ArgumentParser(prog="make differential")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--length", type=int, default=120, help="orders of a sequence, at most")
    given = parser.parse_args(arguments)
    with Executor(programs=PROGRAMS) as executor:
        pair = Pair(executor, Modelled(executor))
        return _run(pair, given.seconds, given.seed, min(given.length, MOST_ORDERS))


def _run(pair: Pair, seconds: float, seed: int, length: int) -> int:
    generator = random.Random(seed)
    start = time.monotonic()
    sequences = orders = divergences = 0
    while time.monotonic() - start < seconds and divergences < _MOST_DIVERGENCES:
        draws = [
            (generator.randrange(KINDS), *(generator.randrange(CHOICES) for _ in range(3)))
            for _ in range(generator.randint(1, length))
        ]
        pair.modelled.reset()
        given = sequence(pair.modelled.machine, draws)
        found = pair.compare(given)
        sequences, orders = sequences + 1, orders + len(given)
        if found:
            divergences += 1
            _tell(pair, draws)
    took = time.monotonic() - start
    print(
        f"seed {seed}: {orders:,} operations in {sequences:,} sequences in {took:.0f} s"
        f" ({orders / took:,.0f} operations/s; the kernel alone"
        f" {orders / max(pair.executor.guest_seconds, 1e-9):,.0f}/s), {divergences} divergences"
    )
    return int(divergences > 0)


def _tell(pair: Pair, draws: Sequence[Draw]) -> None:
    """Print a divergence, shortened."""
    pair.modelled.reset()
    short = shortened(pair, draws)
    pair.modelled.reset()
    given = sequence(pair.modelled.machine, short)
    found = pair.compare(given)
    print(f"\ndivergence:\n{text(given)}\n" + "\n".join(f"  {line}" for line in found), flush=True)
    sys.stdout.flush()
