"""QEMU's machine protocol over a unix socket: what reading a guest takes, and nothing that changes it."""

import json
import socket
import struct
import weakref
from pathlib import Path

from coronel_gdb.errors import TargetError

_SECONDS = 10.0
_GREETING_SECONDS = 3.0
_MOST_BYTES = 64 << 20
_PEER = struct.Struct("3i")  # pid, uid, gid


class Qmp:
    """A connection that is ready for commands; `TargetError` says in one line why there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        weakref.finalize(self, self._socket.close)  # the last reader closes it; QMP serves one at a time
        self._socket.settimeout(_GREETING_SECONDS)
        self._buffer = b""
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        try:
            self._socket.connect(str(self.path))
        except OSError as error:
            # A path that is too long for a socket has no errno's words.
            raise TargetError(f"cannot connect to QEMU at {self.path}: {error.strerror or error}") from error
        try:
            if "QMP" not in self._line():
                raise TargetError(
                    f"{self.path} is no QMP socket: QEMU has one with `-qmp unix:PATH,server=on,wait=off`"
                )
        except TimeoutError as error:
            raise TargetError(
                f"no greeting from {self.path}: QMP serves one client at a time, is another connected?"
            ) from error
        self._socket.settimeout(_SECONDS)
        self.execute("qmp_capabilities")

    def close(self) -> None:
        """End the connection; the guest goes on as it was."""
        self._socket.close()

    @property
    def pid(self) -> int:
        """The process that listens on the socket: QEMU, unless a manager opened the socket for it."""
        data = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return int(_PEER.unpack(data)[0])

    def execute(self, command: str, arguments: dict[str, object] | None = None) -> object:
        """A command's answer; `TargetError` when QEMU refuses, is gone, or is silent for long."""
        request = {"execute": command, "arguments": arguments or {}}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n", socket.MSG_NOSIGNAL)
            while True:
                answer = self._line()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise TargetError(f"QEMU refuses {command}: {_text(answer['error'])}")
        except TimeoutError as error:
            raise TargetError(f"QEMU gave no answer to {command} within {_SECONDS:g} s") from error
        except OSError as error:
            raise TargetError(f"the connection to QEMU broke: {error.strerror}") from error

    def human(self, line: str, cpu: int = 0) -> str:
        """What the monitor for people prints, as seen from a CPU."""
        arguments = {"command-line": line, "cpu-index": cpu}
        return str(self.execute("human-monitor-command", arguments)).replace("\r\n", "\n")

    def _line(self) -> dict[str, object]:
        while b"\n" not in self._buffer:
            data = self._socket.recv(1 << 16)
            if not data:
                raise TargetError("QEMU closed the connection")
            self._buffer += data
            if len(self._buffer) > _MOST_BYTES:
                raise TargetError("QEMU's answer does not end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise TargetError(f"{self.path} does not speak QMP") from error
        return answer if isinstance(answer, dict) else {}


def _text(error: object) -> str:
    return str(error.get("desc", error)) if isinstance(error, dict) else str(error)
