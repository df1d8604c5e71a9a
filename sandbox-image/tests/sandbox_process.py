"""A real sandbox with a mailbox of its own, for tests.

With SANDBOX_LAUNCHER=nursery in the environment each is a fork of a template instead of a process that is
started.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from mailbox_server import Mailbox
from nursery_process import Nursery, NurserySandbox
from sandbox import landlock
from sandbox.artifacts import upload_name
from sandbox.disk import LARGEST_FOLDER

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
NOBODY_NEEDS = "needs root, a Python that every user can read, and Landlock"
OF_NURSERY = os.environ.get("SANDBOX_LAUNCHER", "process") == "nursery"
_PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'sandbox'])"


_nursery: list[Nursery] = []  # of the sandboxes that ask for nothing special, once it is needed


class SandboxProcess:
    """A sandbox as the runtime starts it; the policy check is off unless `policy_check`.

    `through_parent` starts it by a process in between, which then is `process`; never of the nursery.
    `nursery` has it be a fork of that one.
    `without` names what the machine is to lack, see `without.py`.
    `as_nobody` (only for root) runs it without privileges, with a Python that every user can read, as
    `for_all` does for root.
    """

    def __init__(
        self,
        *,
        as_nobody: bool = False,
        for_all: bool = False,
        policy_check: bool = False,
        through_parent: bool = False,
        nursery: Nursery | None = None,
        without: tuple[str, ...] = (),
        expires_in: float = 3600,
        **environment: str,
    ) -> None:
        self.mailbox = Mailbox(expires_in)
        self.work_dir = tempfile.mkdtemp(
            prefix="sandbox-test-", dir=_memory() if "mounts" in without else None
        )
        os.chmod(self.work_dir, 0o711)
        self._numbers = itertools.count(1)
        source, python = ROOT, sys.executable
        if as_nobody or for_all:
            source, python = _copy_for_all(Path(self.work_dir)), python_for_all()
        if as_nobody:
            os.mkdir(f"{self.work_dir}/work", 0o700)
            os.chown(f"{self.work_dir}/work", NOBODY, NOBODY)
        program = ["-c", _PARENT] if through_parent else ["-m", "sandbox"]
        if without:
            shutil.copy(Path(__file__).parent / "without.py", self.work_dir)
            program = [f"{self.work_dir}/without.py", ",".join(without), *program]
        variables = {
            "MANIFEST_URL": self.mailbox.manifest_url,
            "SANDBOX_WORK_DIR": f"{self.work_dir}/work" if as_nobody else self.work_dir,
            "SANDBOX_POLICY_CHECK": "on" if policy_check else "off",
            "SANDBOX_MEMORY_MB": "256",
            "SANDBOX_STORE_DIR": "" if as_nobody else os.environ.get("SANDBOX_STORE_DIR", ""),
            **environment,
        }
        python_path = variables.pop("PYTHONPATH", None)
        options: dict[str, Any] = {
            "cwd": source,
            "env": {
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "LANG": "C.UTF-8",
                **({} if python_path is None else {"PYTHONPATH": python_path}),
            },
            "user": NOBODY if as_nobody else None,
            "group": NOBODY if as_nobody else None,
            "extra_groups": [] if as_nobody else None,
        }
        self.process: subprocess.Popen[bytes] | NurserySandbox
        self._own_nursery: Nursery | None = None
        if nursery is not None:
            self.process = nursery.launch(variables)
            return
        if not OF_NURSERY or through_parent:
            options["env"] |= variables
            self.process = subprocess.Popen(
                [python, *program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
            )
            return
        if as_nobody or for_all or without or python_path is not None:
            self._own_nursery = nursery = Nursery([python, *program], **options)
        else:
            if not _nursery:
                _nursery.append(Nursery([python, *program], **options))
            nursery = _nursery[0]
        self.process = nursery.launch(variables)

    def ready(self) -> dict[str, Any]:
        """What the sandbox tells of itself when it is up."""
        document: dict[str, Any] = json.loads(self.mailbox.wait_for("ready.json"))
        return document

    def submit(self, code: str, **job: Any) -> str:
        """Puts a job into the mailbox and returns its id."""
        job_id = job.get("job_id", f"job-{next(self._numbers)}")
        defaults = {
            "job_id": job_id,
            "code": textwrap.dedent(code),
            "tests": None,
            "timeout": 5,
            "policy": "none",
        }
        self.mailbox.put_job({**defaults, **job})
        return job_id

    def result_of(self, job_id: str) -> dict[str, Any]:
        """The result of a job; waits for it."""
        result: dict[str, Any] = json.loads(self.mailbox.wait_for(f"results/{job_id}.json"))
        return result

    def run(self, code: str, **job: Any) -> dict[str, Any]:
        """Runs code and returns its result."""
        return self.result_of(self.submit(code, **job))

    def artifact(self, result: dict[str, Any], name: str) -> bytes:
        """The content of an uploaded artifact."""
        return self.mailbox.wait_for(f"artifacts/{result['job_id']}/{upload_name(name)}")

    def zygote_pid(self) -> int:
        """The supervisor's one child."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def kill_zygote(self) -> None:
        """Returns when all that was forked from it is gone too, so that no job reaches it any more."""
        zygote = self.zygote_pid()
        with open(f"/proc/{zygote}/task/{zygote}/children", encoding="ascii") as file:
            family = [zygote, *map(int, file.read().split())]
        os.kill(zygote, signal.SIGKILL)
        end = time.monotonic() + 10
        while any(map(is_alive, family)) and time.monotonic() < end:
            time.sleep(0.005)

    def close(self) -> list[dict[str, Any]]:
        """Ends it and returns what it logged; nothing if it was closed before."""
        if not os.path.exists(self.work_dir):
            return []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        output = self.process.communicate(timeout=10)[0]
        if self._own_nursery is not None:
            self._own_nursery.end()
        shutil.rmtree(self.work_dir)
        self.mailbox.close()
        return [json.loads(line) for line in output.splitlines()]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def can_be_nobody() -> bool:
    """Whether tests can also be run without privileges: as root, with a Python that every user can read."""
    return os.geteuid() == 0 and python_for_all() is not None


def nobody_runs_code() -> bool:
    """Whether a sandbox without privileges also runs what it is given: not without Landlock."""
    return can_be_nobody() and landlock.version() > 0


def python_for_all() -> str | None:
    """A Python 3.11 or newer that nobody can run."""
    candidates = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    check = "import sys, ctypes; sys.exit(sys.version_info < (3, 11))"
    for python in candidates:
        with contextlib.suppress(OSError):
            if not subprocess.run(
                [python, "-c", check], user=NOBODY, group=NOBODY, stderr=subprocess.DEVNULL
            ).returncode:
                return python
    return None


def _memory() -> str | None:
    """Where the program mounts no tmpfs it is to have one all the same, with room for what an attempt may
    write and more: a disk is slow to be cleaned.
    """
    with contextlib.suppress(OSError):
        shared = os.statvfs("/dev/shm")
        if os.access("/dev/shm", os.W_OK) and shared.f_bavail * shared.f_frsize > 2 * LARGEST_FOLDER:
            return "/dev/shm"
    return None


def _copy_for_all(folder: Path) -> Path:
    """A copy of the program that every user can read, wherever the original is."""
    target = folder / "program"
    for package in ("sandbox", "policy"):
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target
