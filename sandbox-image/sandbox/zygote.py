"""The process that attempts are forked from.

It comes into being with a clean environment, by exec (zygote_process.py) or as a fork of the nursery's
template, with what programs commonly import loaded. Then it serves the supervisor over one socket until that
closes:

    {"do": "serve", …}   the settings, once and first: see `serve`
    {"do": "fork", "folder": path} with descriptors [output, channel, trace]  ─►  forks a child
    {"do": "signal"}   ─►  SIGUSR1 to the child: it writes where it is to its trace descriptor
    {"do": "kill"}     ─►  SIGKILL to the child and its session
    ◄─  {"event": "up", "python", "packages", "resident_bytes", "has_own_uid"}   once, with all loaded
    ◄─  {"event": "ended", "status", "peak_bytes"}   when nothing of the attempt is left

There is one attempt at a time. It never sees the code that a child runs.
"""

import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import platform
import resource
import selectors
import signal
import socket
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from sandbox import confinement, figures, harness, linux, one_process, packages, processes
from sandbox.channel import HARNESS_BROKEN
from sandbox.confinement import Confinement, Machine
from sandbox.pristine import Pristine

CHANNEL_FD, TRACE_FD = 3, 4  # a child's descriptors above 0 (/dev/null), 1 and 2 (output)

_STANDARD_LIBRARY = """
    argparse array ast asyncio base64 bisect calendar cmath collections concurrent.futures contextlib
    copy csv dataclasses datetime decimal difflib doctest enum fractions functools glob hashlib heapq
    html inspect io itertools json logging math operator pathlib pickle platform pprint queue random re
    secrets shutil sqlite3 statistics string struct tempfile textwrap threading time timeit traceback
    typing unittest unittest.async_case unittest.mock urllib.parse uuid zlib zoneinfo
""".split()


@dataclass(frozen=True)
class Preloaded:
    """What is loaded and known before the settings are: the same for all zygotes of a machine."""

    import_path: list[str]
    machine: Machine
    pristine: Pristine
    packages: list[str]


def preload(import_path: list[str], *, libraries: bool) -> Preloaded:
    """Loads what programs commonly import and finds out what the machine offers.

    `libraries` False leaves the libraries out.
    """
    one_process.use_locks_of_threads()
    if libraries:
        _preload()
    preloaded = Preloaded(
        import_path, confinement.look_around(import_path), Pristine(), list(packages.installed())
    )
    gc.collect()
    gc.freeze()
    return preloaded


def main(arguments: dict[str, Any]) -> NoReturn:
    """Runs a zygote that was started by exec; `arguments` come from `zygote_process.py`."""
    linux.name_process("sandbox-zygote")
    preloaded = preload(arguments["import_path"], libraries=arguments["libraries"])
    serve(socket.socket(fileno=arguments["control_fd"]), preloaded)


def serve(control: socket.socket, preloaded: Preloaded) -> NoReturn:
    """Serves the supervisor at the other end of `control`; the process has this one thread and no child."""
    _prefer_being_killed()
    linux.hide_memory()
    linux.adopt_orphans()
    told = control.recv(65536)
    if not told:
        os._exit(0)
    settings = json.loads(told)
    rules = confinement.prepare(
        preloaded.machine, settings["confinement_required"], settings["memory_bytes"], settings["base"]
    )
    _tell(
        control,
        event="up",
        python=platform.python_version(),
        packages=preloaded.packages,
        resident_bytes=_resident_bytes(),
        has_own_uid=rules.has_own_uid,
    )
    _Zygote(
        control,
        rules,
        harness.Settings(preloaded.import_path, settings["policy_check"], preloaded.pristine),
    ).serve()


class _Zygote:
    def __init__(self, control: socket.socket, rules: Confinement, settings: harness.Settings) -> None:
        self._control = control
        self._rules = rules
        self._settings = settings
        self._child: int | None = None

    def serve(self) -> NoReturn:
        ended, on_end = socket.socketpair()
        ended.setblocking(False)
        on_end.setblocking(False)
        signal.set_wakeup_fd(on_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is ended:
                        ended.recv(4096)
                        self._reap()
                    else:
                        self._obey()

    def _obey(self) -> None:
        message, fds, _, _ = socket.recv_fds(self._control, 65536, 3)
        if not message:  # the supervisor is gone
            processes.end_children()
            os._exit(0)
        order = json.loads(message)
        if order["do"] == "fork":
            self._fork(order["folder"], fds)
        elif self._child is not None and order["do"] == "signal":
            os.kill(self._child, signal.SIGUSR1)
        elif self._child is not None and order["do"] == "kill":
            processes.end_session(self._child)

    def _fork(self, folder: str, fds: list[int]) -> None:
        self._child = processes.fork()
        if self._child == 0:
            try:
                _be_child(self._rules, self._settings, folder, fds)
            except BaseException:  # for the supervisor's log: the output is the code's own
                with contextlib.suppress(BaseException):
                    os.write(TRACE_FD, traceback.format_exc().encode("utf-8", "replace"))
            finally:
                os._exit(HARNESS_BROKEN)  # whatever happens, a child never becomes a second zygote
        for fd in fds:
            os.close(fd)

    def _reap(self) -> None:
        if self._child is None:
            return
        pid, status, usage = os.wait4(self._child, os.WNOHANG)
        if pid == 0:
            return
        self._child = None
        processes.end_children()
        if self._rules.shared_folders:
            confinement.remove_leftovers(self._rules, pid)
        _tell(self._control, event="ended", status=status, peak_bytes=usage.ru_maxrss * 1024)


def _be_child(rules: Confinement, settings: harness.Settings, folder: str, fds: list[int]) -> NoReturn:
    linux.name_process("sandbox-attempt")
    null = os.open(os.devnull, os.O_RDONLY)
    output, channel, trace = fds
    out_of_the_way = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (null, output, output, channel, trace)]
    for number, fd in enumerate(out_of_the_way):
        os.dup2(fd, number, inheritable=number <= 2)
    harness.run(socket.socket(fileno=CHANNEL_FD), TRACE_FD, rules, settings, folder)


def _tell(control: socket.socket, **message: object) -> None:
    control.sendall(json.dumps(message).encode())


def _preload() -> None:
    for name in _STANDARD_LIBRARY:
        importlib.import_module(name)
    if importlib.util.find_spec("numpy"):
        importlib.import_module("numpy")
    if importlib.util.find_spec("pandas"):
        pandas = importlib.import_module("pandas")
        frame = pandas.DataFrame({"group": ["a", "b", "a"], "value": [1.0, 2.0, 3.0]})
        str(frame.groupby("group").describe())
    if importlib.util.find_spec("matplotlib"):
        figures.preload()
    if importlib.util.find_spec("PIL"):
        figures.preload_images()


def _resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _prefer_being_killed() -> None:
    """When the machine runs out of memory, an attempt is to go, or the zygote, but not the supervisor."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("500")  # a courtesy that some containers do not allow
