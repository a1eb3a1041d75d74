"""The frame allocator under random use, against a list of free frames, the last freed first."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.errors import ErrorKind
from model.invariants.frames import check_frames
from model.layouts import FRAME
from model.machine import Machine
from model.multiboot import MapEntry
from model.snapshot import frame_manager, free_frames

START, END = 0x33_C000, 0x34_C000
"""All that is managed: 16 frames, of which the kernel's tables take 5."""


class FrameMachine(RuleBasedStateMachine):
    """The allocator against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine.boot([MapEntry(1 << 20, END - (1 << 20))])
        self.free = list(range(START + 5 * 4096, END, 4096))[::-1]  # the last one comes first
        self.taken: list[int] = []
        self.errors = [0] * 5

    @rule()
    def alloc(self) -> None:
        got = self.machine.frames.alloc()
        if self.free:
            assert got == self.free.pop()
            self.taken.append(got)
        else:
            assert got == 0
            self.errors[ErrorKind.OUT_OF_MEMORY] += 1

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        frame = data.draw(st.sampled_from(self.taken))
        assert self.machine.frames.free(frame)
        self.taken.remove(frame)
        self.free.append(frame)

    @precondition(lambda self: self.free)
    @rule(data=st.data())
    def give_back_twice(self, data: st.DataObject) -> None:
        assert not self.machine.frames.free(data.draw(st.sampled_from(self.free)))
        self.errors[ErrorKind.DOUBLE_FREE] += 1

    @rule(address=st.one_of(st.integers(0, START - 1), st.integers(END, (1 << 64) - 1), st.just(START + 8)))
    def give_what_is_none(self, address: int) -> None:
        assert not self.machine.frames.free(address)
        self.errors[ErrorKind.INVALID_POINTER] += 1

    @invariant()
    def the_list_is_the_list(self) -> None:
        manager, listed = frame_manager(self.machine), free_frames(self.machine)
        assert [node.address for node in listed.nodes] == self.free[::-1]
        assert check_frames(manager, listed.nodes, FRAME.size_bytes, stop=listed.stop).violations == []
        assert list(manager.errors) == self.errors


TestFrameMachine = FrameMachine.TestCase
TestFrameMachine.settings = settings(max_examples=25, stateful_step_count=40)
