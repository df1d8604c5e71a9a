"""One attempt, from its fork to its end, as the supervisor sees it; the other side of `harness.py`.

An attempt is prepared before its job is known: the child is forked, confines itself and waits. `give` puts
the inputs of the job into its working folder. `run` hands it the job, takes what it writes, keeps the time,
watches the size of its folder, and returns when nothing of it is left. Whatever comes from the child may be
forged, except that it has tests attested only by a nonce that it does not get before its code has ended.

The time limit runs from the moment the code begins, tests and figures included, and stands still while this
process is stopped. Nothing that a child says moves it, and nothing that is sent to it is waited for.
"""

import contextlib
import fcntl
import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from sandbox import channel, inputs
from sandbox.channel import Message
from sandbox.disk import Disk
from sandbox.hidden import HostPaths
from sandbox.inputs import Original
from sandbox.jobs import Job
from sandbox.output import Output
from sandbox.zygote_process import ROOT, ZygoteLost, ZygoteProcess

START_SECONDS = 10.0  # to confine itself, to check and compile the code
TRACE_SECONDS = 0.25  # to write down where it is before it is killed
TRACE_PAUSE_SECONDS = 0.02  # with nothing more written, the trace is complete
END_SECONDS = 5.0  # between SIGKILL and the end
CHECK_SECONDS = 0.05  # between looks at what was written
STALL_SECONDS = 1.0  # of sleep beyond what was wanted: this process was stopped, or its machine was
CHUNK_SECONDS = 0.5  # between pieces of output handed on
_PIPE_BYTES = 1024 * 1024
_LONGEST_TRACE = 64 * 1024


class Stopped(Enum):
    """Why the supervisor killed an attempt."""

    TIMEOUT = "timeout"
    FOLDER = "folder"
    FORGERY = "forgery"


@dataclass
class Ending:
    """What is known of an attempt when it is over.

    `taken`: the child had its job, `begun`: the code ran. `report` is what the child says of itself,
    `refused` why it ran nothing, `trace` where it was when it crashed or its time was up, `status` as of
    os.wait, `resident_bytes` the memory of an empty attempt.
    """

    output: Output = field(default_factory=Output)
    trace: bytes = b""
    report: Message | None = None
    refused: str | None = None
    taken: bool = False
    begun: bool = False
    tests_passed: bool = False
    stopped: Stopped | None = None
    status: int | None = None
    peak_bytes: int = 0
    resident_bytes: int = 0
    seconds: float = 0.0
    hide: Callable[[str], str] = str


