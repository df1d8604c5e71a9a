"""A real nursery, and sandboxes of it that look like processes that were started, for tests."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from typing import Any


class Nursery:
    """The template: `command` with `--nursery`, which ends with this process if it is not ended before."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.folder = tempfile.mkdtemp(prefix="sandbox-nursery-")
        if options.get("user"):
            os.chown(self.folder, options["user"], options["group"])
        self.process = subprocess.Popen(
            [*command, "--nursery", self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )
        assert self.process.stdout is not None
        self.socket: str = json.loads(self.process.stdout.readline())["nursery"]["socket"]

    def end(self) -> int:
        """Ends it and returns its exit code."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        code = self.process.wait(10)
        if code < 0:
            shutil.rmtree(self.folder)  # a killed one leaves it
        return code

    def launch(self, variables: dict[str, str]) -> "NurserySandbox":
        """Asks for a sandbox and waits until it is there."""
        return NurserySandbox(self.socket, variables)


class NurserySandbox:
    """What `subprocess.Popen` gives of a process, of a fork of the template."""

    def __init__(self, path: str, variables: dict[str, str]) -> None:
        self.returncode: int | None = None
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(path)
        self.connection.sendall(json.dumps(variables).encode() + b"\n")
        self._lines = self.connection.makefile("rb")
        self.pid: int = json.loads(self._lines.readline())["nursery"]["pid"]
        self._log = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._reader.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a sandbox of the nursery", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
        self.wait(timeout)
        self.connection.close()
        return bytes(self._log), None

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> None:
        with self._lines, contextlib.suppress(ConnectionError):
            for line in self._lines:
                if line.startswith(b'{"nursery"'):
                    code = json.loads(line)["nursery"]["exit_code"]
                    self.returncode = code if code <= 128 else 128 - code
                elif line.strip():
                    self._log += line
