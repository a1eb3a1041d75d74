"""May an access use a page that the tables reach? SDM vol. 3A §4.6.1 (rights) and §4.6.2 (keys).

Asked after a complete walk only: an entry that is not present or has reserved bits ends the walk
first (rule R11).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final

from model.cpu_state import CpuState
from model.page_entry import NO_EXECUTE, USER, WRITABLE, Level, Rights, bits
from model.paging import Translation
from model.types import PhysicalAddress

# SDM §4.7: the error code of a page fault.
PRESENT_BIT: Final = 1 << 0
WRITE_BIT: Final = 1 << 1
USER_BIT: Final = 1 << 2
RESERVED_BIT: Final = 1 << 3
FETCH_BIT: Final = 1 << 4
KEY_BIT: Final = 1 << 5

KEY_BITS: Final = bits(62, 59)
KEY_SHIFT: Final = 59


class Operation(Enum):
    """What an access does. A read-modify-write is a write (SDM §4.7)."""

    READ = "read"
    WRITE = "write"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class Access:
    """An access; `user`: made while CPL = 3; `implicit`: to a system structure (GDT, LDT, IDT, TSS).

    `ValueError` for an implicit fetch: there is none.
    """

    operation: Operation
    user: bool = False
    implicit: bool = False

    def __post_init__(self) -> None:
        if self.implicit and self.operation is Operation.FETCH:
            raise ValueError("no instruction is fetched implicitly")

    @property
    def user_mode(self) -> bool:
        """A user-mode access: CPL = 3 and not implicit (SDM §4.6, rule R13)."""
        return self.user and not self.implicit


class Denial(IntFlag):
    """Why an access fails; several may hold at once. 0 is: it is allowed."""

    NOT_PRESENT = 1
    RESERVED = 2
    SUPERVISOR_PAGE = 4
    READ_ONLY = 8
    EXECUTE_DISABLE = 16
    SMEP = 32
    SMAP = 64
    KEY_ACCESS = 128
    KEY_WRITE = 256

    @property
    def label(self) -> str:
        """One denial in words."""
        return _LABELS[self]


_LABELS: Final = {
    Denial.NOT_PRESENT: "not present (P = 0)",
    Denial.RESERVED: "reserved bit set",
    Denial.SUPERVISOR_PAGE: "user access to a supervisor page (U/S = 0)",
    Denial.READ_ONLY: "not writable (R/W = 0)",
    Denial.EXECUTE_DISABLE: "not executable (XD = 1)",
    Denial.SMEP: "supervisor fetch from a user page (SMEP)",
    Denial.SMAP: "supervisor access to a user page (SMAP)",
    Denial.KEY_ACCESS: "protection key denies access (AD)",
    Denial.KEY_WRITE: "protection key denies writes (WD)",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a fault: the entry and those of its bits that decide.

    `control` is the register that makes them count, where there is one.
    """

    denial: Denial
    level: Level
    entry_address: PhysicalAddress
    bits: int
    control: str | None = None


def protection_key(leaf: int) -> int:
    """Bits 62:59 of the entry that maps the page; they are ignored in any other (SDM §4.6.2, rule R16)."""
    return (leaf & KEY_BITS) >> KEY_SHIFT


def _key_denial(rights: Rights, leaf: int, state: CpuState, access: Access) -> Denial:
    """What the protection key denies (SDM §4.6.2)."""
    # R17: which register counts is a matter of the address, not of who asks.
    enabled, register = (state.pke, state.pkru) if rights.user else (state.pks, state.pkrs)
    if not enabled or access.operation is Operation.FETCH:
        return Denial(0)
    # R18: two bits for each key, AD below WD.
    key_bits = register >> (2 * protection_key(leaf)) & 3
    denial = Denial.KEY_ACCESS if key_bits & 1 else Denial(0)
    if key_bits & 2 and access.operation is Operation.WRITE and (access.user_mode or state.wp):
        denial |= Denial.KEY_WRITE
    return denial


def denied(rights: Rights, leaf: int, state: CpuState, access: Access) -> Denial:
    """Everything that denies the access to a page with `rights` that `leaf` maps (SDM §4.6.1, R12 to R18)."""
    denial = _key_denial(rights, leaf, state, access)
    operation = access.operation
    if access.user_mode:
        if not rights.user:
            denial |= Denial.SUPERVISOR_PAGE
        if operation is Operation.WRITE and not rights.writable:  # whatever CR0.WP
            denial |= Denial.READ_ONLY
    else:
        if operation is Operation.WRITE and not rights.writable and state.wp:
            denial |= Denial.READ_ONLY
        if rights.user and operation is Operation.FETCH and state.smep:
            denial |= Denial.SMEP
        # R15: AC opens user pages to explicit accesses only.
        if rights.user and operation is not Operation.FETCH and state.smap:
            denial |= Denial.SMAP if access.implicit or not state.ac else Denial(0)
    if operation is Operation.FETCH and not rights.executable:
        denial |= Denial.EXECUTE_DISABLE
    return denial


def causes(denial: Denial, page: Translation, state: CpuState, access: Access) -> Iterator[Cause]:
    """The entries and bits behind a denial of `denied`, U/S first, then R/W, XD, SMEP and SMAP, keys."""
    # Rights fall by any entry, so every one that takes them away is named, the top first.
    entry_denials = (
        (Denial.SUPERVISOR_PAGE, USER, 0, None),
        (Denial.READ_ONLY, WRITABLE, 0, None if access.user_mode else "CR0.WP = 1"),
        (Denial.EXECUTE_DISABLE, NO_EXECUTE, NO_EXECUTE, None),
    )
    for kind, bit, denying, control in entry_denials:
        if denial & kind:
            for step in page.steps:
                if step.entry & bit == denying:
                    yield Cause(kind, step.level, step.entry_address, bit, control)
    leaf = page.steps[-1]
    if denial & Denial.SMEP:
        yield Cause(Denial.SMEP, leaf.level, leaf.entry_address, USER, "CR4.SMEP = 1")
    if denial & Denial.SMAP:
        control = "CR4.SMAP = 1, implicit access" if access.implicit else "CR4.SMAP = 1, RFLAGS.AC = 0"
        yield Cause(Denial.SMAP, leaf.level, leaf.entry_address, USER, control)
    register = "PKRU" if page.rights.user else "IA32_PKRS"
    key = protection_key(leaf.entry)
    for kind, name in ((Denial.KEY_ACCESS, "AD"), (Denial.KEY_WRITE, "WD")):
        if denial & kind:
            yield Cause(kind, leaf.level, leaf.entry_address, KEY_BITS, f"{register}.{name}{key} = 1")
