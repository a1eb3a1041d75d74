"""QEMU's machine protocol (QMP), synchronous, over a socket that is already connected."""

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from lab.errors import LabError

T = TypeVar("T")
CLOSE_SECONDS = 2.0

# The library logs a connection that breaks, and raises too; the exception says it once and for all.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class Monitor:
    """One QMP connection; made connected and ready for commands.

    The library is asynchronous; its event loop has a thread of its own. In the main thread a signal's
    exception (Ctrl-C, a test's timeout) could be raised inside the loop, which swallows some kinds of
    exception and is torn by the others. Here it is raised in `_run`, which only waits.
    """

    def __init__(self, connection: socket.socket, *, timeout_seconds: float) -> None:
        self._client = QMPClient("lab")
        self._loop = asyncio.new_event_loop()
        # What fails is raised by `_run`; the loop would print the library's cancelled tasks as well.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()
        try:
            self._run(self._client.connect(connection), timeout_seconds)
            # QEMU greets before its devices are made; it obeys only when they are.
            self.execute("query-status", timeout_seconds=timeout_seconds)
        except BaseException:
            self.close()
            raise

    def execute(
        self, command: str, arguments: dict[str, object] | None = None, *, timeout_seconds: float = 10.0
    ) -> object:
        """Run one QMP command and return its answer."""
        return self._run(self._client.execute(command, arguments), timeout_seconds)

    def human(self, command: str, *, timeout_seconds: float = 30.0) -> str:
        """Run one command of the monitor for people (`info tlb`) and return its text, line ends plain."""
        answer = self.execute(
            "human-monitor-command", {"command-line": command}, timeout_seconds=timeout_seconds
        )
        return str(answer).replace("\r\n", "\n")

    def close(self) -> None:
        """Close the connection; QEMU itself goes on."""
        with suppress(LabError):
            self._run(self._leave(), CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    async def _leave(self) -> None:
        # A command that was given up may still be on its way: the library leaves only when it is quiet.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # The other side may be gone, which is no news when closing.
        with suppress(QMPError, OSError, EOFError, asyncio.CancelledError):
            await self._client.disconnect()
        # A transport that was closed lets its socket go in the loop's next turn.
        await asyncio.sleep(0)

    def _run(self, work: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_seconds)
        except TimeoutError as error:
            future.cancel()
            raise LabError(f"QEMU's monitor gave no answer within {timeout_seconds:g} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise LabError(f"QEMU's monitor: {error}") from error
        except BaseException:
            future.cancel()
            raise
