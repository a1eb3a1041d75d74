"""A page, a use of it, and one formula for what comes of that, written from the SDM's sentences.

The formula knows nothing of the model: it is one expression for each question (present? reserved?
allowed? key?), where the model walks.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Entry:
    """The bits of an entry that are varied; `reserved` is the number of a reserved bit that it has."""

    p: bool
    a: bool
    w: bool
    u: bool
    d: bool
    nx: bool
    reserved: int | None = None

    @property
    def raw(self) -> int:
        """The entry without its address, PS and key."""
        bits = (self.p, self.w, self.u, False, False, self.a, self.d)
        value = sum(1 << number for number, bit in enumerate(bits) if bit) | self.nx << 63
        return value | (1 << self.reserved if self.reserved is not None else 0)


@dataclass(frozen=True, slots=True)
class Tables:
    """A page of 4 KiB, or of 2 MiB when `large`: then the PTE lies behind it and says nothing.

    The entries above allow everything, but writes where `upper_w` is False. `keyed`: the page has the key
    whose rights a use names; without, it has key 0, which denies nothing.
    """

    pde: Entry
    pte: Entry
    large: bool = False
    upper_w: bool = True
    keyed: bool = True


@dataclass(frozen=True, slots=True)
class Use:
    """How the CPU is set, and what is tried; `twice`: after a supervisor has read there."""

    nxe: bool
    wp: bool
    smep: bool
    smap: bool
    ac: bool
    pke: bool
    pks: bool
    ad: bool
    wd: bool
    operation: str
    user: bool
    twice: bool = False


class Answer(NamedTuple):
    """The error code, None when the access is allowed; then A and D of PDE and PTE as they are afterwards."""

    error: int | None
    marks: tuple[bool, bool, bool, bool] | None = None


def formula(tables: Tables, use: Use) -> Answer:
    """What comes of the use; of the second access, when it is two."""
    if use.twice:
        tables = marked(tables, _once(tables, use, "read", user=False))
    return _once(tables, use, use.operation, user=use.user)


def _once(tables: Tables, use: Use, operation: str, *, user: bool) -> Answer:
    """SDM vol. 3A §4.5 to §4.8, by questions instead of by a walk."""
    pde, pte = tables.pde, tables.pte
    entries = (pde,) if tables.large else (pde, pte)
    write, fetch = operation == "write", operation == "fetch"
    code = 2 * write + 4 * user + 16 * (fetch and (use.nxe or use.smep))
    # §4.7: the first entry that is not present or has a reserved bit decides.
    for entry in entries:
        if not entry.p:
            return Answer(code)
        if entry.reserved is not None or (entry.nx and not use.nxe):
            return Answer(code + 9)
    user_page, writable = all(e.u for e in entries), tables.upper_w and all(e.w for e in entries)
    executable = not any(e.nx for e in entries)
    # §4.6.2
    counts = tables.keyed and (use.pke if user_page else use.pks)
    key_denies = not fetch and counts and (use.ad or (use.wd and write and (user or use.wp)))
    # §4.6.1
    privilege = user_page if user else not (
        user_page and ((fetch and use.smep) or (not fetch and use.smap and not use.ac))
    )  # fmt: skip
    writes = not write or writable or not (user or use.wp)
    runs = not fetch or executable
    if privilege and writes and runs and not key_denies:
        # §4.8
        if tables.large:
            return Answer(None, (True, pde.d or write, pte.a, pte.d))
        return Answer(None, (True, pde.d, True, pte.d or write))
    return Answer(code + 1 + 32 * key_denies)


def marked(tables: Tables, answer: Answer) -> Tables:
    """The tables as an access leaves them; of one that fails this formula says nothing is marked."""
    if answer.marks is None:
        return tables
    pde_a, pde_d, pte_a, pte_d = answer.marks
    pde, pte = replace(tables.pde, a=pde_a, d=pde_d), replace(tables.pte, a=pte_a, d=pte_d)
    return replace(tables, pde=pde, pte=pte)
