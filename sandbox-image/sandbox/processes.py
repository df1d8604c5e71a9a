"""Forks processes, and ends them so that none is left."""

import contextlib
import os
import re
import signal
import warnings


def fork() -> int:
    """`os.fork()` of a process with one thread of its own: a library's idle threads are no danger here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def end_children() -> None:
    """Kills every descendant of this process and waits until there is none.

    Needs `linux.adopt_orphans()`: whoever loses its parent becomes a child of this process, so nothing
    escapes by forking twice. Repeats, because what is being killed may still be forking.
    """
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for pid in _descendants(os.getpid()):
            _kill(pid)
        os.waitpid(-1, 0)


def end_session(leader: int) -> None:
    """Kills a child that leads a session and the process group it leads."""
    _kill(leader)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # not yet a leader, or all gone
        os.killpg(leader, signal.SIGKILL)


def count_of_user() -> int:
    """Processes and threads that RLIMIT_NPROC counts together with those of a child of this process.

    All of this uid; in a user namespace of its own, since Linux 5.14, only this process and its children.
    """
    with open("/proc/self/uid_map", encoding="ascii") as file:
        is_alone = file.readline().split()[2] == "1"
    release = tuple(int(digits) for digits in re.findall(r"\d+", os.uname().release)[:2])
    if is_alone and release >= (5, 14):
        return sum(_threads_of(pid) for pid in (os.getpid(), *_descendants(os.getpid())))
    uid = os.getuid()
    return sum(_threads_of(int(entry), uid) for entry in os.listdir("/proc") if entry.isdigit())


def _threads_of(pid: int, uid: int | None = None) -> int:
    """Threads of a process; 0 if it has ended, or is not `uid`'s."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields.get("Threads", "1")) if uid is None or int(fields["Uid"].split()[0]) == uid else 0


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, signal.SIGKILL)


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since the listing
        children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    generation = children.get(ancestor, [])
    while generation:
        found += generation
        generation = [child for pid in generation for child in children.get(pid, [])]
    return found
