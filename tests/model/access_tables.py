"""Tables by hand for the tests of accesses: one page, every entry of which a test can change."""

from model.access import Outcome, judge
from model.cpu_state import CpuState
from model.denial import Access, Operation
from model.paging import PagingMode, Translation, walk
from model.types import PhysicalAddress, VirtualAddress

P, W, U, PWT, PCD, A, D, PS, G = (1 << bit for bit in range(9))
NX = 1 << 63
MODE = PagingMode(levels=4, physical_bits=40)
STATE = CpuState(MODE, wp=True)
ROOT = PhysicalAddress(0x1000)
# PML4 0x11, PDPT 0x22, PD 0x33, PT 0x44, offset 0x568.
ADDRESS = VirtualAddress(0x11 << 39 | 0x22 << 30 | 0x33 << 21 | 0x44 << 12 | 0x568)
AT = {4: 0x1000 + 8 * 0x11, 3: 0x2000 + 8 * 0x22, 2: 0x3000 + 8 * 0x33, 1: 0x4000 + 8 * 0x44}
USER_PAGE = {AT[4]: 0x2000 | P | W | U, AT[3]: 0x3000 | P | W | U, AT[2]: 0x4000 | P | W | U}
USER_PAGE |= {AT[1]: 0xABCDE000 | P | W | U}
KERNEL_PAGE = USER_PAGE | {AT[1]: 0xABCDE000 | P | W}

READ, WRITE, FETCH = (Access(operation) for operation in Operation)
USER_READ, USER_WRITE, USER_FETCH = (Access(operation, user=True) for operation in Operation)
IMPLICIT_READ = Access(Operation.READ, implicit=True)
IMPLICIT_WRITE = Access(Operation.WRITE, implicit=True)
IMPLICIT_READ_AT_3 = Access(Operation.READ, user=True, implicit=True)
ALL = (READ, WRITE, FETCH, USER_READ, USER_WRITE, USER_FETCH, IMPLICIT_READ, IMPLICIT_WRITE)


def use(access: Access, entries: dict[int, int], state: CpuState = STATE, address: int = ADDRESS) -> Outcome:
    """What comes of the access; entries that are not given are 0."""
    at = VirtualAddress(address)
    return judge(walk(lambda where: entries.get(where, 0), ROOT, at, state.mode), state, access)


def page_of(entries: dict[int, int]) -> Translation:
    """The walk of ADDRESS, which reaches a page."""
    found = walk(lambda where: entries.get(where, 0), ROOT, ADDRESS, MODE)
    assert isinstance(found, Translation)
    return found
