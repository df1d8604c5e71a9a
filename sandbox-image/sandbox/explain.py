"""Puts what the sandbox forbids or lacks into words: an errno alone tells nobody what to do instead."""

import errno
import linecache
import os
import re
import socket
import traceback

from sandbox import confinement
from sandbox.disk import LARGEST_FOLDER, MOST_ENTRIES
from sandbox.packages import explain_missing

NETWORK = "the sandbox has no network"
PROCESSES = "the sandbox runs one process and starts no other programs; threads work"
SIGNALS = "the sandbox lets a program signal itself only"
FILES = "the sandbox lets a program read and write in its working folder only: use a relative path without .."
CALLS = "the sandbox does not allow this system call"
THREADS = f"the sandbox limits memory and the number of threads, which is {confinement.MOST_THREADS}"
INPUT = "the program has no input: put its values into the code"
FILE_SIZE = "the sandbox limits the size of a file"
DISK = f"the sandbox lets a program write {LARGEST_FOLDER // 2**20} MB and {MOST_ENTRIES:,} files in all"
OPEN_FILES = "the sandbox limits the number of open files"

_NO_SUCH_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.EXDEV}
_FORBIDDEN = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAGAIN}
_PROCESS_WORDS = re.compile(r"\b(fork\w*|exec[lv]\w*|(posix_)?spawn\w*|[pP]open|system|Process|Pool)\b")
_SIGNAL_WORDS = re.compile(r"\b(kill\w*|send_signal|pidfd\w*)\b")
_NETWORK_WORDS = re.compile(r"\b(socket|connect|bind|listen)\b")
_PROCESS_MODULES = {"subprocess.py", "pty.py"}
_NETWORK_MODULES = {"socket.py", "ssl.py"}


def explain(error: BaseException) -> str | None:
    """The sandbox's rule that lies behind an error, or None if there seems to be none.

    Looks through causes and contexts as well: libraries wrap what the system said.
    """
    for one in _with_causes(error):
        try:
            reason = _explain_one(one)
        except BaseException:  # what an error says of itself may be the code's own, and raise anything
            continue
        if reason:
            return reason
    return None


def _with_causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 20:
        one = waiting.pop(0)
        if one is not None:
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found


def _explain_one(error: BaseException) -> str | None:
    if isinstance(error, EOFError) and "reading a line" in str(error):
        return INPUT
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return THREADS
    if isinstance(error, socket.gaierror):
        return NETWORK
    if not isinstance(error, OSError):
        return explain_missing(error)
    if error.errno == errno.EFBIG:
        return FILE_SIZE
    if error.errno == errno.ENOSPC:
        return DISK
    if error.errno == errno.EMFILE:
        return OPEN_FILES
    if error.errno not in _FORBIDDEN:
        return FILES if error.errno in _NO_SUCH_FILE and _is_elsewhere(error) else None
    path, line = _where(error)
    module, folder = os.path.basename(path), os.path.basename(os.path.dirname(path))
    if module in _NETWORK_MODULES:
        return NETWORK
    if module in _PROCESS_MODULES or folder == "multiprocessing" or _PROCESS_WORDS.search(line):
        return PROCESSES
    if _SIGNAL_WORDS.search(line):
        return SIGNALS
    if _NETWORK_WORDS.search(line):
        return NETWORK
    return FILES if error.errno == errno.EACCES or _is_elsewhere(error) else CALLS


def _is_elsewhere(error: OSError) -> bool:
    """Whether the error is about an absolute path outside the working folder, or one that leads out of it."""
    names = [os.fsdecode(one) for one in (error.filename, error.filename2) if isinstance(one, str | bytes)]
    try:
        folder = os.getcwd()
    except OSError:  # the code has removed it
        return False
    return any(
        path.startswith(("/", "..")) and path != folder and not path.startswith(f"{folder}/")
        for path in map(os.path.normpath, names)
    )


def _where(error: BaseException) -> tuple[str, str]:
    """File and source line in which the error came up."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return "", ""
    frame, number = frames[-1]
    return frame.f_code.co_filename, linecache.getline(frame.f_code.co_filename, number)
