"""What a child does to itself before it reads a byte of the code that it is to run. In this order:

1. a new session, default signal handlers, every descriptor closed but the given ones
2. a fresh working folder, its only place to write, and a clean environment
3. rlimits: memory above the interpreter, processes, file size, open files, no core
4. its own uid and gid where the supervisor is root, so that it owns nothing else on the machine
5. no_new_privs, death with its parent, memory hidden from other processes
6. Landlock: reads Python's own paths and the map of its own memory (by which libraries find each other),
   writes the working folder, no network, signals nobody
7. seccomp: see seccomp.py

None of it needs a privilege; where privileges are there (root), 4 uses them and gives them up. Python may
lie where only root can read it (/root/.pyenv, say): then the child keeps the one capability to read, and
Landlock alone decides what that is. Without Landlock such a child is refused.
"""

import contextlib
import ctypes
import os
import resource
import signal
import stat
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox import artifacts, landlock, linux, processes, readable, seccomp
from sandbox.jobs import LARGEST_INPUT
from sandbox.readable import Readable

FILE_BYTES = 64 * 1024 * 1024
OPEN_FILES = 128
MOST_THREADS = 128  # of an attempt, its first one included
_TASKS_OF_OTHERS = 1024  # that a shared uid may come to run between an attempt's fork and its job
RESERVE_BYTES = 64 * 1024 * 1024  # memory that the harness has left when the code has used up its own

_FIRST_UID = 1_900_000_000  # plus the pid: unique on the machine, in a range that nothing hands out
_CAP_DAC_READ_SEARCH = 2
_CAPABILITIES_FOR_OWN_UID = {  # to change to it, and to stop, read and remove what then is another's
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
}
_CAPABILITY_VERSION_3 = 0x20080522

_SYSTEM_PATHS = [
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
    "/dev/urandom", "/dev/random", "/dev/zero",
]  # fmt: skip
_WRITABLE_DEVICES = ("/dev/null",)
_NO_FILES = ("/proc", "/sys")  # no program leaves anything there
_MOST_FOLDERS = 20_000


class Refused(Exception):
    """The sandbox may not run anything, and why."""


@dataclass(frozen=True)
class Machine:
    """What this machine offers, and what of it a program may read: the same for all sandboxes."""

    landlock_abi: int
    seccomp_program: bytes | None
    seccomp_missing: str
    own_uid_missing: str
    readable: Readable
    readable_by_all: bool


def look_around(import_path: list[str]) -> Machine:
    """Finds out what this machine offers to a process like this one."""
    own_uid_missing = _why_no_own_uid()
    program, missing = None, ""
    try:
        program = seccomp.build(own_uid=not own_uid_missing)
    except seccomp.Unavailable as error:
        missing = str(error)
    found = readable.find(import_path)
    return Machine(
        landlock_abi=landlock.version(),
        seccomp_program=program,
        seccomp_missing=missing,
        own_uid_missing=own_uid_missing,
        readable=found,
        readable_by_all=all(map(_readable_by_all, found.granted)),
    )


@dataclass(frozen=True)
class Confinement:
    """What is the same for all attempts of a zygote; made once by `prepare`."""

    machine: Machine
    required: bool
    memory_bytes: int
    keeps_reading: bool
    shared_folders: tuple[str, ...]

    @property
    def has_own_uid(self) -> bool:
        """Whether each attempt has a uid of its own."""
        return self.required and not self.machine.own_uid_missing


def prepare(machine: Machine, required: bool, memory_bytes: int, base: str) -> Confinement:
    """The confinement of one sandbox. `base` is the folder that holds its working folders."""
    is_separate_by_uid_alone = not machine.landlock_abi and not machine.own_uid_missing
    return Confinement(
        machine=machine,
        required=required,
        memory_bytes=memory_bytes,
        keeps_reading=not (machine.readable_by_all and _passable_by_all(base)),
        shared_folders=tuple(_writable_by_all()) if is_separate_by_uid_alone else (),
    )


