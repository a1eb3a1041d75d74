"""The manager of virtual regions under random use, against a set of free pages."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from model.errors import ErrorKind
from model.memory import PhysicalMemory, PhysicalRange, VirtualMemory
from model.paging import PagingMode
from model.types import PhysicalAddress
from tests.model.region_view import PAGES, errors, free_list, page, simple, spares


class RegionMachine(RuleBasedStateMachine):
    """The manager against a set of free page numbers."""

    def __init__(self) -> None:
        super().__init__()
        ram = PhysicalRange(PhysicalAddress(0), PhysicalAddress(1 << 20))
        self.memory = VirtualMemory(PhysicalMemory([ram]), PagingMode())
        self.free = set(range(PAGES))
        self.errors = [0] * 5

    @initialize()
    def begin(self) -> None:
        self.regions = simple(self.memory)

    @rule(count=st.integers(1, 12), slack=st.integers(0, 4095))
    def alloc(self, count: int, slack: int) -> None:
        fits = [n for n in range(PAGES) if self.free.issuperset(range(n, n + count))]
        got = self.regions.alloc(count * 0x1000 - slack)
        if fits:
            assert got == page(fits[0])
            self.free.difference_update(range(fits[0], fits[0] + count))
        else:
            assert got == 0
            self.errors[ErrorKind.VIRTUAL_SPACE_EXHAUSTED] += 1

    @rule(first=st.integers(-1, PAGES), count=st.integers(1, 12))
    def alloc_at(self, first: int, count: int) -> None:
        wanted = range(first, first + count)
        got = self.regions.alloc_at(page(first), count * 0x1000)
        if self.free.issuperset(wanted):
            assert got == page(first)
            self.free.difference_update(wanted)
        else:
            assert got == 0
            self.errors[ErrorKind.VIRTUAL_SPACE_EXHAUSTED] += 1

    @rule(first=st.integers(-1, PAGES), count=st.integers(1, 8))
    def release(self, first: int, count: int) -> None:
        wanted = range(first, first + count)
        done = self.regions.free(page(first), count * 0x1000)
        if not set(range(PAGES)).issuperset(wanted):
            assert not done
            self.errors[ErrorKind.INVALID_POINTER] += 1
        elif not self.free.isdisjoint(wanted):
            assert not done
            self.errors[ErrorKind.DOUBLE_FREE] += 1
        else:
            assert done
            self.free.update(wanted)

    @invariant()
    def the_list_is_the_set(self) -> None:
        listed = free_list(self.memory)
        expected: list[tuple[int, int]] = []
        for number in sorted(self.free):
            if expected and expected[-1][0] + expected[-1][1] == page(number):
                expected[-1] = (expected[-1][0], expected[-1][1] + 0x1000)
            else:
                expected.append((page(number), 0x1000))
        assert listed == expected
        assert len(listed) + len(spares(self.memory)) == 128
        assert errors(self.memory) == self.errors


TestRegionMachine = RegionMachine.TestCase
TestRegionMachine.settings = settings(max_examples=30, stateful_step_count=40)
