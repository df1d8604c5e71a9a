"""The files that a caller gives to an execution: fetched once for each sandbox, copied for each attempt.

What was fetched lies in files that have no name. Only descriptors of this process lead to them, and those no
attempt can have: so none can find, read or change an original, whoever its user is, and the kernel removes
them with the process, however that ends.
"""

import contextlib
import hashlib
import http.client
import os
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import IO

from sandbox import mailbox
from sandbox.jobs import Input

AT_ONCE = 4
LONGEST_SECONDS = 180.0  # that a job waits for its inputs; the workflow gives a run 240 beside its own time
_PIECE = 256 * 1024  # bytes that are received at once
_COPIED_AT_ONCE = 16 * 1024 * 1024  # between two moments at which a signal is heard

_Key = tuple[str, int, str | None]


class InputError(Exception):
    """An input cannot be had; the message says which and why, and holds no URL."""


class _PassingFault(Exception):
    """What may go well when it is tried again."""


@dataclass(frozen=True)
class Original:
    """An input as it was fetched; `size` in bytes."""

    name: str
    size: int
    file: IO[bytes]


class Inputs:
    """The originals of one sandbox. `folder` is where they take their room; for several threads."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE)
        self._lock = threading.Lock()
        self._files: dict[_Key, Future[IO[bytes]]] = {}

    def fetch(self, wanted: Sequence[Input]) -> None:
        """Begins to fetch what is neither there nor on its way, and does not wait."""
        with self._lock:
            for one in wanted:
                known = self._files.get(_key(one))
                if known is None or (known.done() and known.exception() is not None):
                    self._files[_key(one)] = self._threads.submit(_fetch, one, self._folder)

    def originals(self, wanted: Sequence[Input]) -> list[Original]:
        """The inputs of a job; waits for them, and lets go of all others. Raises InputError.

        What failed before is tried again, by the URL of this job. Afterwards nothing is on its way, unless it
        came too slowly: the disk is at rest.
        """
        give_up_at = time.monotonic() + LONGEST_SECONDS
        keys = {_key(one) for one in wanted}
        with self._lock:
            begun = list(self._files.values())
            for key in self._files.keys() - keys:
                unwanted = self._files.pop(key)
                unwanted.cancel()
                unwanted.add_done_callback(_close)
        wait(begun, LONGEST_SECONDS)
        self.fetch(wanted)
        wait([self._files[key] for key in keys], give_up_at - time.monotonic())
        return [Original(one.name, one.size, self._take(one)) for one in wanted]

    def _take(self, one: Input) -> IO[bytes]:
        try:
            return self._files[_key(one)].result(timeout=0)
        except TimeoutError as error:
            told = f"{one.name!r} did not come within {LONGEST_SECONDS:g} s"
            raise InputError(told) from error


def put(folder: str, originals: Sequence[Original]) -> None:
    """Copies inputs into a working folder in which no code has run, as files of its owner; raises OSError."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owner = os.fstat(place)
        for original in originals:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            copy = os.open(original.name, flags, dir_fd=place)
            try:
                _copy(original, copy)
                os.fchmod(copy, 0o644)
                if owner.st_uid != os.geteuid():
                    os.fchown(copy, owner.st_uid, owner.st_gid)
            finally:
                os.close(copy)
    finally:
        os.close(place)


def _key(one: Input) -> _Key:
    return one.name, one.size, one.etag


def _close(done: "Future[IO[bytes]]") -> None:
    if not done.cancelled() and done.exception() is None:
        done.result().close()


def _copy(original: Original, target: int) -> None:
    done = 0
    while done < original.size:
        count = min(_COPIED_AT_ONCE, original.size - done)
        done += os.sendfile(target, original.file.fileno(), done, count)


def _fetch(wanted: Input, folder: str) -> IO[bytes]:
    """The content, in a file without a name; raises InputError."""
    try:
        with contextlib.ExitStack() as unless_complete:
            file = unless_complete.enter_context(tempfile.TemporaryFile(buffering=0, dir=folder))
            _receive_at_last(wanted, file)
            unless_complete.pop_all()
            return file
    except OSError as error:
        raise InputError(f"{wanted.name!r} cannot be kept: {os.strerror(error.errno or 0)}") from error


def _receive_at_last(wanted: Input, file: IO[bytes]) -> None:
    """Tries to receive it for as long as an upload is tried; raises InputError, OSError of the file."""
    give_up_at = time.monotonic() + LONGEST_SECONDS
    patience = mailbox.Patience(mailbox.RETRY_SECONDS)
    while True:
        try:
            return _receive(wanted, file, give_up_at)
        except _PassingFault as fault:
            if not patience.wait():
                raise InputError(f"{wanted.name!r}: {fault}") from fault


def _receive(wanted: Input, file: IO[bytes], give_up_at: float) -> None:
    """Writes what the server has into the file, from its beginning. Raises InputError, OSError of the file,
    and _PassingFault.
    """
    file.seek(0)
    file.truncate()
    size, digest = 0, hashlib.md5(usedforsecurity=False)
    for piece in _ask(wanted):
        size += len(piece)
        if size > wanted.size:
            raise InputError(f"{wanted.name!r} has more than its {wanted.size:,} bytes")
        digest.update(piece)
        written = 0
        while written < len(piece):
            written += file.write(piece[written:])
        if time.monotonic() > give_up_at:
            raise _PassingFault("it comes too slowly")
    if size != wanted.size:
        raise _PassingFault(f"{size:,} of its {wanted.size:,} bytes came")
    if wanted.etag not in (None, digest.hexdigest()):
        raise InputError(f"{wanted.name!r} is not what was given: its content has another hash")


def _ask(wanted: Input) -> Iterator[memoryview]:
    """What the server answers, in pieces that are valid until the next. Raises InputError, _PassingFault.

    A redirection is an answer like any other that is not the file: the URL is what was signed.
    """
    connection = None
    try:
        url = urllib.parse.urlsplit(wanted.url)
        connection = mailbox.connect(url)
        connection.request("GET", mailbox.target(url))
        answer = connection.getresponse()
        if answer.status != 200:
            told = f"its server answered {answer.status}"
            if mailbox.may_pass(answer.status):
                raise _PassingFault(told)
            raise InputError(f"{wanted.name!r}: {told}")
        if answer.length not in (None, wanted.size):
            raise InputError(f"{wanted.name!r} has {answer.length:,} bytes and not {wanted.size:,}")
        buffer = memoryview(bytearray(_PIECE))
        while count := answer.readinto(buffer):
            yield buffer[:count]
    except (OSError, http.client.HTTPException) as error:
        raise _PassingFault(f"its server cannot be reached: {type(error).__name__}") from error
    except ValueError as error:
        raise InputError(f"{wanted.name!r} has no valid URL") from error
    finally:
        if connection is not None:
            connection.close()
