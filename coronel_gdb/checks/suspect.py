"""Who wrote over a block header, judged by where the run of damaged bytes begins and ends, and by its shape.

Every way in which such damage comes about is tried. What fits best is the suspect, what fits as well
is a rival, and what does not fit says why. When nothing fits, the answer is "cannot tell".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coronel_gdb.checks.damage import Kind, Shape
from coronel_gdb.lift.chronicle import Owned
from model.records import HeapBlock, HeapRules

_RUNS = (Kind.TEXT, Kind.FILL)
_STORES = (1, 2, 4, 8)
_COPY_FIRST = ("linear overflow", "underflow", "use after free", "single store", "bit flip")
_NUMBER_FIRST = ("bit flip", "use after free", "single store", "linear overflow", "underflow")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One way in which the damage could have come about; `rejected` says why it did not, else it is empty.

    `block` is the header of the block that the writer should have stayed in, `data` where its data
    begins; both None when no block is involved. `direction`: upwards or downwards in memory.
    """

    kind: str
    text: str
    block: int | None = None
    direction: str | None = None
    rejected: str = ""

    def data(self, header_bytes: int) -> dict[str, object]:
        """The JSON form of a suspect."""
        start = None if self.block is None else self.block + header_bytes
        return {"kind": self.kind, "block": self.block, "data": start, "direction": self.direction}


@dataclass(frozen=True, slots=True)
class Damage:
    """What is known of the damage to `block`: changed bytes [start, end), their run, their shape.

    `plain`: the first byte at `start` is text or zero, as copies and terminators are.
    """

    block: HeapBlock
    start: int
    end: int
    run: tuple[int, int]
    shape: Shape
    plain: bool


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The best hypothesis, others that fit as well, and those that do not."""

    best: Hypothesis
    rivals: tuple[Hypothesis, ...]
    rejected: tuple[Hypothesis, ...]


Name = Callable[[HeapBlock, HeapRules], str]
"""How a report calls a block."""


def _block(block: HeapBlock, rules: HeapRules) -> str:
    return f"block {block.address:#x} ({_state(block, rules)}, {block.size_bytes} bytes)"


def suspect(
    damage: Damage,
    before: Sequence[HeapBlock],
    rules: HeapRules,
    formerly: Owned | None = None,
    name: Name = _block,
) -> Suspicion:
    """Judge the damage to a block; `before` are the blocks in front of it, the nearest first.

    `formerly` is the freed block whose data the damaged bytes were.
    """
    overflow = _overflow(damage, before, rules, name)
    tried = [overflow, _underflow(damage, rules), _store(damage, rules), _bit(damage)]
    left = any(not hypothesis.rejected for hypothesis in tried[:2])
    if formerly is not None and not left:  # who ran over an edge of a block needs no freed one
        tried.append(_use_after_free(formerly, rules))
    fitting = [hypothesis for hypothesis in tried if not hypothesis.rejected]
    fitting.sort(key=lambda hypothesis: _rank(hypothesis, damage))
    rejected = tuple(hypothesis for hypothesis in tried if hypothesis.rejected)
    if not fitting:
        text = "cannot tell: the damage begins and ends at no block's edge, so a stray pointer wrote here"
        return Suspicion(Hypothesis("unknown", text), (), rejected)
    return Suspicion(fitting[0], tuple(fitting[1:]), rejected)


def suspect_freed(
    damage: Damage, freed: str, before: Sequence[HeapBlock], rules: HeapRules, name: Name = _block
) -> Suspicion:
    """Judge the damage to free memory, which holds what its allocator left there; `freed` is its name.

    Nobody may write there: whoever does had it before, or runs into it from the block in front.
    """
    overflow = _overflow(damage, before, rules, name)
    if damage.run[0] > damage.block.address:
        why = f"the {damage.start - damage.block.address} bytes in front of the damage are as they must be"
        overflow = Hypothesis(overflow.kind, "an overflow of what lies in front", rejected=why)
    offset = damage.start - damage.block.address - rules.header_bytes
    text = f"use after free: a write to +{offset:#x} of {freed}, by a pointer from before it was freed"
    stale = Hypothesis("use after free", text, damage.block.address)
    tried = [_bit(damage), stale, overflow, _store(damage, rules)]
    if damage.run[0] < damage.block.address:
        tried.sort(key=lambda hypothesis: hypothesis is not overflow)
    fitting = [hypothesis for hypothesis in tried if not hypothesis.rejected]
    rejected = tuple(hypothesis for hypothesis in tried if hypothesis.rejected)
    return Suspicion(fitting[0], tuple(fitting[1:]), rejected)


def _rank(hypothesis: Hypothesis, damage: Damage) -> int:
    """Lower is likelier: who left by an edge of a block comes first, unless the bytes are no copy's."""
    at_edge = damage.start == damage.block.address
    number = damage.shape.kind is Kind.STEP or (damage.shape.kind is Kind.BIT and not damage.plain)
    copied = damage.shape.kind in _RUNS or damage.end - damage.start > max(_STORES) or at_edge
    order = _COPY_FIRST if copied and not number else _NUMBER_FIRST
    return order.index(hypothesis.kind)


