"""What is tried: each function yields groups of one kind, all of it or a share drawn by a seeded source."""

import random
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Final

from lab.hardware.engines import Engine
from lab.hardware.tables import (
    NX,
    SHAPES,
    USER_FLAGS,
    Shape,
    U,
    W,
    address_of,
    cases_of,
    group_of,
    hint,
    tables_of,
)
from lab.hardware.vectors import Case, Flag, Group, Kind
from model.page_entry import Level
from model.paging import canonical

Generate = Callable[[Engine, random.Random, float], Iterator[Group]]

KEY: Final = 6
_AD, _WD = 1 << (2 * KEY), 2 << (2 * KEY)
_F = Flag

# What a flip is tried in: an ordinary kernel; all protection on; nothing on; SMAP opened by AC;
# no NX, and keys of supervisor pages alone.
FLIP_STATES: Final = (
    (_F.WP | _F.NXE, 0, 0),
    (_F.WP | _F.NXE | _F.SMEP | _F.SMAP | _F.PKE | _F.PKS, _AD | _WD, _AD),
    (_F(0), 0, 0),
    (_F.NXE | _F.SMAP | _F.AC | _F.PKE | _F.PKS | _F.PGE, _WD, _AD | _WD),
    (_F.WP | _F.SMAP | _F.PKS, 0, _WD),
)


def shapes_of(engine: Engine) -> list[Shape]:
    """The shapes of tables that the engine walks with its number of levels."""
    return [shape for shape in SHAPES if shape.levels == engine.levels]


def able(engine: Engine, cases: list[Case]) -> list[Case]:
    """The cases that the engine's CPU can be put into, each once."""
    allowed = [
        Case(int(case.kind), int(case.flags) & engine.flags, case.pkru, case.pkrs)
        for case in cases
        if case.kind in engine.kinds
    ]
    return list(dict.fromkeys(allowed))


def flips(engine: Engine, chance: random.Random, share: float) -> Iterator[Group]:
    """Every bit of every entry flipped, alone and together with every other one (R6 to R21)."""
    for shape in shapes_of(engine):
        start = tables_of(shape)
        leaf = list(start)[-1]
        start[leaf] |= KEY << 59
        cases = able(engine, cases_of(FLIP_STATES))
        places = [(at, bit) for at in start for bit in range(64)]
        singles = [(place,) for place in places]
        for flipped in (*singles, *combinations(places, 2)):
            if len(flipped) > 1 and share < 1 and chance.random() >= share:
                continue
            entries = dict(start)
            for at, bit in flipped:
                entries[at] ^= 1 << bit
            yield group_of(shape, entries, list(cases), address_of(shape), chance)


def factorial(engine: Engine, chance: random.Random, share: float) -> Iterator[Group]:
    """Which level denies U, W and X, in every state, with all rights of keys (R12 to R19)."""
    settings = (_F.WP, _F.SMEP, _F.SMAP, _F.PKE, _F.PKS, _F.NXE, _F.AC)
    states = [
        (sum((flag for flag, on in zip(settings, bits, strict=True) if on), _F(0)), user, supervisor)
        for bits in product((False, True), repeat=len(settings))
        for user, supervisor in product((0, _AD, _WD, _AD | _WD), repeat=2)
    ]
    cases = able(engine, cases_of(states))
    for shape in shapes_of(engine):
        levels = (None, *shape.depth)
        for no_user, no_write, no_execute in product(levels, repeat=3):
            flags = [
                (USER_FLAGS & ~(U if level == no_user else 0) & ~(W if level == no_write else 0))
                | (NX if level == no_execute else 0)
                for level in shape.depth
            ]
            entries = tables_of(shape, flags)
            entries[list(entries)[-1]] |= KEY << 59
            drawn = cases if share >= 1 else [case for case in cases if chance.random() < share]
            yield group_of(shape, entries, list(drawn), address_of(shape), chance)


