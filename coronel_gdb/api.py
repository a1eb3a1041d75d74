"""What plugins are made of: one import, stable within a version (docs/plugins.md).

from coronel_gdb.api import Command, Context, Report
"""

from coronel_gdb.checks.catalogue import Code
from coronel_gdb.commands.additions import Check
from coronel_gdb.commands.command import Command, Context, Option, busy
from coronel_gdb.commands.survey import Survey, value_of
from coronel_gdb.dumps.cpu_state import CpuState
from coronel_gdb.dumps.dump import EXCLUDED, OUTSIDE, Dump
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.dumps.source import Source
from coronel_gdb.errors import (
    CoronelError,
    DumpError,
    KernelError,
    NotInitialised,
    ReadFault,
    TargetError,
    UsageError,
)
from coronel_gdb.lift.activity import is_held
from coronel_gdb.render.dialect import Dialect, command_text
from coronel_gdb.render.formats import Look, Renderer
from coronel_gdb.report import Absent, ExitCode, Finding, Report, Table, Watch, Write

API_VERSION = 1
"""Goes up when a plugin that works would no longer; additions leave it as it is."""

__all__ = [
    "API_VERSION",
    "EXCLUDED",
    "OUTSIDE",
    "Absent",
    "Check",
    "Code",
    "Command",
    "Context",
    "CoronelError",
    "CpuState",
    "Dialect",
    "Dump",
    "DumpError",
    "DumpReader",
    "ExitCode",
    "Finding",
    "KernelError",
    "Look",
    "NotInitialised",
    "Option",
    "ReadFault",
    "Renderer",
    "Report",
    "Source",
    "Survey",
    "Table",
    "TargetError",
    "UsageError",
    "Watch",
    "Write",
    "busy",
    "command_text",
    "is_held",
    "value_of",
]
