"""The life of a sandbox.

    learn the settings ─► zygote up, first attempt prepared ─► manifest ─► ready.json
    then for each job:  inputs fetched ─► run (if it lasts: started, output chunks) ─► artifacts ─► result
                        ─► prepare the next attempt

The settings come from its environment, which it wipes, or, where it is a fork of the nursery's template, from
who asked for it (nursery.py).

It ends with exit code 0 on SIGTERM, SIGINT or an exit job, at any point and within a second: everything that
it started is killed and its folders are removed. It ends with 1 when there can be no more jobs: the settings
or the manifest are bad, the manifest or its URLs have expired, or the mailbox cannot be reached for a minute.

An attempt is prepared (forked and confined) ahead of its job, so that the job costs no more than its code.
A prepared attempt or a zygote that has died meanwhile is replaced and the job run once more; had the child
taken it, the result is a sandbox_error: no sandbox runs a code twice, but another one may. One thread looks
for jobs, one uploads in order, a few fetch inputs, this one does the rest.
"""

import contextlib
import io
import itertools
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import NoReturn

from sandbox import artifacts, linux, processes, result, zygote_process
from sandbox.artifacts import Harvest, upload_name
from sandbox.attempt import Attempt, Ending
from sandbox.disk import Disk, can_mount
from sandbox.inputs import InputError, Inputs, Original
from sandbox.jobs import BadJob, Job
from sandbox.log import log
from sandbox.mailbox import MailboxError, MailboxLost, Uploads, fetch_manifest
from sandbox.result import Result
from sandbox.settings import BadSetting, Settings
from sandbox.source import CODE_FILE
from sandbox.watcher import Watcher
from sandbox.zygote_process import Newborn, ZygoteLost, ZygoteProcess

POLICIES = frozenset({"strict", "standard"})
INSIST_SECONDS = 0.05
TELL_STARTED_AFTER = 0.25  # seconds
NO_POLICY = "none"  # accepted only where the settings switch the policy check off


def main() -> int:
    """Serves the mailbox that the environment names; returns an exit code unless a signal ends it first."""
    started_at = time.monotonic()
    linux.name_process("sandbox")
    disk = Disk(can_mount())
    linux.hide_memory()
    linux.adopt_orphans()
    try:
        settings = Settings.take_from_environment()
    except BadSetting as error:
        log("error", str(error))
        return 1
    if settings.exit_with_parent:
        linux.die_with_parent(signal.SIGTERM)
    return serve(settings, disk, None, started_at)


def serve(settings: Settings, disk: Disk, zygote: Newborn | None, started_at: float) -> int:
    """Serves the mailbox of the settings, with this zygote first, if there is one already."""
    if not settings.manifest_url:
        log("error", "MANIFEST_URL is missing")
        return 1
    _Supervisor(settings, disk, zygote, _make_base(settings)).serve(started_at)