class Attempt:
    """A child of the zygote that waits for its job. `folder` is its working folder, made on `disk`."""

    def __init__(self, zygote: ZygoteProcess, disk: Disk, folder: str) -> None:
        """Orders the fork and does not wait for it; raises ZygoteLost."""
        self.folder = folder
        self._disk = disk
        self.abilities = zygote.abilities
        self._zygote = zygote
        self._hidden = HostPaths(folder, ROOT, zygote.import_path)
        self._ending = Ending(resident_bytes=zygote.abilities.resident_bytes, hide=self._hidden.hide)
        self._isolation: dict[str, str] | None = None
        self._sizes: list[int] = []
        self._gave_tests = False
        self._is_tracing = False
        self._messages = channel.MessageReader()
        self._to_send = bytearray()
        try:
            disk.make(folder)
        except OSError as error:
            raise ZygoteLost(f"no working folder can be made: {error.strerror}") from error
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(START_SECONDS)
        self._output_fd, output = _pipe()
        self._trace_fd, trace = _pipe()
        try:
            zygote.order({"do": "fork", "folder": folder}, [output, theirs.fileno(), trace])
        except ZygoteLost:
            self.close()
            raise
        finally:
            os.close(output)
            os.close(trace)
            theirs.close()

    def isolation(self) -> tuple[dict[str, str], str | None]:
        """Waits until the child has confined itself: each layer's state, and why it may not run (or None)."""
        while self._isolation is None:
            try:
                data = self._channel.recv(65536)
            except TimeoutError as error:
                raise ZygoteLost("the child did not get ready") from error
            if not data:
                raise ZygoteLost("the child died while it confined itself")
            self._take_messages(data)
        return self._isolation, self._ending.refused

    def give(self, originals: Sequence[Original]) -> None:
        """Puts inputs into the working folder; raises OSError, and ZygoteLost if the child has died."""
        if originals:
            self.isolation()  # by now the folder has its owner
            self._sizes = [original.size for original in originals]
            self._disk.make_room(self.folder, self._sizes)
            inputs.put(self.folder, originals)

    def run(self, job: Job, on_output: Callable[[str], None]) -> Ending:
        """Runs the job; `on_output` gets text while it runs. Raises ZygoteLost if the zygote dies."""
        self._job = job
        self._usage = self._disk.watch(self.folder, self._sizes)
        self._nonce = secrets.token_hex(16)
        self._begun_at = time.monotonic()
        self._set_deadline(max(job.timeout, START_SECONDS), self._time_out)
        self._channel.setblocking(False)
        self._send(
            code=job.code,
            policy=job.policy,
            timeout=job.timeout,
            has_tests=job.tests is not None,
            others=self._zygote.count_others(),
            largest_input=max(self._sizes, default=0),
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self._zygote.control, selectors.EVENT_READ, self._hear_zygote)
            selector.register(self._channel, selectors.EVENT_READ, self._serve_channel)
            selector.register(self._output_fd, selectors.EVENT_READ, self._read_output)
            selector.register(self._trace_fd, selectors.EVENT_READ, self._read_trace)
            self._serve(selector, on_output)
        for read in (self._read_channel, self._read_output, self._read_trace):
            while read():
                pass
        self._ending.output.add(self._hidden.flush())
        return self._ending

    @property
    def is_taken(self) -> bool:
        """Whether the child has received its job."""
        return self._ending.taken

    def seconds_running(self) -> float:
        """Since the code began; 0 if it has not."""
        return time.monotonic() - self._begun_at if self._ending.begun else 0.0

    def close(self) -> None:
        """Gives its descriptors back; a child that still waits for a job then ends."""
        os.close(self._output_fd)
        os.close(self._trace_fd)
        self._channel.close()

    def _serve(self, selector: selectors.BaseSelector, on_output: Callable[[str], None]) -> None:
        """Serves the child's descriptors and the clock until nothing of the attempt is left."""
        next_check, next_chunk = self._begun_at + CHECK_SECONDS, self._begun_at + CHUNK_SECONDS
        while self._ending.status is None:
            wake_at = min(self._deadline, next_check, next_chunk)
            if self._channel in selector.get_map():
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._to_send else 0)
                selector.modify(self._channel, wanted, self._serve_channel)
            wake_at = max(wake_at, time.monotonic())
            events = selector.select(wake_at - time.monotonic())
            now = time.monotonic()
            if now - wake_at > STALL_SECONDS:  # the program may have been, too
                self._deadline += now - wake_at
            for key, _ in events:
                if key.data() == b"":
                    selector.unregister(key.fileobj)
            if now >= self._deadline and self._ending.status is None:
                self._at_deadline()
            if now >= next_check:
                next_check = now + CHECK_SECONDS
                if self._ending.stopped is None and self._usage.is_too_large():
                    self._kill(Stopped.FOLDER)
            if now >= next_chunk:
                next_chunk = now + CHUNK_SECONDS
                if chunk := self._ending.output.next_chunk():
                    on_output(chunk)

    def _set_deadline(self, seconds: float, action: Callable[[], None]) -> None:
        self._deadline = time.monotonic() + seconds
        self._at_deadline = action

    def _time_out(self) -> None:
        self._ending.stopped = Stopped.TIMEOUT
        self._zygote.order({"do": "signal"})  # it writes down where it is
        self._is_tracing = True
        self._set_deadline(TRACE_SECONDS, lambda: self._kill(Stopped.TIMEOUT))
        self._trace_until = self._deadline

    def _kill(self, why: Stopped) -> None:
        self._ending.stopped = self._ending.stopped or why
        self._is_tracing = False
        self._zygote.order({"do": "kill"})
        self._set_deadline(END_SECONDS, self._give_up)

    def _give_up(self) -> None:
        raise ZygoteLost(f"the program did not end within {END_SECONDS:g} s of being killed")

    def _hear_zygote(self) -> bytes | None:
        self._ending.status, self._ending.peak_bytes = self._zygote.hear_end()
        self._ending.seconds = time.monotonic() - self._begun_at
        return None

    def _read_output(self) -> bytes | None:
        data = _read(self._output_fd, _PIPE_BYTES)
        self._ending.output.add(self._hidden.feed(data or b""))
        return data

    def _read_trace(self) -> bytes | None:
        data = _read(self._trace_fd, _LONGEST_TRACE)
        if data:
            self._ending.trace = (self._ending.trace + data)[:_LONGEST_TRACE]
            if self._is_tracing:
                self._deadline = min(time.monotonic() + TRACE_PAUSE_SECONDS, self._trace_until)
        return data

    def _serve_channel(self) -> bytes | None:
        self._send_more()
        return self._read_channel()

    def _read_channel(self) -> bytes | None:
        data = _read(self._channel.fileno(), 65536)
        try:
            self._take_messages(data or b"")
        except channel.BrokenMessage:
            self._kill(Stopped.FORGERY)
            return b""
        return data

    def _take_messages(self, data: bytes) -> None:
        for message in self._messages.feed(data):
            event = message.get("event")
            if event == "ready" and self._isolation is None:
                self._isolation, self._ending.refused = message.get("isolation", {}), message.get("refused")
            elif event == "taken":
                self._ending.taken = True
            elif event == "begin" and not self._ending.begun and self._ending.stopped is None:
                self._ending.begun = True
                self._begun_at = time.monotonic()
                self._set_deadline(self._job.timeout, self._time_out)
            elif event == "code_done" and self._job.tests is not None and not self._gave_tests:
                self._gave_tests = True
                self._send(tests=self._job.tests, nonce=self._nonce)
            elif event == "end" and self._ending.report is None:
                self._ending.report = message
                self._ending.tests_passed = message.get("nonce") == self._nonce

    def _send(self, **message: object) -> None:
        self._to_send += channel.pack(message)
        self._send_more()

    def _send_more(self) -> None:
        """Sends what there is room for, without waiting: who does not listen loses its own time."""
        try:
            while self._to_send:
                del self._to_send[: self._channel.send(self._to_send)]
        except BlockingIOError:
            pass
        except ConnectionError:  # it has died: the zygote is about to say so
            self._to_send.clear()


def _pipe() -> tuple[int, int]:
    """Read end, which does not block, and write end of a pipe with room for bursts."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with contextlib.suppress(PermissionError):  # a user's pipes may be limited: then it stays at 64 KiB
        fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read_end, write_end


def _read(fd: int, size: int) -> bytes | None:
    """What there is to read: b"" at the end, None if there is nothing yet."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