def enter(confinement: Confinement, folder: str, kept_fds: int, states: dict[str, str]) -> None:
    """Confines this process; `kept_fds` descriptors from 0 on stay open. Notes each layer in `states`.

    Raises Refused where running code would be less confined than promised, OSError where a layer that the
    machine offers could not be had.
    """
    os.setsid()
    _default_signals()
    os.closerange(kept_fds, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    os.makedirs(f"{folder}/.tmp", 0o700, exist_ok=True)
    _clean_environment(folder)
    os.umask(0o022)
    os.chdir(folder)

    own_uid = confinement.has_own_uid
    others = 0 if own_uid else processes.count_of_user() + _TASKS_OF_OTHERS
    _limit_resources(confinement.memory_bytes, others + MOST_THREADS)
    off = "off: not reached" if confinement.required else "off: SANDBOX=unconfined"
    states |= {"uid": off, "rlimits": "on", "no_new_privs": off, "landlock": off, "seccomp": off}
    if own_uid and confinement.keeps_reading and not _may_keep_reading(confinement):
        states["uid"] = "off: only root can reach Python or the folder, a right that cannot be handed on here"
        raise Refused(
            f"only root can reach Python ({sys.prefix}) or the working folder, and this machine has no "
            "Landlock or CAP_DAC_READ_SEARCH to hand that on safely: use a Python and a folder that every "
            "user can reach"
        )
    if confinement.required:
        states["uid"] = _separate_user(confinement, folder) if own_uid else _same_user(confinement)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    states["no_new_privs"] = "on"
    linux.die_with_parent(signal.SIGKILL)
    linux.hide_memory()
    if confinement.required:
        readable.remember_listings(confinement.machine.readable.unlisted)
        states["landlock"] = _restrict_files(confinement, folder)
        states["seccomp"] = _restrict_calls(confinement)
        if not states["seccomp"].startswith("on"):
            raise Refused(f"{states['seccomp']}; or run without confinement: SANDBOX=unconfined")
        if not own_uid and not states["landlock"].startswith("on"):
            raise Refused(
                "this kernel has no Landlock (since Linux 5.13, where it is switched on), so a program "
                f"could read and change the files of user {os.geteuid()}: run the sandbox as root or in its "
                "container, or without confinement: SANDBOX=unconfined"
            )


def _separate_user(confinement: Confinement, folder: str) -> str:
    uid = _own_uid(os.getpid())
    for path in (f"{folder}/.tmp", folder):
        os.chown(path, uid, uid)
    if confinement.keeps_reading:
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if not confinement.keeps_reading:
        _set_capabilities(0)
        return f"separate ({uid})"
    _set_capabilities(1 << _CAP_DAC_READ_SEARCH)
    return f"separate ({uid}), reads under Landlock what only root can reach: Python or the folder"


def _may_keep_reading(confinement: Confinement) -> bool:
    return confinement.machine.landlock_abi > 0 and linux.has_capability(_CAP_DAC_READ_SEARCH)


def _same_user(confinement: Confinement) -> str:
    _set_capabilities(0)
    return f"off: {confinement.machine.own_uid_missing}"


def _restrict_files(confinement: Confinement, folder: str) -> str:
    if confinement.machine.landlock_abi:
        read_only = (*_SYSTEM_PATHS, *confinement.machine.readable.granted, f"/proc/{os.getpid()}/maps")
        landlock.restrict(confinement.machine.landlock_abi, read_only, _WRITABLE_DEVICES, folder)
        return f"on (ABI {confinement.machine.landlock_abi})"
    if confinement.machine.own_uid_missing:
        return "off: this kernel has no Landlock; files of the same user can be read"
    return "off: this kernel has no Landlock; the separate uid guards files"


def _restrict_calls(confinement: Confinement) -> str:
    if confinement.machine.seccomp_program is None:
        return f"off: {confinement.machine.seccomp_missing}"
    seccomp.load(confinement.machine.seccomp_program)
    return "on"


def limit_cpu(seconds: int) -> None:
    """A net below the time limit, should nobody be left to enforce it."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def limit_file_size(largest_input: int) -> None:
    """Lets files grow beyond the largest that the program was given by as much as those that it makes."""
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES + largest_input, FILE_BYTES + largest_input)


def limit_threads(others: int) -> None:
    """Allows the same number of threads, however many `others` are counted with them."""
    limit = others + MOST_THREADS
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(
        resource.RLIMIT_NPROC, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def remove_leftovers(confinement: Confinement, pid: int) -> None:
    """Removes what an attempt that was process `pid` has left outside its folder, where Landlock did not keep
    it there: everything that belongs to its uid in the folders that all may write to.
    """
    uid = _own_uid(pid)
    for shared in confinement.shared_folders:
        try:
            names = os.listdir(shared)
        except OSError:
            continue  # gone
        for name in names:
            path = f"{shared}/{name}"
            with contextlib.suppress(FileNotFoundError):
                entry = os.lstat(path)
                if entry.st_uid != uid:
                    continue
                if stat.S_ISDIR(entry.st_mode):
                    artifacts.remove(path)
                else:
                    os.unlink(path)


def use_memory_reserve() -> None:
    """Lets the harness report on code that has used up its memory."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _clean_environment(folder: str) -> None:
    os.environ.clear()
    os.environ.update(
        PATH="/usr/local/bin:/usr/bin:/bin",
        HOME=folder,
        USER="sandbox",
        LOGNAME="sandbox",
        LANG="C.UTF-8",
        TMPDIR=f"{folder}/.tmp",
        MPLBACKEND="Agg",
        MPLCONFIGDIR=f"{folder}/.tmp",
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        JOBLIB_MULTIPROCESSING="0",  # there is one process: joblib need not find out and warn
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONUTF8="1",
    )
    sys.dont_write_bytecode = True


def _limit_resources(memory_bytes: int, tasks: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, present + memory_bytes, present + memory_bytes + RESERVE_BYTES)
    _limit(resource.RLIMIT_NPROC, tasks, tasks)
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES, FILE_BYTES + LARGEST_INPUT)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0, 0)


