"""Landlock by its system calls: what the file system, the network and other processes are to a child."""

import ctypes
import os
import stat
from collections.abc import Iterable

from sandbox import linux

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15

_READ = _READ_FILE | _READ_DIR
_NEVER = _EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK | _IOCTL_DEV
_ALLOWED_ON_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE

_NETWORK_BIND_AND_CONNECT = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class _RulesetAttributes(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """The kernel's Landlock ABI, 0 if it has none."""
    number: int = linux.libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION)
    )
    return max(number, 0)


def _file_system_accesses(abi: int) -> int:
    count = 13  # the rights of ABI 1
    for since in (2, 3, 5):  # each of these ABIs added one: refer, truncate, ioctl on devices
        count += abi >= since
    return (1 << count) - 1


def restrict(abi: int, read_only: Iterable[str], writable_devices: Iterable[str], folder: str) -> None:
    """Confines the calling thread: needs no_new_privs, cannot be undone; raises OSError.

    `read_only` and `writable_devices` are paths that may be missing; `folder` is the only place to write.
    """
    handled = _file_system_accesses(abi)
    attributes = _RulesetAttributes(
        handled,
        _NETWORK_BIND_AND_CONNECT if abi >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = linux.check(
        linux.libc.syscall(
            ctypes.c_long(_CREATE_RULESET),
            ctypes.byref(attributes),
            ctypes.c_size_t(size),
            ctypes.c_uint32(0),
        ),
        "landlock_create_ruleset",
    )
    try:
        for path in read_only:
            _allow(ruleset, path, _READ)
        for path in writable_devices:
            _allow(ruleset, path, handled & (_READ_FILE | _WRITE_FILE))
        _allow(ruleset, folder, handled & ~_NEVER)
        linux.check(
            linux.libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)),
            "landlock_restrict_self",
        )
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _ALLOWED_ON_FILES
        rule = _PathBeneath(access, fd)
        linux.check(
            linux.libc.syscall(
                ctypes.c_long(_ADD_RULE),
                ctypes.c_int(ruleset),
                ctypes.c_int(_RULE_PATH_BENEATH),
                ctypes.byref(rule),
                ctypes.c_uint32(0),
            ),
            f"landlock_add_rule for {path}",
        )
    finally:
        os.close(fd)