def _overflow(damage: Damage, before: Sequence[HeapBlock], rules: HeapRules, name: Name) -> Hypothesis:
    """A write that ran past the end of the block in front; a run may cover whole small blocks."""
    kind, block = "linear overflow", damage.block
    edge = block.address
    culprit: HeapBlock | None = None
    for candidate in before:
        if damage.run[0] <= candidate.address < edge and candidate is not before[-1]:
            edge = candidate.address  # the run covers this block's header too: it is a victim itself
            continue
        if candidate.address + rules.header_bytes + candidate.size_bytes == edge:
            culprit = candidate
        break
    if culprit is None:
        why = "no block in front touches this one" if damage.run[0] <= block.address else _intact(damage)
        return Hypothesis(kind, "an overflow of the block in front", rejected=why)
    what = name(culprit, rules)
    if damage.run[0] > block.address:
        return Hypothesis(kind, f"an overflow of {what}", culprit.address, rejected=_intact(damage))
    data = culprit.address + rules.header_bytes
    end = data + culprit.size_bytes
    reason = f"its data ends where the damage begins, at {end:#x}"
    if damage.run[0] < end and damage.shape.kind in _RUNS:
        begin = max(damage.run[0], data)  # its header's padding is nobody's, and may look like the run
        reason = f"the run of {damage.run[1] - begin} bytes begins in its data, at {begin:#x}"
        if begin == data:
            reason += ", its first byte"
    return Hypothesis(kind, f"linear overflow out of {what}: {reason}", culprit.address, "upwards")


def _intact(damage: Damage) -> str:
    return f"the header's first {damage.start - damage.block.address} bytes are intact"


def _underflow(damage: Damage, rules: HeapRules) -> Hypothesis:
    """A write that ran downwards out of the block's own data, or began in front of it."""
    kind, data = "underflow", damage.block.address + rules.header_bytes
    if damage.run[1] >= data or damage.end >= data:
        text = f"underflow out of this block's own data at {data:#x}: the damage reaches up to it"
        return Hypothesis(kind, text, damage.block.address, "downwards")
    gap = data - damage.end
    why = f"the {gap} bytes between the damage and the data do not look like it"
    return Hypothesis(kind, "an underflow of this block's own data", damage.block.address, rejected=why)


def _store(damage: Damage, rules: HeapRules) -> Hypothesis:
    """One store of a number through a pointer or index that is wrong."""
    kind = "single store"
    # Bytes that a store did not change are not seen: it may have been wider, up to its alignment.
    size = next((n for n in _STORES if damage.start // n == (damage.end - 1) // n), None)
    if size is None:
        return Hypothesis(kind, "a single store", rejected="no single store is that wide")
    at = damage.start // size * size
    text = f"a single store of {size} byte{'s' * (size > 1)} at {at:#x} through a wrong pointer or index"
    if size == max(_STORES):
        index = (at - damage.block.address - rules.header_bytes) // size
        text += f" (element {index} of 8 bytes, counted from this block's data)"
    return Hypothesis(kind, text)


def _use_after_free(formerly: Owned, rules: HeapRules) -> Hypothesis:
    """A write through a pointer to a block that was freed, into what has become of its memory."""
    text = (
        f"use after free: these bytes were +{formerly.offset:#x} of the block at {formerly.pointer:#x} "
        f"({formerly.size_bytes} bytes), allocated by {formerly.allocated}; freed by {formerly.freed}"
    )
    return Hypothesis("use after free", text, formerly.pointer - rules.header_bytes)


def _bit(damage: Damage) -> Hypothesis:
    if damage.shape.kind is not Kind.BIT:
        return Hypothesis("bit flip", "a flipped bit", rejected="more than one bit differs")
    text = f"{damage.shape.words}: a flag changed through a wrong pointer, or bad RAM"
    return Hypothesis("bit flip", text)


def _state(block: HeapBlock, rules: HeapRules) -> str:
    return {rules.magic_free: "free", rules.magic_used: "used"}.get(block.magic, "state unknown")
