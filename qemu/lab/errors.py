"""What can fail in the laboratory.

LabError                 the machine or the debugger cannot be had, ended, or gave no answer in time
├── GdbCommandError      GDB answered, and its answer is an error
└── DebuggerRefused      LLDB answered, and its answer is an error
"""


class LabError(Exception):
    """The laboratory could not do what was asked; the message is one line for the user."""


class GdbCommandError(LabError):
    """GDB refused a command."""

    def __init__(self, command: str, message: str, console: str, log: str) -> None:
        super().__init__(f"{command}: {message}")
        self.command = command
        self.message = message
        self.console = console
        """What the command printed before it failed."""
        self.log = log
        """What it printed to the error stream; a Python traceback would be here."""


class DebuggerRefused(LabError):
    """LLDB refused a command."""

    def __init__(self, command: str, message: str) -> None:
        super().__init__(f"{command}: {message}")
        self.command = command
        self.message = message
