"""Where the sessions of the documents are captured."""

from dataclasses import dataclass
from typing import Any

from lab.errors import LabError
from lab.programs import modules
from lab.scenarios import scenarios
from lab.stopped import MIXED_THEN_OVERFLOW


@dataclass(frozen=True)
class Place:
    """A kernel's command line, the checkpoint where it stands, from 1, and its machine.

    `function` is reached instead of a checkpoint. `continues`: a breakpoint stops it at the next one, too, as
    with `make debug`. `detached`: no debugger is connected yet, the session does that. `recorded`: QEMU has
    recorded the whole run, and replays it.
    """

    append: str
    checkpoint: int = 1
    programs: tuple[str, ...] = ()
    memory: str = "128M"
    cpus: int = 1
    function: str = ""
    continues: bool = False
    detached: bool = False
    recorded: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What `lab.machine.Machine` is told of it."""
        return {"memory": self.memory, "cpus": self.cpus, "extra": modules(self.programs)}


PLACES = {
    "healthy": Place(MIXED_THEN_OVERFLOW),
    "corrupted": Place(MIXED_THEN_OVERFLOW, 2),
    "make debug": Place(MIXED_THEN_OVERFLOW, continues=True),
    "make debug, again": Place(MIXED_THEN_OVERFLOW, continues=True),
    "recorded": Place("scenario=mixed,overflow,mixed seed=42 ops=300", recorded=True),
    "detached": Place(MIXED_THEN_OVERFLOW, 2, detached=True),
    "watched": Place("scenario=mixed,overflow,mixed seed=42 ops=300"),
    "divergent": Place("scenario=overflow,mixed seed=5 ops=60", 2),
    "mixed, 400 operations, trace=128": Place("scenario=mixed seed=7 ops=400 trace=128"),
    "processes, trace=65536": Place("scenario=processes trace=65536", programs=("smash", "churn", "pause x")),
}
"""Besides these, every scenario of qemu/scenarios.toml is a place by its name, at its end."""


def place(name: str) -> Place:
    """The place of that name; `LabError` when there is none."""
    if name in PLACES:
        return PLACES[name]
    known = scenarios().get(name)
    if known is None:
        raise LabError(f"no place {name!r}: it is neither in lab.documents.places nor a scenario")
    function = {"exception": "coronel_fault_stop"}.get(known.ends, "")
    return Place(known.append, 1, known.modules, known.memory, known.cpus, function)
