"""Everything that can keep a command from checking; each is one clear line and exit code 2.

    CoronelError
    ├── UsageError           wrong option, or an expression that does not evaluate
    ├── TargetError          no target, target running, paging off, no route to its memory
    │   └── DumpError        a dump file of no known format, damaged or truncated
    ├── ReadFault            memory that cannot be read
    ├── KernelError          no kernel file, no symbols, a type or field is missing
    ├── NotInitialised       the structure does not exist yet (its pointer is null)
    └── PluginError          a plugin does not fit, or failed while it ran

Nothing here means "healthy": a command that raises one of these has not checked.
"""


class CoronelError(Exception):
    """Base of all errors that a command reports instead of a result."""


class UsageError(CoronelError):
    """The command line cannot be understood, or an expression in it does not evaluate."""


class TargetError(CoronelError):
    """There is no stopped target in a state that the command can look at."""


class DumpError(TargetError):
    """A dump file that cannot be opened, is of no known format, or is damaged or truncated."""


class ReadFault(CoronelError):
    """`size_bytes` bytes at `address` of the space named `space` cannot be read, because of `reason`."""

    def __init__(self, space: str, address: int, size_bytes: int, reason: str) -> None:
        super().__init__(f"cannot read {size_bytes} bytes at {space} address {address:#x}: {reason}")
        self.space = space
        self.address = address
        self.size_bytes = size_bytes
        self.reason = reason


class KernelError(CoronelError):
    """The kernel's file, symbols or types are not what the profile needs."""


class NotInitialised(CoronelError):
    """The pointer `symbol` to a `noun` is still null, so there is nothing to check yet."""

    def __init__(self, noun: str, symbol: str) -> None:
        super().__init__(f"{noun} not initialised: {symbol} is null")
        self.noun = noun
        self.symbol = symbol


class PluginError(CoronelError):
    """The plugin `plugin` cannot be used, or failed while it ran: `reason`."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(f"plugin {plugin}: {reason}")
        self.plugin = plugin
        self.reason = reason
