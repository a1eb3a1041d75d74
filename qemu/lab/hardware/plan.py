"""What `make hardware` runs on each engine, and what of it `make test` draws."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lab.hardware.cases import Generate, edges, factorial, flips, modifications, reserved
from lab.hardware.drawn import drawn
from lab.hardware.engines import Engine, Tcg
from lab.hardware.run import Count, run

SEED: Final = 0x5EED
LARGE_BYTES: Final = 6 << 30

TCG_DEVIATIONS: Final = frozenset({"T1", "T2", "T3", "T4", "T5", "T6", "T7"})


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of cases on some CPUs of an engine; `whole`, `quick`: its shares in `make hardware` and in tests."""

    name: str
    generate: Generate
    engines: tuple[Engine, ...]
    whole: float = 1.0
    quick: float = 1.0

    def run(self, amount: float, seed: int) -> Iterator[tuple[Engine, Count]]:
        """Run a share of the part, CPU by CPU. The same seed draws the same cases."""
        for number, engine in enumerate(self.engines):
            chance = random.Random(f"{seed} {self.name} {number}")
            yield engine, run(engine, self.generate(engine, chance, min(amount, 1.0)))


def _both(engine: Engine) -> tuple[Engine, ...]:
    return replace(engine, levels=4), replace(engine, levels=5)


_TCG: Final = Tcg()
_WIDTHS: Final = tuple(
    replace(_TCG, levels=levels, physical_bits=bits) for bits in range(32, 52) for levels in (4, 5)
)
_DRAWN: Final = tuple(
    replace(_TCG, levels=levels, physical_bits=bits, memory_bytes=memory)
    for levels in (4, 5)
    for bits, memory in ((32, 512 << 20), (39, 512 << 20), (46, LARGE_BYTES), (52, LARGE_BYTES))
)

TCG: Final = (
    Part("canonical edges", edges, _both(_TCG), quick=0.15),
    Part("read-modify-writes and accessed descriptors", modifications, _both(_TCG), quick=0.1),
    Part("no 1-GByte pages", drawn, _both(replace(_TCG, huge_pages=False)), whole=0.1, quick=0.002),
    Part("every MAXPHYADDR", reserved, _WIDTHS),
    Part("structured random", drawn, _DRAWN, whole=0.25, quick=0.005),
    Part("which level denies, in every state", factorial, _both(_TCG), quick=0.006),
    Part("bit flips, one and two", flips, _both(_TCG), quick=0.006),
)


def quick_of(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with fewer CPUs, for a draw of seconds."""
    return tuple(
        replace(
            part,
            engines=part.engines[:: max(1, len(part.engines) // 4)]
            if len(part.engines) > 2
            else part.engines,
        )
        for part in parts
    )
