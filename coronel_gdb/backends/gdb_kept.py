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
    """The route to memory of the last command, as long as nothing can have changed it.

    Without `until_resumed` it is kept while the target runs, too: whoever does that verifies by another one.
    """

    def __init__(self, *, until_resumed: bool = True) -> None:
        self._connection: gdb.RemoteTargetConnection | None = None
        self._memory: PhysicalMemory | None = None
        self._answers: dict[str, str] = {}
        for event in (gdb.events.cont, gdb.events.exited) if until_resumed else (gdb.events.exited,):
            event.connect(self._forget)

    def route(
        self, connection: "gdb.RemoteTargetConnection", find: Callable[[], PhysicalMemory]
    ) -> PhysicalMemory:
        """The kept route when it is this connection's, else what `find` finds."""
        if self._memory is None or self._connection != connection:
            self._forget()
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

    def _forget(self, _event: object = None) -> None:
        self._connection = self._memory = None
        self._answers.clear()
