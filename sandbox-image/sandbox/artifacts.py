"""The working folder as the supervisor sees it: measured while the code runs, then searched for files.

Nothing of an attempt is alive when its files are read, yet the folder may be a trap: every step goes from
an open folder to a name in it, never through a link.
"""

import contextlib
import mimetypes
import os
import re
import secrets
import stat
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from sandbox.contract import LIMITS

MOST_FILES = LIMITS["files"]
MOST_SKIPPED = LIMITS["skipped"]
LARGEST_FILE = LIMITS["fileBytes"]
LARGEST_TOTAL = LIMITS["totalBytes"]
LONGEST_NAME = LIMITS["name"]
_DEEPEST = 20
_MOST_SEEN = 12_000  # entries: an attempt that left more is stopped for it
_DEEPEST_WALK = 200  # folders open at once
_PIECE = 64 * 1024  # bytes that are compared at once

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9_.+-]{1,50}/[A-Za-z0-9_.+-]{1,49}")

Entry = tuple[str, int, os.stat_result]  # name, its open folder, what it is

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Artifact:
    """A file that the code left; `name` is relative to the working folder, with `/`."""

    name: str
    content_type: str
    data: bytes


@dataclass
class Harvest:
    """What was found, and what was left behind with the reason."""

    artifacts: list[Artifact] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    seen: int = 0

    def skip(self, name: str, reason: str) -> None:
        """Notes a file that is not handed on."""
        if len(self.skipped) < MOST_SKIPPED:
            self.skipped.append({"name": _shown(name), "reason": reason})


def leave_out(folder: str, name: str, original: IO[bytes]) -> None:
    """Removes a file that was put into a working folder, if it is still what was put there.

    The content tells: a program that writes through a map of the file's memory may leave its times alone.
    """
    size = original.seek(0, os.SEEK_END)
    for place in _open_any_folder(folder, None):
        try:
            with contextlib.suppress(OSError):
                entry = os.stat(name, dir_fd=place, follow_symlinks=False)
                if not stat.S_ISREG(entry.st_mode) or entry.st_size != size:
                    continue
                with open(os.open(name, _FILE_FLAGS, dir_fd=place), "rb", buffering=0) as file:
                    if _have_same_content(file, original):
                        os.unlink(name, dir_fd=place)
        finally:
            os.close(place)


def collect(folder: str) -> Harvest:
    """Reads the files of a working folder, in the order of their names. Hidden ones are the code's own."""
    harvest = Harvest()
    total = 0
    for name, parent, entry in _walk(folder, harvest):
        reason = _why_not(name, entry)
        if reason is None and len(harvest.artifacts) == MOST_FILES:
            reason = f"more than {MOST_FILES} files"
        if reason is None and total + entry.st_size > LARGEST_TOTAL:
            reason = f"more than {LARGEST_TOTAL // 2**20} MB in all"
        if reason is None:
            data = _read(os.path.basename(name), parent)
            if data is None:
                reason = "it cannot be read"
            else:
                total += len(data)
                harvest.artifacts.append(Artifact(name, _content_type(name), data))
        if reason is not None:
            harvest.skip(name, reason)
    return harvest


def upload_name(name: str) -> str:
    """The end of the key that a file is uploaded to; as in functions/sandbox/contract.ts.

    S3 puts the name of a form's file in the place of `${filename}`; other characters mean something in URLs.
    """
    return re.sub(r"[ -~]", lambda found: urllib.parse.quote(found[0], safe="/!*'()"), name)


def is_too_large(folder: str, largest: int, most_entries: int) -> bool:
    """Whether a walk finds more bytes or entries in a working folder; safe while the code runs."""
    size = entries = 0
    opened = [(fd, os.listdir(fd)) for fd in _open_any_folder(folder, None)]
    try:
        while opened:
            parent, names = opened[-1]
            if not names:
                os.close(parent)
                opened.pop()
                continue
            if entries + len(names) > most_entries:
                return True
            entries += 1
            name = names.pop()
            entry = _stat(name, parent)
            size += entry.st_blocks * 512 if entry is not None else 0
            if size > largest:
                return True
            if entry is not None and stat.S_ISDIR(entry.st_mode) and len(opened) < _DEEPEST_WALK:
                opened += [(fd, os.listdir(fd)) for fd in _open_any_folder(name, parent)]
    finally:
        for fd, _ in opened:
            os.close(fd)
    return False