def reserved(engine: Engine, chance: random.Random, share: float) -> Iterator[Group]:
    """Every address bit from MAXPHYADDR on, in every entry (R8)."""
    state = (_F.WP | _F.NXE, 0, 0)
    for shape in shapes_of(engine):
        start = tables_of(shape)
        for at, bit in product(start, range(engine.physical_bits, 52)):
            cases = able(engine, cases_of([state]))
            if share < 1:
                cases = chance.sample(cases, max(1, round(share * len(cases))))
            entries = start | {at: start[at] | 1 << bit}
            yield group_of(shape, entries, cases, address_of(shape), chance)


def edges(engine: Engine, chance: random.Random, share: float) -> Iterator[Group]:
    """Addresses around the ends of the canonical halves of both widths, and far from them (R3, R4)."""
    around = [1 << 47, 1 << 48, 1 << 56, 1 << 57, 1 << 63, (1 << 64) - (1 << 47), (1 << 64) - (1 << 56)]
    steps = [0, 8, 0x10, 0xFF8, 0x1000, 0x1FF8, 0x20_0000, 0x4000_0000]
    linears = {(at + sign * step) % (1 << 64) & ~7 for at in around for step in steps for sign in (-1, 1)}
    linears |= {(1 << bit) | 0x1000 for bit in range(30, 64)} | {
        (1 << 64) - (1 << bit) - 0x1000 for bit in range(30, 64)
    }
    linears |= {chance.getrandbits(64) & ~7 for _ in range(round(200 * share))}
    states = [(_F.WP | _F.NXE, 0, 0), (_F.WP | _F.NXE | _F.SMEP | _F.SMAP, 0, 0)]
    for shape in shapes_of(engine):
        for linear in sorted(linears):
            inside = canonical(linear, engine.levels)
            own = linear >> (12 + 9 * (engine.levels - 1)) & 511 == 511
            if own and inside:
                continue  # the harness's own slot
            cases = able(engine, cases_of(states))
            if not inside and not engine.loads_any_base:
                cases = [case for case in cases if case.kind != Kind.LOAD]
            if share < 1:
                cases = chance.sample(cases, max(1, round(share * len(cases))))
            entries = {} if own else tables_of(shape, linear=linear)
            if shape.leaf is Level.PDPTE and linear & 0x3FFF_FFFF >= 1 << 28:
                cases = [case for case in cases if case.kind == Kind.READ8] if inside else cases
            yield group_of(shape, entries, cases, linear, chance)


def modifications(engine: Engine, chance: random.Random, share: float) -> Iterator[Group]:
    """Read-modify-writes, and descriptors that are marked as accessed, against rights and presence."""
    flags = (0, USER_FLAGS, USER_FLAGS & ~W, USER_FLAGS & ~U, USER_FLAGS | 1 << 5, USER_FLAGS | 1 << 45)
    states = [(_F.NXE, 0, 0), (_F.NXE | _F.WP, 0, 0), (_F.NXE | _F.WP | _F.SMAP, 0, 0)]
    states += [(_F.NXE | _F.WP | _F.SMAP | _F.AC, 0, 0), (_F.NXE | _F.WP | _F.PKE | _F.PKS, _WD, _WD)]
    modes = [(kind, cpl) for kind in (Kind.MODIFY, Kind.LOAD) for cpl in (0, _F.CPL3)]
    for shape in shapes_of(engine):
        for each in product(flags, repeat=len(shape.depth)):
            if share < 1 and chance.random() >= share:
                continue
            entries = tables_of(shape, each)
            entries[list(entries)[-1]] |= KEY << 59
            group = group_of(shape, entries, able(engine, cases_of(states, modes)), address_of(shape), chance)
            group.hint_value = hint(chance, present=True)
            yield group


ALL: Final[dict[str, Generate]] = {
    "flips": flips,
    "factorial": factorial,
    "reserved": reserved,
    "edges": edges,
    "modifications": modifications,
}
"""By name; `lab.hardware.drawn` has the random ones."""
