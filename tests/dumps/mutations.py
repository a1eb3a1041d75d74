"""How files are damaged, and what no damage may cost: time, memory, a file that nobody asked for."""

import json
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from coronel_gdb.errors import CoronelError

EXAMPLES = int(os.environ.get("CORONEL_FUZZ_EXAMPLES", "400"))
"""How many damaged inputs all fuzz tests together try."""
SECONDS = 10.0
MOST_BYTES = 8 << 20
EDGES = [0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0xFFF, 0x1000, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1]
Mutate = Callable[[bytes], bytes]


def tries(share: float, kinds: int) -> settings:
    """Hypothesis for a test that has this share of the inputs, on as many kinds of them."""
    return settings(
        max_examples=int(EXAMPLES * share) // kinds + 1,
        suppress_health_check=list(HealthCheck),
        database=None,
        report_multiple_bugs=False,
    )


@st.composite
def mutations(draw: st.DrawFn) -> Mutate:
    """Overwrite a few fields, most of them near a structure, with edges or anything; then cut, or grow."""
    count = draw(st.integers(1, 6))
    places = draw(st.lists(st.integers(0, 1 << 20), min_size=count, max_size=count))
    near = draw(st.booleans())
    values = [draw(st.one_of(st.sampled_from(EDGES), st.integers(0, (1 << 64) - 1))) for _ in range(count)]
    sizes = [draw(st.sampled_from([1, 2, 4, 8])) for _ in range(count)]
    cut = draw(st.one_of(st.none(), st.integers(0, 1 << 16)))
    more = draw(st.binary(max_size=64))
    order = draw(st.sampled_from(["little", "big"]))

    def mutate(data: bytes) -> bytes:
        changed = bytearray(data)
        interesting = [at for at in range(0, len(data), 4) if any(data[at : at + 8])] if near else []
        for place, value, size in zip(places, values, sizes, strict=True):
            at = interesting[place % len(interesting)] if interesting else place % len(changed)
            field = (value & ((1 << 8 * size) - 1)).to_bytes(size, "big" if order == "big" else "little")
            changed[at : at + size] = field[: len(changed) - at]
        return bytes(changed[:cut] + more)

    return mutate


_STRANGE: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, "", "x", "\0", "../../x", "9" * 40, [], {}, [[]], 0.5, -1, 1 << 70]),
    st.sampled_from(EDGES),
    st.floats(),
    st.text(max_size=8),
)


@st.composite
def altered_values(draw: st.DrawFn) -> Callable[[Any], Any]:
    """Replace, drop or double a few values anywhere in what JSON or TOML describes."""
    changes = [
        (draw(st.integers(0, 1 << 16)), draw(st.sampled_from(["set", "drop", "double"])), draw(_STRANGE))
        for _ in range(draw(st.integers(1, 3)))
    ]

    def alter(value: Any) -> Any:
        value = json.loads(json.dumps(value))
        for place, what, strange in changes:
            spots = list(_spots(value))
            if not spots:
                break
            holder, key = spots[place % len(spots)]
            if what == "set":
                holder[key] = strange
            elif what == "drop":
                del holder[key]
            elif isinstance(holder, list):
                holder.append(holder[key])
            else:
                holder[f"{key}2"] = holder[key]
        return value

    return alter


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _spots(value[key])


class Hang(BaseException):
    """An input that keeps the processor busy for longer than any sound one."""


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise Hang


@contextmanager
def bounded(most_bytes: int | None = MOST_BYTES) -> Iterator[None]:
    """Nothing but a `CoronelError` comes out, within CPU time and, where a number is given, memory."""
    before = signal.signal(signal.SIGVTALRM, _hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    if most_bytes is not None:
        tracemalloc.start()
    try:
        with suppress(CoronelError):
            yield
        if most_bytes is not None:
            assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        if most_bytes is not None:
            tracemalloc.stop()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def files_below(folder: Path) -> set[str]:
    """Every file there, by its path in the folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