def _open_any_folder(name: str, parent: int | None) -> list[int]:
    """The opened folder, or nothing if it is gone; its owner is given back what it took from itself."""
    try:
        place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return []
    try:
        if os.fstat(place).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{place}", 0o700)
        return [os.open(".", _FOLDER_FLAGS, dir_fd=place)]
    except OSError:
        return []
    finally:
        os.close(place)


def remove(folder: str) -> None:
    """Removes a working folder however deep it is and whatever its modes: no recursion, no long paths.

    Each subfolder is first moved up into the working folder itself, then emptied there.
    """
    os.chmod(folder, 0o700)
    top = os.open(folder, _FOLDER_FLAGS)
    try:
        token, moved = secrets.token_hex(8), 0
        while names := os.listdir(top):
            for name in names:
                entry = os.stat(name, dir_fd=top, follow_symlinks=False)
                if not stat.S_ISDIR(entry.st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                os.chmod(name, 0o700, dir_fd=top)
                inner = os.open(name, _FOLDER_FLAGS, dir_fd=top)
                try:
                    for child in os.listdir(inner):
                        if stat.S_ISDIR(os.stat(child, dir_fd=inner, follow_symlinks=False).st_mode):
                            os.chmod(child, 0o700, dir_fd=inner)
                            moved += 1
                            free = f".moved-{token}-{moved}"
                            os.rename(child, free, src_dir_fd=inner, dst_dir_fd=top)
                        else:
                            os.unlink(child, dir_fd=inner)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(folder)


def _walk(folder: str, harvest: Harvest) -> Iterator[Entry]:
    """Yields everything that is not a folder and not hidden."""
    for top in _open_any_folder(folder, None):
        try:
            yield from _walk_from(top, "", 0, harvest)
        finally:
            os.close(top)


def _walk_from(parent: int, path: str, depth: int, harvest: Harvest) -> Iterator[Entry]:
    names = sorted(os.listdir(parent))
    harvest.seen += len(names)
    if harvest.seen > _MOST_SEEN:
        harvest.skip(path or ".", f"there are more than {_MOST_SEEN:,} files")
        return
    for own_name in names:
        if own_name.startswith(".") or own_name == "__pycache__":
            continue
        name = f"{path}{own_name}"
        entry = _stat(own_name, parent)
        if entry is None:
            continue
        if not stat.S_ISDIR(entry.st_mode):
            yield name, parent, entry
        elif depth == _DEEPEST:
            harvest.skip(name, f"folders are more than {_DEEPEST} deep")
        else:
            opened = _open_folder(own_name, parent)
            if not opened:
                harvest.skip(name, "it cannot be read")
            for fd in opened:
                try:
                    yield from _walk_from(fd, f"{name}/", depth + 1, harvest)
                finally:
                    os.close(fd)


def _why_not(name: str, entry: os.stat_result) -> str | None:
    if not stat.S_ISREG(entry.st_mode):
        return "not a regular file"
    if entry.st_nlink != 1:
        return "a file with several links"
    if entry.st_size > LARGEST_FILE:
        return f"larger than {LARGEST_FILE // 2**20} MB"
    if len(name) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} characters"
    if not name.isprintable() or "\\" in name:  # what is no UTF-8 comes as surrogates, which do not print
        return "its name has characters that are not allowed"
    return None


def _read(name: str, parent: int) -> bytes | None:
    try:
        fd = os.open(name, _FILE_FLAGS, dir_fd=parent)
    except OSError:
        return None
    with open(fd, "rb") as file:
        return file.read(LARGEST_FILE)


def _have_same_content(one: IO[bytes], other: IO[bytes]) -> bool:
    other.seek(0)
    while True:
        piece = one.read(_PIECE)
        if piece != other.read(_PIECE):
            return False
        if not piece:
            return True


def _stat(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return None  # gone since the listing


def _open_folder(name: str, parent: int) -> list[int]:
    """The opened folder, or nothing if it cannot be opened (any more)."""
    try:
        return [os.open(name, _FOLDER_FLAGS, dir_fd=parent)]
    except OSError:
        return []


def _content_type(name: str) -> str:
    # As a whole a name may be read as a URL with a type of its own (`data:text/x y,1`).
    kind, encoding = mimetypes.guess_type("file" + os.path.splitext(name)[1])
    return kind if kind and not encoding and _CONTENT_TYPE.fullmatch(kind) else "application/octet-stream"


def _shown(name: str) -> str:
    """A name that may hold anything, made fit to be shown."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return escaped if len(escaped) <= LONGEST_NAME else escaped[: LONGEST_NAME - 1] + "…"
