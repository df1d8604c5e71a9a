"""Sandboxes without the start of an interpreter: each is a fork of one template.

The template is started by exec with a clean environment and loads what a supervisor and a zygote need. It
tells on its standard output where it listens, and then each connection to that Unix socket is a sandbox:

    the launcher ─► connects, writes the settings: {"MANIFEST_URL": …, "SANDBOX_…": …}, a line
    the template ─► accepts, forks
      the fork   ─► a session of its own ─► forks its zygote ─► {"nursery": {"pid"}}
                 ─► reads the settings ─► is a supervisor (supervisor.py), its log goes to the connection
    the template ◄─ sees it end ─► {"nursery": {"exit_code"}}, 128 and the signal's number if one ended it

No program ever runs in the template, and no secret is ever in it: it does not read what the launcher writes,
and supervisor and zygote part before that is read. A sandbox ends when its launcher closes the connection;
it does not end with the template. The template ends when its standard input does, and on SIGTERM.

Forks have in common what processes that were started one by one have not: the layout of their address space,
and the seed of string hashes. All else that must differ is made anew: `random` and OpenSSL see the fork
themselves, `tempfile` and `uuid` keep no state across it, harness.py sees to the rest.
"""

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import threading
import time
import traceback
from typing import Any, NoReturn

from sandbox import linux, processes, supervisor, zygote
from sandbox.disk import Disk, can_mount
from sandbox.log import log
from sandbox.settings import BadSetting, Settings
from sandbox.zygote_process import Newborn

_WAITING = 1024  # connections that may wait to be accepted
_LONGEST_SETTINGS = 64 * 1024
_CONNECTION_FD = _CONTROL_FD = 3
_BROKEN = 70  # exit code of a fork that is not what it was to become


def main(arguments: dict[str, Any]) -> NoReturn:
    """Runs the template and, in its forks, a supervisor or a zygote; `arguments` come from `__main__.py`."""
    linux.name_process("sandbox-nursery")
    home = arguments["home"]
    signal.signal(signal.SIGTERM, lambda *_: _end_template(home))
    os.chdir("/")
    mounts = can_mount()
    linux.hide_memory()
    preloaded = zygote.preload(arguments["import_path"], libraries=True)
    connection = _Template(home).serve()
    exit_code = _BROKEN
    try:  # in a fork: whatever happens, it does not become a second template
        started_at = time.monotonic()
        connection = _begin_sandbox(connection)
        linux.show_memory()  # or it could not map its own user; there is no secret yet
        disk = Disk(mounts)
        newborn = _fork_zygote()
        if isinstance(newborn, socket.socket):
            zygote.serve(newborn, preloaded)
        linux.hide_memory()
        linux.adopt_orphans()
        connection.sendall(_line(pid=os.getpid()))
        settings = Settings.of(_read_settings(connection))
        threading.Thread(target=_end_when_closed, args=[connection], daemon=True).start()
        exit_code = supervisor.serve(settings, disk, newborn, started_at)
    except (BadSetting, ConnectionError) as error:
        log("error", str(error))
        exit_code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(exit_code)


class _Template:
    """Forks a sandbox for each connection. `home` is its folder, gone when it ends."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._listener = socket.socket(socket.AF_UNIX)
        umask = os.umask(0o077)
        self._listener.bind(f"{home}/socket")
        os.umask(umask)
        self._listener.listen(_WAITING)
        self._listener.setblocking(False)
        self._sandboxes: dict[int, socket.socket] = {}

    def serve(self) -> socket.socket:
        """Returns in forks only: the connection that a fork is for."""
        ended, on_end = socket.socketpair()
        ended.setblocking(False)
        on_end.setblocking(False)
        signal.set_wakeup_fd(on_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        os.write(1, _line(socket=f"{self._home}/socket"))
        with selectors.DefaultSelector() as selector:
            for source in (0, ended, self._listener):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is ended:
                        ended.recv(4096)
                        self._reap()
                    elif key.fileobj is self._listener:
                        connection = self._fork()
                        if connection is not None:
                            return connection
                    elif not os.read(0, 4096):
                        _end_template(self._home)

    def _fork(self) -> socket.socket | None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return None  # who wanted it has gone
        try:
            pid = processes.fork()
        except OSError as error:  # the launcher sees the connection closed
            log("error", f"no sandbox can be forked: {error.strerror}")
            connection.close()
            return None
        if pid == 0:
            return connection
        self._sandboxes[pid] = connection
        return None

    def _reap(self) -> None:
        while self._sandboxes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            exit_code = os.waitstatus_to_exitcode(status)
            with self._sandboxes.pop(pid) as connection, contextlib.suppress(OSError):
                connection.setblocking(False)  # a launcher that does not listen is not waited for
                connection.sendall(b"\n" + _line(exit_code=exit_code if exit_code >= 0 else 128 - exit_code))


def _end_template(home: str) -> NoReturn:
    shutil.rmtree(home, ignore_errors=True)
    os._exit(0)


def _begin_sandbox(connection: socket.socket) -> socket.socket:
    """Leaves all that is the template's; what is written to 1 and 2 goes to the connection."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    _keep_only(null, *[connection.detach()] * 3)
    return socket.socket(fileno=_CONNECTION_FD)


def _fork_zygote() -> Newborn | socket.socket:
    """The zygote, for its supervisor; in the zygote itself its control."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr, complaints = os.pipe()
    linux.name_process("sandbox-zygote")  # before the fork: at no time there are two of one name
    if processes.fork() == 0:
        os.setsid()
        control.detach()
        null = os.open(os.devnull, os.O_RDWR)
        _keep_only(null, null, complaints, theirs.detach())
        return socket.socket(fileno=_CONTROL_FD)
    linux.name_process("sandbox")
    theirs.close()
    os.close(complaints)
    return Newborn(control, open(stderr, "rb"))


def _keep_only(*fds: int) -> None:
    """Numbers these descriptors from 0 on and closes all others."""
    out_of_the_way = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in fds]
    for number, fd in enumerate(out_of_the_way):
        os.dup2(fd, number, inheritable=number <= 2)
    os.closerange(len(fds), max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _read_settings(connection: socket.socket) -> dict[str, str]:
    text = bytearray()
    while not text.endswith(b"\n"):
        piece = connection.recv(4096)
        text += piece
        if not piece or len(text) > _LONGEST_SETTINGS:
            raise ConnectionError("the launcher told no settings")
    settings = json.loads(text)
    return {str(name): str(value) for name, value in settings.items()}


def _end_when_closed(connection: socket.socket) -> None:
    """The launcher holds the other end as long as it wants the sandbox."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def _line(**message: int | str) -> bytes:
    return json.dumps({"nursery": message}).encode() + b"\n"
