"""Structured random cases: mostly sound tables with a few surprises, in random states (every rule)."""

import random
from collections.abc import Iterator
from typing import Final

from lab.hardware.cases import able
from lab.hardware.engines import FOUR_GIB, Engine
from lab.hardware.tables import DATA, NX, PS, TABLES, A, D, G, P, U, W, hint
from lab.hardware.vectors import Case, Flag, Group, Kind
from model.page_entry import ENTRY_BYTES, Level, table_index
from model.paging import sign_extend
from model.types import PAGE_BYTES

CASES_PER_GROUP: Final = 12
# Keys 0 to 14 alone: pages of the harness have 15.
_KEYS: Final = 0x3FFF_FFFF
_WHOLE: Final = 100_000  # groups when the share is 1


def drawn(engine: Engine, chance: random.Random, share: float) -> Iterator[Group]:
    """Groups of random tables; `share` 1 is 100,000 groups for an engine."""
    for _ in range(round(_WHOLE * share)):
        yield _group(engine, chance)


def _group(engine: Engine, chance: random.Random) -> Group:
    linear = _linear(engine, chance)
    crosses = chance.random() < 0.15
    linear |= chance.randrange(0xFF9, 0x1000) if crosses else chance.randrange(512) * 8
    leaf = Level(chance.choices((1, 2, 3), (4, 2, 1))[0])
    entries: dict[int, int] = {}
    free = _tables(engine, chance)
    root = next(free)
    _map(entries, free, root, (linear, leaf), engine, chance)
    if crosses:
        after = sign_extend((linear // PAGE_BYTES + 1) * PAGE_BYTES, engine.levels)
        if table_index(after, Level(engine.levels)) != 511:
            _map(entries, free, root, (after, leaf), engine, chance)
    cases = able(engine, [_case(chance, crosses=crosses) for _ in range(CASES_PER_GROUP)])
    low = chance.getrandbits(12) if chance.random() < 0.3 else 0
    return Group(
        linear,
        root | low,
        entries,
        cases,
        chance.getrandbits(64),
        hint(chance, present=chance.random() < 0.3),
    )


def _linear(engine: Engine, chance: random.Random) -> int:
    """A canonical page outside the top slot; small indices often, so that tables meet themselves."""
    address = 0
    for level in range(engine.levels, 0, -1):
        index = chance.choice((0, 1, 255, 256, 510)) if chance.random() < 0.3 else chance.randrange(511)
        if level == 2:
            index &= 0x7F  # 1-GByte pages have their data inside the test's memory then
        address |= index << (12 + 9 * (level - 1))
    return sign_extend(address, engine.levels)


def _tables(engine: Engine, chance: random.Random) -> Iterator[int]:
    """Pages for tables, none twice; some above 4 GiB where there is RAM."""
    seen: set[int] = set()
    while True:
        at = TABLES + PAGE_BYTES * chance.randrange(0x2000)
        if engine.high_ram(FOUR_GIB) and chance.random() < 0.4:
            at += FOUR_GIB
        if at not in seen:
            seen.add(at)
            yield at


def _map(
    entries: dict[int, int],
    free: Iterator[int],
    root: int,
    target: tuple[int, Level],
    engine: Engine,
    chance: random.Random,
) -> None:
    """Entries from the root to a leaf; what is there already stays, and a table may be one of those above."""
    linear, leaf = target
    table, tables = root, [root]
    for level in range(engine.levels, leaf - 1, -1):
        at = table + ENTRY_BYTES * table_index(linear, Level(level))
        if at in entries:
            return
        if level == leaf:
            entries[at] = _leaf(leaf, engine, chance)
            return
        table = chance.choice(tables) if chance.random() < 0.03 else next(free)
        tables.append(table)
        entries[at] = table | _flags(level, engine, chance)


def _flags(level: int, engine: Engine, chance: random.Random) -> int:
    """Random flags of an entry: most allow, ignored bits are noise, a few reserved bits."""
    noise = chance.getrandbits(64) & (0x7FF << 52 | 7 << 9 | 1 << 3 | 1 << 4 | A | D | G)
    flags = noise | (P if chance.random() < 0.97 else 0)
    flags |= (W if chance.random() < 0.85 else 0) | (U if chance.random() < 0.8 else 0)
    flags |= NX if chance.random() < 0.08 else 0
    if chance.random() < 0.04:
        flags |= 1 << chance.randrange(32, 52)
    if level >= Level.PML4E and chance.random() < 0.02:
        flags |= PS
    return flags


def _leaf(leaf: Level, engine: Engine, chance: random.Random) -> int:
    high = FOUR_GIB if engine.high_ram(FOUR_GIB) and chance.random() < 0.4 else 0
    flags = _flags(leaf, engine, chance)
    if leaf is Level.PTE:
        pat = PS if chance.random() < 0.5 else 0
        return DATA + PAGE_BYTES * chance.randrange(0x4000) + high | flags | pat
    low = 1 << 12 if chance.random() < 0.5 else 0
    if chance.random() < 0.05:
        low |= 1 << chance.randrange(13, 12 + 9 * (leaf - 1))
    base = 0 if leaf is Level.PDPTE else DATA + (chance.randrange(32) << 21)
    return base + high | flags | low | PS


def _case(chance: random.Random, *, crosses: bool) -> Case:
    kinds = (Kind.READ1, Kind.READ8, Kind.WRITE1, Kind.WRITE8)
    kind = chance.choice(
        kinds if crosses else (*kinds, Kind.FETCH, Kind.FETCH, Kind.LOAD, Kind.LOAD, Kind.MODIFY)
    )
    flags = chance.getrandbits(9) | (Flag.NXE if chance.random() < 0.7 else 0)
    return Case(kind, flags, _key_register(chance), _key_register(chance))


def _key_register(chance: random.Random) -> int:
    """Rights of keys: a quarter of the bits set."""
    return chance.getrandbits(32) & chance.getrandbits(32) & _KEYS
