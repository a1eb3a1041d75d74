"""What commands keep of a connection while the target stands still. Import inside GDB only.

Finding QEMU and comparing its memory with the stub takes 10 to 30 ms, a walk of one address takes 0.1. The
route depends on the connection and on QEMU's memory map, which changes only while the guest runs: so it
is kept until the target is resumed, disconnected or replaced, and then found and verified anew.
"""

from collections.abc import Callable

import gdb

from coronel_gdb.protocols import PhysicalMemory

_UNCHANGING = ("qom-get ",)  # answers that are properties of the machine, not of its state


class KeptRoute:
    """The route to memory of the last command, as long as nothing can have changed it."""

    def __init__(self) -> None:
        self._connection: gdb.RemoteTargetConnection | None = None
        self._memory: PhysicalMemory | None = None
        self._answers: dict[str, str] = {}
        # GDB tells of a resumption that the user asked for, not of one past a condition that is false.
        for event in (gdb.events.cont, gdb.events.stop, gdb.events.exited):
            event.connect(self.forget)

    def route(
        self, connection: "gdb.RemoteTargetConnection", find: Callable[[], PhysicalMemory]
    ) -> PhysicalMemory:
        """The kept route when it is this connection's, else what `find` finds."""
        if self._memory is None or self._connection != connection:
            self.forget()
            self._memory = find()
            self._connection = connection
        return self._memory

    def answer(self, command: str, ask: Callable[[], str]) -> str:
        """The monitor's answer; kept where it cannot change while the target stands still."""
        if not command.startswith(_UNCHANGING) or self._memory is None:
            return ask()
        if command not in self._answers:
            self._answers[command] = ask()
        return self._answers[command]

    def forget(self, _event: object = None) -> None:
        """The next command finds its route anew."""
        self._connection = self._memory = None
        self._answers.clear()
