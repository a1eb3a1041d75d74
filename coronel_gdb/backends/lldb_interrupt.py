"""Ctrl-C in LLDB: its first press only notes that the command was interrupted, so a long command has to ask.

LLDB answers that question on the command's own thread alone. So a second thread, once a command takes long,
has Python ask there from time to time; a `KeyboardInterrupt` in the command is the result.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import lldb

_LONG_SECONDS = 0.5  # most commands are done by then, and pay for a thread only
_LOOK_SECONDS = 0.2
_KEPT: list[object] = []
"""What C may still call: a look that was asked for can come after its command has ended."""


@contextmanager
def interruptible(debugger: "lldb.SBDebugger") -> Iterator[None]:
    """Let the first Ctrl-C end the body by `KeyboardInterrupt`."""
    done = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(debugger, threading.get_ident(), done), name="coronel-interrupt", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _watch(debugger: "lldb.SBDebugger", command_thread: int, done: threading.Event) -> None:
    if done.wait(_LONG_SECONDS):
        return
    import ctypes  # here: a command that is quickly done does not pay for it

    interpreter = debugger.GetCommandInterpreter()
    pressed = threading.Event()

    def look(_: object) -> int:
        if interpreter.WasInterrupted():
            pressed.set()
        return 0

    called = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(look)
    _KEPT.append(called)
    while not done.wait(_LOOK_SECONDS):
        if pressed.is_set():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(command_thread), ctypes.py_object(KeyboardInterrupt)
            )
            return
        ctypes.pythonapi.Py_AddPendingCall(called, None)