class _Supervisor:
    """Serves one mailbox until it is told to end. `base` is its own folder, gone when it ends."""

    def __init__(self, settings: Settings, disk: Disk, newborn: Newborn | None, base: str) -> None:
        self._newborn = newborn
        self._settings = settings
        self._disk = disk
        self._base = base
        self._inputs = Inputs(settings.store_dir or base)
        self._numbers = itertools.count(1)
        self._zygote: ZygoteProcess | None = None
        self._prepared: Attempt | None = None
        self._used: list[Attempt] = []
        self._is_ending = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end)
        threading.Thread(target=self._insist_on_signal, args=[read_end], daemon=True).start()

    def serve(self, started_at: float) -> NoReturn:
        """Lives the life above."""
        try:
            self._serve_mailbox(started_at)
        except (MailboxError, MailboxLost, ZygoteLost) as error:
            log("error", f"the sandbox ends: {error}")
            self._end(1)

    def _serve_mailbox(self, started_at: float) -> NoReturn:
        attempt = self._prepare()  # it confines itself meanwhile
        manifest = fetch_manifest(self._settings.manifest_url)
        self._uploads = Uploads(manifest)
        self._upload_thread = ThreadPoolExecutor(max_workers=1)
        isolation, refused = attempt.isolation()
        ready = {
            "sandbox_id": manifest.sandbox_id,
            "isolation": {**isolation, "disk": self._disk.layer},
            "python": attempt.abilities.python,
            "packages": attempt.abilities.packages,
            "started_in": round(time.monotonic() - started_at, 3),
        }
        self._upload_thread.submit(self._uploads.put_json, "ready.json", ready).result()
        log("error" if refused else "info", refused or "ready", isolation=isolation)

        policies = POLICIES if self._settings.policy_check else POLICIES | {NO_POLICY}
        watcher = Watcher(manifest, policies, on_wake=self._inputs.fetch)
        while True:
            job = watcher.next()
            if isinstance(job, BadJob):
                self._hand_in(result.sandbox_error(str(job.job_id), str(job))).result()
            else:
                self._handle(job)

    def _handle(self, job: Job) -> None:
        log("info", "job started", job_id=job.job_id)
        ended = self._run(job)
        handed_in = self._hand_in(ended)
        self._clean_up()
        with contextlib.suppress(ZygoteLost):  # then the next job starts a new one
            self._prepare()
        handed_in.result()
        log("info", "job finished", job_id=job.job_id, error_category=ended["error_category"])

    def _run(self, job: Job) -> Result:
        """The result of a job, its artifacts already in the mailbox."""
        try:
            originals = self._inputs.originals(job.inputs)
        except InputError as error:
            return result.sandbox_error(job.job_id, f"an input could not be fetched: {error}")
        lost = result.sandbox_error(job.job_id, "the sandbox's processes died before they took the job")
        with self._telling_if_it_lasts(job):
            return self._try(job, originals) or self._try(job, originals) or lost

    @contextlib.contextmanager
    def _telling_if_it_lasts(self, job: Job) -> Iterator[None]:
        """Tells that the job has begun, unless it ends so soon that its result tells all."""
        begun = (f"started/{job.job_id}.json", {"job_id": job.job_id})
        timer = threading.Timer(TELL_STARTED_AFTER, self._tell_live, begun)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _try(self, job: Job, originals: list[Original]) -> Result | None:
        """Runs a job; None if the attempt died before it took the job."""
        try:
            attempt = self._prepare()
        except ZygoteLost as error:
            self._lose_zygote(error)
            return None
        self._prepared = None
        self._used.append(attempt)
        try:
            attempt.give(originals)
        except ZygoteLost as error:
            self._lose_zygote(error)
            return None
        except OSError as error:
            told = f"an input could not be put into the working folder: {error.strerror}"
            return result.sandbox_error(job.job_id, told)
        try:
            ending = attempt.run(job, self._chunk_uploader(job))
            if ending.refused is not None:
                return result.sandbox_error(job.job_id, ending.hide(ending.refused))
            if not ending.taken and ending.stopped is None:
                return None
            if not ending.begun and ending.trace:
                log(
                    "error",
                    "a child failed before the code began",
                    trace=ending.trace.decode("utf-8", "replace"),
                )
            return self._collect(job, originals, attempt, ending)
        except ZygoteLost as error:
            self._lose_zygote(error)
            if not attempt.is_taken:
                return None
            return result.sandbox_error(job.job_id, str(error), attempt.seconds_running())
        except (
            Exception
        ) as error:  # the last net below all that reads what a child left: none may end the rest
            frames = "".join(traceback.format_tb(error.__traceback__))
            log("error", "what an attempt left cannot be read", type=type(error).__name__, trace=frames)
            self._lose_zygote(ZygoteLost("it may still run what cannot be read"))
            told = "what the program left could not be read"
            return result.sandbox_error(job.job_id, told, attempt.seconds_running())

    def _clean_up(self) -> None:
        """Removes what attempts that are over have left."""
        while self._used:
            attempt = self._used.pop()
            attempt.close()
            self._disk.remove(attempt.folder)

    def _prepare(self) -> Attempt:
        """The attempt that waits for a job; starts what is missing for it. Raises ZygoteLost."""
        if self._zygote is None:
            newborn = self._newborn or zygote_process.start(self._base, libraries=True)
            self._newborn = None
            self._zygote = ZygoteProcess(newborn, self._settings, self._base)
        if self._prepared is None:
            self._prepared = Attempt(self._zygote, self._disk, f"{self._base}/{next(self._numbers)}")
        return self._prepared

    def _lose_zygote(self, error: ZygoteLost) -> None:
        log("error", str(error))
        if self._zygote is not None:
            self._zygote.end()
        self._zygote = None

    def _collect(self, job: Job, originals: list[Original], attempt: Attempt, ending: Ending) -> Result:
        """Uploads what the code left, then words the result."""
        code = io.BytesIO(job.code.encode("utf-8", "surrogatepass"))
        artifacts.leave_out(attempt.folder, CODE_FILE, code)
        for original in originals:
            artifacts.leave_out(attempt.folder, original.name, original.file)
        found = artifacts.collect(attempt.folder)
        handed_over = Harvest(skipped=found.skipped)
        for artifact in found.artifacts:
            name = f"artifacts/{job.job_id}/{upload_name(artifact.name)}"
            try:
                upload = self._upload_thread.submit(
                    self._uploads.put, name, artifact.data, artifact.content_type
                )
                upload.result()
                handed_over.artifacts.append(artifact)
            except MailboxError as error:
                handed_over.skip(artifact.name, str(error))
        return result.build(job, ending, handed_over, self._settings.memory_bytes)

    def _hand_in(self, ended: Result) -> "Future[None]":
        return self._upload_thread.submit(self._uploads.put_json, f"results/{ended['job_id']}.json", ended)

    def _chunk_uploader(self, job: Job) -> Callable[[str], None]:
        numbers = itertools.count(1)

        def upload(text: str) -> None:
            number = next(numbers)
            chunk = {"job_id": job.job_id, "chunk": number, "text": text}
            self._tell_live(f"output/{job.job_id}/{number}.json", chunk)

        return upload

    def _tell_live(self, name: str, document: dict[str, object]) -> None:
        """Uploads what is only of use while the code runs: without waiting, without trying again."""

        def upload() -> None:
            try:
                self._uploads.put_json(name, document, tries_for=0)
            except MailboxError as error:
                log("warning", str(error), name=name)

        self._upload_thread.submit(upload)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_ending:
            self._is_ending = True
            log("info", "told to end")
            self._end(0)

    def _insist_on_signal(self, told: int) -> None:
        """Python sees a signal that comes just as the main thread falls asleep only when that wakes up."""
        os.read(told, 1)
        main_thread = threading.main_thread().ident
        while main_thread is not None:
            time.sleep(INSIST_SECONDS)
            signal.pthread_kill(main_thread, signal.SIGTERM)

    def _end(self, exit_code: int) -> NoReturn:
        processes.end_children()
        self._disk.remove_all(self._base)
        os._exit(exit_code)  # threads may still wait for the network


def isolation_in_force() -> dict[str, str]:
    """Confines a process as an attempt would be: each layer's state. Raises BadSetting, ZygoteLost."""
    disk = Disk(can_mount())
    linux.adopt_orphans()
    settings = Settings.take_from_environment()
    base = _make_base(settings)
    try:
        zygote = ZygoteProcess(zygote_process.start(base, libraries=False), settings, base)
        isolation, _ = Attempt(zygote, disk, f"{base}/1").isolation()
        zygote.end()
        return {**isolation, "disk": disk.layer}
    finally:
        disk.remove_all(base)


def _make_base(settings: Settings) -> str:
    """A new folder for the working folders, which their owners can go through but not list."""
    if settings.work_dir is not None:
        os.makedirs(settings.work_dir, exist_ok=True)
    base = os.path.realpath(tempfile.mkdtemp(prefix="sandbox-", dir=settings.work_dir))
    os.chmod(base, 0o711)
    return base
