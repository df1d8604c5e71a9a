"""The supervisor's hold on its zygote: starts it, orders from it, knows when it is gone."""

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from sandbox import processes
from sandbox.log import log
from sandbox.settings import Settings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 120.0
_NONSENSE = "the process that attempts are forked from talks nonsense"
_BOOTSTRAP = (
    "import json, sys; settings = json.loads(sys.argv[1]); "
    "sys.path[:] = [settings['root'], *settings['import_path']]; "
    "from sandbox import zygote; zygote.main(settings)"
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


class ZygoteProcess:
    """One zygote. `control` is ready to be read when it says something or has died."""

    def __init__(self, settings: Settings, base: str, *, preload: bool) -> None:
        """Starts it and waits until it is up. `base` is the folder that holds the working folders.

        `preload` False leaves out the libraries: quicker, for one look at the isolation.
        """
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        import_path = [path for path in sys.path if path and os.path.realpath(path) != os.path.realpath(ROOT)]
        self.import_path = [os.path.abspath(path) for path in import_path]
        arguments = {
            "root": ROOT,
            "import_path": self.import_path,
            "control_fd": theirs.fileno(),
            "base": base,
            "confinement_required": settings.confinement_required,
            "memory_bytes": settings.memory_bytes,
            "policy_check": settings.policy_check,
            "preload": preload,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", _BOOTSTRAP, json.dumps(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_clean_environment(base),
            cwd="/",
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        threading.Thread(target=self._pass_on_warnings, daemon=True).start()
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
        self._process.kill()
        self._process.wait()
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

    def _pass_on_warnings(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                log("warning", line.decode("utf-8", "replace").rstrip(), source="zygote")


def _clean_environment(base: str) -> dict[str, str]:
    """Nothing of the supervisor's environment, but where the user's libraries keep their caches."""
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
