"""Watches the mailbox for jobs in a thread of its own, so that "exit" is heard while code runs."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence

from sandbox import jobs
from sandbox.jobs import BadJob, ExitJob, Input, Job, WakeJob
from sandbox.log import log
from sandbox.mailbox import LOOK_SECONDS, Jobs, MailboxError, MailboxLost, Manifest

# A look costs money on S3: whoever has waited long may wait a little longer.
PAUSE_SHARE = 0.1  # of the time since the last job
SHORTEST_PAUSE = 0.005
LONGEST_PAUSE = 1.0
CLAIMED_PAUSE = 0.1  # at most, once an execution waits for the result
BUSY_PAUSE = 0.5  # while a job runs only "exit" is looked for
GIVE_UP_AFTER = 60.0


def pause_after(quiet: float, *, busy: bool, claimed: bool) -> float:
    """Seconds until the next look, `quiet` seconds after the last job."""
    if busy:
        return BUSY_PAUSE
    return min(max(quiet * PAUSE_SHARE, SHORTEST_PAUSE), CLAIMED_PAUSE if claimed else LONGEST_PAUSE)


class Watcher:
    """Hands out each new job once. An exit job becomes SIGTERM to this process: one way to end.

    `on_wake` gets the inputs of the jobs that a wake-up announces; it is called in the watcher's thread.
    """

    def __init__(
        self, manifest: Manifest, policies: frozenset[str], on_wake: Callable[[Sequence[Input]], None]
    ) -> None:
        self._on_wake = on_wake
        self._jobs = Jobs(manifest)
        self._expires_at = time.monotonic() + manifest.expires_at - time.time()
        self._policies = policies
        self._found: queue.SimpleQueue[Job | BadJob | MailboxLost] = queue.SimpleQueue()
        self._last_id = ""  # until an execution has claimed the sandbox
        self._quick = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def next(self) -> Job | BadJob:
        """Waits for the next job, looking often at first; raises MailboxLost."""
        self._quick.set()
        found = self._found.get()
        if isinstance(found, MailboxLost):
            raise found
        return found

    def _watch(self) -> None:
        busy, quiet_since, failing_since = False, time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            try:
                document = self._jobs.look()
                failing_since = 0.0
                busy = (document is not None and self._take(document)) or busy
            except MailboxLost as error:
                return self._found.put(error)
            except MailboxError as error:
                if not failing_since:
                    failing_since = now
                    log("warning", f"{error}; trying again")
                if now - failing_since > GIVE_UP_AFTER:
                    return self._found.put(MailboxLost(str(error)))
            if time.monotonic() > self._expires_at:
                return self._found.put(MailboxLost("the manifest has expired"))
            was_held = time.monotonic() - now > LOOK_SECONDS / 2
            claimed = self._last_id != ""
            pause = SHORTEST_PAUSE if was_held else pause_after(now - quiet_since, busy=busy, claimed=claimed)
            if self._quick.wait(pause):
                self._quick.clear()
                busy, quiet_since = False, time.monotonic()

    def _take(self, document: object) -> bool:
        """Whether the document is a job that has not been handed out."""
        found: Job | WakeJob | ExitJob | BadJob
        try:
            found = jobs.parse(document, self._policies)
        except BadJob as error:
            found = error
        if found.job_id is None:
            log("error", str(found))
            return False
        if found.job_id == self._last_id:
            return False
        self._last_id = found.job_id
        if isinstance(found, ExitJob):
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        if isinstance(found, WakeJob):
            self._quick.set()
            self._on_wake(found.inputs)
            return False
        self._quick.clear()  # set while the job was looked for
        self._found.put(found)
        return True
