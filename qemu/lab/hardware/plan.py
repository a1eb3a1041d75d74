"""What `make hardware` runs on each engine, and what of it `make test` draws."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from lab.hardware.cases import Generate, edges, factorial, flips, modifications, reserved
from lab.hardware.drawn import drawn
from lab.hardware.engines import Bochs, Engine, Kvm, Tcg
from lab.hardware.run import Count, run

SEED: Final = 0x5EED
LARGE_BYTES: Final = 6 << 30

MUST: Final = {
    "tcg": frozenset({"T1", "T2", "T3", "T4", "T5", "T6", "T7"}),
    "bochs": frozenset({"B1", "B3"}),
    "kvm": frozenset({"K5"}),
}
"""The deviations that a run has to meet: one that is never met is not known to be there any more."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of cases on some CPUs of an engine; `whole` is its share here, `quick` that of a test."""

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
    Part("structured random", drawn, _DRAWN, whole=0.25, quick=0.003),
    Part("which level denies, in every state", factorial, _both(_TCG), quick=0.005),
    Part("bit flips, one and two", flips, _both(_TCG), quick=0.004),
)

_BOCHS: Final = (Bochs(),)
BOCHS: Final = (
    Part("canonical edges", edges, _BOCHS),
    Part("read-modify-writes and accessed descriptors", modifications, _BOCHS),
    Part("structured random", drawn, _BOCHS, whole=0.18, quick=0.004),
    Part("which level denies, in every state", factorial, _BOCHS, whole=0.05),
    Part("bit flips, one and two", flips, _BOCHS, whole=0.05),
)

# Two thousand cases a second, and at CPL 0 an emulator of instructions that knows few of them.
_KVM: Final = tuple(Kvm(physical_bits=bits) for bits in (36, 40, 46, 52))
KVM: Final = (
    Part("canonical edges", edges, _KVM[:1], whole=0.5),
    Part("structured random", drawn, _KVM, whole=0.037, quick=0.001),
    Part("which level denies, in every state", factorial, _KVM[:1], whole=0.01),
    Part("bit flips, one and two", flips, _KVM[:1], whole=0.001),
)
PLANS: Final = {"tcg": TCG, "bochs": BOCHS, "kvm": KVM}
