"""What there is to choose from: the built-in commands, and everything that installed plugins bring."""

from coronel_gdb.plugins.built_in import command_line_only, commands
from coronel_gdb.plugins.loaded import Loaded, load

__all__ = ["Loaded", "command_line_only", "commands", "load"]
