"""`set coronel …` and `show coronel …`: how every command behaves. Import inside GDB only."""

import gdb

from coronel_gdb.backends.gdb_session import Session


def install(session: Session) -> None:
    """Register the settings and let the session ask them."""
    _Prefix("set coronel", "Set how the coronel commands behave.")
    _Prefix("show coronel", "Show how the coronel commands behave.")
    verbose, numpy, profile = _Verbose(), _Numpy(), _Profile()
    session.verbose = lambda: bool(verbose.value)
    session.profile = lambda: str(profile.value or "")
    session.numpy = lambda: numpy.value == "auto"


class _Prefix(gdb.Command):
    """Without a setting's name it lists all of them, as GDB's own prefixes do."""

    def __init__(self, name: str, text: str) -> None:
        self.__doc__ = text
        self._verb = name.partition(" ")[0]
        super().__init__(name, gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """The settings with their values, or how to set one."""
        if argument.strip():
            raise gdb.GdbError(
                f"no setting of coronel: {argument.strip()}; there are: verbose, numpy, profile"
            )
        if self._verb == "set":
            raise gdb.GdbError(
                "`set coronel verbose on|off`, `set coronel numpy auto|off`, `set coronel profile [FILE]`"
            )
        for name in ("verbose", "numpy", "profile"):
            gdb.execute(f"show coronel {name}")


class _Verbose(gdb.Parameter):
    """Every command as with --verbose."""

    set_doc = "Set whether every coronel command prints all that is known (as with --verbose)."
    show_doc = "Show whether every coronel command prints all that is known."

    def __init__(self) -> None:
        super().__init__("coronel verbose", gdb.COMMAND_DATA, gdb.PARAM_BOOLEAN)
        self.value = False

    def get_set_string(self) -> str:
        """Nothing to say: the command that was typed says it."""
        return ""

    def get_show_string(self, value: str) -> str:
        """One line."""
        return f"Every finding with all that is known: {value}."


class _Numpy(gdb.Parameter):
    """Whether numpy may be imported into GDB."""

    set_doc = "Set whether large structures are decoded with numpy: auto (where it pays) or off."
    show_doc = "Show whether large structures are decoded with numpy."

    def __init__(self) -> None:
        super().__init__("coronel numpy", gdb.COMMAND_DATA, gdb.PARAM_ENUM, ["auto", "off"])
        self.value = "auto"

    def get_set_string(self) -> str:
        """Nothing to say: the command that was typed says it."""
        return ""

    def get_show_string(self, value: str) -> str:
        """One line."""
        return f"Large structures are decoded with numpy: {value}."


class _Profile(gdb.Parameter):
    """Every command as with --profile."""

    set_doc = (
        "Set the profile that says what is what in the kernel (as with --profile); nothing: it is found."
    )
    show_doc = "Show the profile that says what is what in the kernel."

    def __init__(self) -> None:
        super().__init__("coronel profile", gdb.COMMAND_DATA, gdb.PARAM_OPTIONAL_FILENAME)
        self.value = ""

    def get_set_string(self) -> str:
        """Nothing to say: the command that was typed says it."""
        return ""

    def get_show_string(self, value: str) -> str:
        """One line."""
        return f"The profile of the kernel: {value or 'found by its symbols'}."
