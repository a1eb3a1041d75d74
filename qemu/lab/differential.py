"""`make differential`: random sequences on kernel and model for a while; every difference, made short."""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from typing import Final

from lab.executor import Executor
from lab.modelled import Modelled
from lab.orders import MOST_ORDERS, text
from lab.pair import PROGRAMS, Pair
from lab.sequences import CHOICES, KINDS, Draw, sequence

_MOST_DIVERGENCES: Final = 10
_SHORTEN_SECONDS: Final = 40.0


def shortened(pair: Pair, draws: Sequence[Draw]) -> list[Draw]:
    """Fewer draws that still differ: pieces are left out, halves first, while that goes on."""
    kept, deadline = list(draws), time.monotonic() + _SHORTEN_SECONDS
    piece = max(1, len(kept) // 2)
    while time.monotonic() < deadline:
        at, dropped = 0, False
        while at < len(kept) and time.monotonic() < deadline:
            shorter = kept[:at] + kept[at + piece :]
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
        draws = [_draw(generator) for _ in range(generator.randint(1, length))]
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
        f" {orders / max(pair.executor.guest_seconds, 1e-9):,.0f}/s); smashed objects stopped both"
        f" {pair.both_stopped} times; {divergences} divergences"
    )
    return int(divergences > 0)


def _draw(generator: random.Random) -> Draw:
    x, y, z = (generator.randrange(CHOICES) for _ in range(3))
    return generator.randrange(KINDS), x, y, z


def _tell(pair: Pair, draws: Sequence[Draw]) -> None:
    """Print a divergence, shortened."""
    pair.modelled.reset()
    short = shortened(pair, draws)
    pair.modelled.reset()
    given = sequence(pair.modelled.machine, short)
    found = pair.compare(given)
    print(f"\ndivergence:\n{text(given)}\n" + "\n".join(f"  {line}" for line in found), flush=True)
    sys.stdout.flush()