def _limit(kind: int, soft: int, hard: int) -> None:
    """Sets a limit; one that this process is under already stays where it is lower."""
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


def _own_uid(pid: int) -> int:
    """A uid of process `pid` alone, derived from that; inside what the user namespace maps."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        first, _, count = map(int, file.readline().split())
    last = first + count - 1
    if last >= _FIRST_UID + 2**22:
        return _FIRST_UID + pid
    return last - pid % max(count // 2, 1)


def _why_no_own_uid() -> str:
    """Empty if this process may give its children a uid of their own."""
    if os.geteuid() != 0:
        return f"the supervisor is not root (uid {os.geteuid()})"
    missing = [
        name for name, capability in _CAPABILITIES_FOR_OWN_UID.items() if not linux.has_capability(capability)
    ]
    if missing:
        return f"the supervisor lacks {', '.join(missing)}"
    with open("/proc/self/uid_map", encoding="ascii") as file:
        if int(file.readline().split()[2]) < 2:
            return "the user namespace maps one uid only"
    return ""


def _set_capabilities(capabilities: int) -> None:
    """Keeps these of the capabilities that this process has, for good."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(capabilities, capabilities, 0, 0, 0, 0)  # effective, permitted, inheritable
    linux.check(linux.libc.capset(header, data), "capset")


def _writable_by_all() -> Iterator[str]:
    """Folders in which every user may leave files, the shallow ones first: there are many folders."""
    waiting, seen = deque(["/"]), 0
    while waiting and seen < _MOST_FOLDERS:
        folder = waiting.popleft()
        seen += 1
        try:
            if os.stat(folder).st_mode & stat.S_IWOTH:
                yield folder
            with os.scandir(folder) as entries:
                waiting += [
                    one.path
                    for one in entries
                    if one.is_dir(follow_symlinks=False) and one.path not in _NO_FILES
                ]
        except OSError:
            continue  # gone, or a file system of somebody's own


def _readable_by_all(path: str) -> bool:
    path = os.path.realpath(path)
    return bool(os.stat(path).st_mode & stat.S_IROTH) and _passable_by_all(path)


def _passable_by_all(path: str) -> bool:
    """Whether any user may go through the folder `path` (or to the file) and all folders above it."""
    path = os.path.realpath(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    while os.stat(folder).st_mode & stat.S_IXOTH:
        if folder == "/":
            return True
        folder = os.path.dirname(folder)
    return False
