"""The few Linux calls that Python's standard library has no name for."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_REC, MS_PRIVATE = 1 << 1, 1 << 2, 1 << 5, 1 << 14, 1 << 18
_MNT_DETACH = 2


def check(result: int, what: str) -> int:
    """Returns `result` of a C call, or raises OSError with its errno if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, argument: int, pointer: int = 0) -> None:
    """`prctl(option, argument, pointer, 0, 0)`; raises OSError."""
    unsigned = ctypes.c_ulong
    result = libc.prctl(option, unsigned(argument), unsigned(pointer), unsigned(0), unsigned(0))
    check(result, f"prctl({option})")


def hide_memory() -> None:
    """Makes this process unreadable (memory, environment, descriptors) for others of its user."""
    prctl(PR_SET_DUMPABLE, 0)


def show_memory() -> None:
    """Takes `hide_memory` back: what is hidden cannot write to its own files in /proc, either."""
    prctl(PR_SET_DUMPABLE, 1)


def name_process(name: str) -> None:
    """Names this process for lists of processes; at most 15 characters."""
    check(libc.prctl(PR_SET_NAME, name.encode()), "prctl(PR_SET_NAME)")


def adopt_orphans() -> None:
    """Descendants whose parent has died become children of this process instead of init."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> None:
    """Sends this process a signal when its parent dies. A change of user forgets it: call it after one."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def unshare(flags: int) -> None:
    """Leaves namespaces for new ones; raises OSError."""
    check(libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """`mount(2)`; raises OSError."""
    unsigned = ctypes.c_ulong(flags)
    result = libc.mount(source.encode(), os.fsencode(target), kind.encode(), unsigned, options.encode())
    check(result, "mount")


def unmount(target: str) -> None:
    """Takes a mount away, whoever still uses it; raises OSError."""
    check(libc.umount2(os.fsencode(target), _MNT_DETACH), "umount2")


def has_capability(capability: int) -> bool:
    """Whether it is among the effective capabilities of this process."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return bool(effective >> capability & 1)
