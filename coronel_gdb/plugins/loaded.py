"""Everything that the surfaces offer: what is built in and what plugins bring, in one set of tables."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coronel_gdb.commands.additions import Additions
from coronel_gdb.commands.command import Command
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.plugins.built_in import BUILT_IN as COMMANDS
from coronel_gdb.plugins.built_in import COMMAND_LINE_ONLY, commands
from coronel_gdb.plugins.installed import entry_points
from coronel_gdb.render.formats import BUILT_IN, Renderer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from coronel_gdb.plugins.parts import Taken


@dataclass(slots=True)
class Loaded:
    """`problems` grows when a plugin fails while it runs."""

    commands: list[Command]
    renderers: dict[str, Renderer]
    readers: tuple[DumpReader, ...] = ()
    added: Additions = field(default_factory=Additions)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def note(self, problem: tuple[str, str]) -> None:
        """Remember what failed and why, once."""
        if problem not in self.problems:
            self.problems.append(problem)


def load(wanted: str = "") -> Loaded:
    """The built-in tables, and every plugin that fits; one that does not is a row of `problems`.

    Of the built-in commands only the one that is wanted, where it is one and there are no plugins: to import
    them all takes longer than to run most of them.
    """
    loaded = Loaded([], {renderer.name: renderer for renderer in BUILT_IN})
    found = entry_points(loaded.note)
    alone = not found and wanted in (*COMMANDS, *COMMAND_LINE_ONLY)
    loaded.commands += commands(name for name in COMMANDS if name == wanted or not alone)
    if found:
        from coronel_gdb.plugins.parts import Unfit, built_in

        taken = built_in(loaded)
        for entry in found:
            try:
                _add(loaded, entry, taken)
            except Unfit as error:
                loaded.note((f"plugin {entry.name}", f"not used: {error}"))
    return loaded


def _add(loaded: Loaded, entry: "EntryPoint", taken: "Taken") -> None:
    """All that one plugin brings, or nothing: half of one would be harder to understand than none."""
    from coronel_gdb.plugins.contained import Containment
    from coronel_gdb.plugins.parts import read

    parts = read(entry, taken)
    containment = Containment(entry.name, loaded.note)
    loaded.commands += map(containment.command, parts.commands)
    loaded.renderers |= {one.name: containment.renderer(one) for one in parts.renderers}
    loaded.readers += tuple(map(containment.reader, parts.readers))
    name = f"plugin {entry.name} {entry.dist.version if entry.dist else ''}".rstrip()
    loaded.added = Additions(
        (*loaded.added.checks, *map(containment.check, parts.checks)),
        (*loaded.added.profiles, *parts.profiles),
        (*loaded.added.plugins, (name, parts.describe())),
    )
