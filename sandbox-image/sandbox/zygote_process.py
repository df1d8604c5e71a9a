"""The supervisor's hold on its zygote: starts it, orders from it, knows when it is gone."""

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any

from sandbox import processes
from sandbox.log import log
from sandbox.settings import Settings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 120.0
_NONSENSE = "the process that attempts are forked from talks nonsense"
_BOOTSTRAP = (
    "import json, sys; arguments = json.loads(sys.argv[1]); "
    "sys.path[:] = [arguments['root'], *arguments['import_path']]; "
    "from sandbox import {module}; {module}.main(arguments)"
)


class ZygoteLost(Exception):
    """The zygote has died or does not answer; what ran in it is gone, too."""


@dataclass(frozen=True)
class Abilities:
    """What a zygote says of itself when it is up. `resident_bytes` is the memory of an empty attempt."""

    python: str
    packages: list[str]
    resident_bytes: int
    has_own_uid: bool


@dataclass(frozen=True)
class Newborn:
    """A zygote that has not been told its settings: its control, and what it complains of."""

    control: socket.socket
    stderr: IO[bytes]


class ZygoteProcess:
    """One zygote. `control` is ready to be read when it says something or has died."""

    def __init__(self, newborn: Newborn, settings: Settings, base: str) -> None:
        """Waits until it is up. `base` is the folder that holds the working folders. Raises ZygoteLost."""
        self.control = newborn.control
        self.import_path = import_path()
        threading.Thread(target=_pass_on_warnings, args=[newborn.stderr], daemon=True).start()
        self.order(
            {
                "do": "serve",
                "base": base,
                "confinement_required": settings.confinement_required,
                "memory_bytes": settings.memory_bytes,
                "policy_check": settings.policy_check,
            }
        )
        self.abilities = self._wait_until_up()

    def order(self, order: dict[str, Any], fds: list[int] | None = None) -> None:
        """Sends an order of `zygote.py`; raises ZygoteLost."""
        try:
            socket.send_fds(self.control, [json.dumps(order).encode()], fds or [])
        except OSError as error:
            raise ZygoteLost("the process that attempts are forked from has died") from error

    def hear(self) -> dict[str, Any]:
        """The next thing it says; raises ZygoteLost if it is gone, TimeoutError if it is not up in time."""
        try:
            said = self.control.recv(2**20)
        except ConnectionError:
            said = b""
        if not said:
            raise ZygoteLost("the process that attempts are forked from has died")
        try:
            message: dict[str, Any] = json.loads(said)
        except (ValueError, RecursionError) as error:
            raise ZygoteLost(_NONSENSE) from error
        return message

    def hear_end(self) -> tuple[int, int]:
        """Status, as of os.wait, and peak memory in bytes of an attempt that is over; raises ZygoteLost."""
        said = self.hear()
        try:
            status, peak_bytes = int(said["status"]), int(said["peak_bytes"])
            os.waitstatus_to_exitcode(status)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ZygoteLost(_NONSENSE) from error
        return status, peak_bytes

    def count_others(self) -> int:
        """Processes and threads that count with those of an attempt that waits for its job."""
        return 0 if self.abilities.has_own_uid else processes.count_of_user() - 1

    def end(self) -> None:
        """Kills it and whatever is left of its attempts."""
        processes.end_children()
        self.control.close()

    def _wait_until_up(self) -> Abilities:
        self.control.settimeout(START_SECONDS)
        try:
            said = self.hear()
        except TimeoutError as error:
            raise ZygoteLost(f"Python and its libraries did not load in {START_SECONDS:g} s") from error
        self.control.settimeout(None)
        return Abilities(said["python"], said["packages"], said["resident_bytes"], said["has_own_uid"])


def start(base: str, *, libraries: bool) -> Newborn:
    """Starts a zygote by exec. `base` is the folder that holds the working folders.

    `libraries` False leaves out the libraries: quicker, for one look at the isolation.
    """
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            command("zygote", control_fd=theirs.fileno(), libraries=libraries),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean_environment(base),
            cwd="/",
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    process.returncode = 0  # processes.py waits for it
    assert process.stderr is not None
    return Newborn(control, process.stderr)


def command(module: str, **arguments: object) -> list[str]:
    """The command that runs `main(arguments)` of a module here, in a Python that no environment adds to."""
    known = {"root": ROOT, "import_path": import_path(), **arguments}
    return [sys.executable, "-I", "-X", "utf8", "-c", _BOOTSTRAP.format(module=module), json.dumps(known)]


def import_path() -> list[str]:
    """Where programs find what they import, without this program's own folder."""
    root = os.path.realpath(ROOT)
    return [os.path.abspath(path) for path in sys.path if path and os.path.realpath(path) != root]


def clean_environment(base: str) -> dict[str, str]:
    """Nothing of this process's environment, but where the user's libraries keep their caches."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",  # threads do not survive a fork
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",  # an arena takes 64 MB of the limited address space
    }
    home, matplotlib = os.environ.get("HOME", ""), os.environ.get("MPLCONFIGDIR", "")
    environment["HOME"] = home if os.access(home, os.W_OK) else base
    if os.access(matplotlib, os.W_OK):
        environment["MPLCONFIGDIR"] = matplotlib
    return environment


def _pass_on_warnings(stderr: IO[bytes]) -> None:
    with stderr:
        for line in stderr:
            log("warning", line.decode("utf-8", "replace").rstrip(), source="zygote")
