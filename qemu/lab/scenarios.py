"""The scenarios of the kernel, as qemu/scenarios.toml lists them; what each key means is written there."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from lab.errors import LabError
from lab.paths import ROOT
from lab.programs import modules

SCENARIOS_TOML = ROOT / "qemu" / "scenarios.toml"


@dataclass(frozen=True)
class Scenario:
    """One scenario: how to run it, and what it must leave behind."""

    name: str
    command_line: str = ""
    modules: tuple[str, ...] = ()
    memory: str = "128M"
    cpus: int = 1
    timeout: float = 20.0
    ends: Literal["checkpoint", "exception", "exit"] = "checkpoint"
    exit_status: int | None = None
    fault: str = "none"
    damages: bool = False
    errors: dict[str, dict[str, int]] = field(default_factory=dict)
    serial: tuple[str, ...] = ()
    findings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def append(self) -> str:
        """The kernel's command line."""
        return f"scenario={self.name} {self.command_line}".strip()

    @property
    def extra(self) -> list[str]:
        """QEMU's options that hand the modules over."""
        return modules(self.modules)


@cache
def scenarios() -> dict[str, Scenario]:
    """Return all scenarios by name, in the order of the list."""
    found = {}
    for name, table in tomllib.loads(SCENARIOS_TOML.read_text()).items():
        lists = {key: tuple(table[key]) for key in ("modules", "serial") if key in table}
        try:
            found[name] = Scenario(name, **{**table, **lists})
        except TypeError as error:
            raise LabError(f"scenarios.toml: {name}: {error}") from error
    return found
