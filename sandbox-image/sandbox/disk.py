"""How much an attempt may write, held by what its code cannot walk around.

Where the supervisor may mount (root with CAP_SYS_ADMIN, or a user who may have a user namespace), each
working folder is a small tmpfs of its own: the kernel counts every block and every inode in it, hidden or
deleted ones too, and all of it is gone with the mount. The mounts are the supervisor's alone: no other
process of the machine sees them, and they end with it. What is written there takes the machine's memory,
beside an attempt's own limit.

Elsewhere (Fargate gives no such right) two counters watch the folder: what a walk through it finds, and
how much the file system has grown since the attempt began. A file system as small as Fargate's /tmp has
no other writer, so its growth is the attempt's; on a larger one others may write as well, and only a
growth that is far above the limit, and that no walk explains, is held against the attempt.

The files that a program is given have room of their own: the limits are for what it writes.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox import artifacts, linux, processes
from sandbox.log import log

LARGEST_FOLDER = 256 * 1024 * 1024  # bytes
MOST_ENTRIES = 10_000
LARGEST_UNEXPLAINED = (
    4  # times as much may a shared file system grow before an attempt is held to have done it
)
WALK_SECONDS = 0.25  # between walks through a folder

_TMPFS_BYTES = LARGEST_FOLDER + 64 * 1024 * 1024  # room to be seen above the limit, and told so
_TMPFS_INODES = MOST_ENTRIES + 2_000
_BLOCK = 4096  # bytes
_CAP_SYS_ADMIN = 21


class Disk:
    """Makes and removes working folders. `layer` tells how they are bounded."""

    def __init__(self, take_mounts: bool) -> None:
        """Takes mounts of its own where `can_mount` says so: while the process has one thread."""
        self._mounts = take_mounts and _take_mounts()
        megabytes = LARGEST_FOLDER // 2**20
        self.layer = (
            f"on (a file system of its own for {megabytes} MB)"
            if self._mounts
            else f"counted ({megabytes} MB): this machine lets the supervisor mount nothing"
        )

    def make(self, folder: str) -> None:
        """Makes a working folder, which only its owner can enter; raises OSError."""
        os.mkdir(folder, 0o700)
        if self._mounts:
            _mount(folder, 0, _TMPFS_BYTES)

    def make_room(self, folder: str, sizes: Sequence[int]) -> None:
        """Lets a working folder hold files of these sizes beside what is written; raises OSError."""
        if self._mounts:
            _mount(folder, linux.MS_REMOUNT, _TMPFS_BYTES + _blocks(sizes))

    def watch(self, folder: str, sizes: Sequence[int]) -> "Usage":
        """Begins to count what is written in a working folder, which holds files of these sizes."""
        return Usage(folder, self._mounts, sizes)

    def remove(self, folder: str) -> None:
        """Removes a working folder and all that is in it; what cannot be removed is logged."""
        try:
            if self._mounts:
                with contextlib.suppress(OSError):  # it was never mounted
                    linux.unmount(folder)
            artifacts.remove(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            log("error", "a working folder cannot be removed", error=os.strerror(error.errno or 0))

    def remove_all(self, base: str) -> None:
        """Removes the folder that holds the working folders, and them."""
        with contextlib.suppress(OSError):
            for name in os.listdir(base):
                self.remove(f"{base}/{name}")
        self.remove(base)


class Usage:
    """Counts what an attempt writes; safe while its code runs. What it was given does not count."""

    def __init__(self, folder: str, is_own: bool, sizes: Sequence[int] = ()) -> None:
        self._folder = folder
        self._most_to_find = LARGEST_FOLDER + _blocks(sizes), MOST_ENTRIES + len(sizes)
        self._next_walk = 0.0
        self._before = _used(folder)
        # The file system is the attempt's alone, or as good as that: all its growth is counted.
        self._is_exact = is_own or self._before.capacity <= 4 * LARGEST_FOLDER
        self._walks = not is_own

    def is_too_large(self) -> bool:
        """Whether the attempt has written more than it may."""
        now = _used(self._folder)
        size, entries = now.size - self._before.size, now.entries - self._before.entries
        share = 1 if self._is_exact else LARGEST_UNEXPLAINED
        if size > share * LARGEST_FOLDER or entries > share * MOST_ENTRIES:
            return True
        return self._walks and self._walk(has_grown=size > LARGEST_FOLDER or entries > MOST_ENTRIES)

    def _walk(self, *, has_grown: bool) -> bool:
        begun = time.monotonic()
        if begun < self._next_walk and not has_grown:
            return False
        found = artifacts.is_too_large(self._folder, *self._most_to_find)
        # However much there is to walk through, most of the time is left for the rest.
        self._next_walk = begun + max(WALK_SECONDS, 5 * (time.monotonic() - begun))
        return found


def _mount(folder: str, flags: int, size: int) -> None:
    options = f"size={size},nr_inodes={_TMPFS_INODES},mode=0700"
    linux.mount("tmpfs", folder, "tmpfs", flags | linux.MS_NOSUID | linux.MS_NODEV, options)


def _blocks(sizes: Sequence[int]) -> int:
    """Bytes that files of these sizes take."""
    return sum(-size // _BLOCK * -_BLOCK for size in sizes)


@dataclass(frozen=True)
class _Used:
    """What a file system holds. `capacity` and `size` in bytes."""

    capacity: int
    size: int
    entries: int


def _used(folder: str) -> _Used:
    """Of the file system of a folder; nothing of one that is not there (any more)."""
    try:
        seen = os.statvfs(folder)
    except OSError:
        return _Used(0, 0, 0)
    return _Used(
        seen.f_blocks * seen.f_frsize,
        (seen.f_blocks - seen.f_bfree) * seen.f_frsize,
        seen.f_files - seen.f_ffree,
    )


def can_mount() -> bool:
    """Whether a process like this one can have mounts of its own.

    Tries it in a process that ends with the try: half of it cannot be taken back.
    """
    pid = processes.fork()
    if pid == 0:
        try:
            if _take_mounts():
                linux.mount("tmpfs", "/", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=4k")
                os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _take_mounts() -> bool:
    """Gives this process mounts that are its own; False where it may not."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        if linux.has_capability(_CAP_SYS_ADMIN):
            linux.unshare(linux.CLONE_NEWNS)
        elif uid == 0:  # in a namespace of its own it could give attempts no uid of theirs
            return False
        else:
            linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
            for name, content in (
                ("setgroups", "deny"),
                ("uid_map", f"{uid} {uid} 1"),
                ("gid_map", f"{gid} {gid} 1"),
            ):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                    file.write(content)
        linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE, "")
    except OSError:
        return False
    return True
