"""What the mailbox asks for: run this code, look out for a job that comes soon, or exit."""

import re
from dataclasses import dataclass
from typing import Any

from sandbox.contract import LIMITS

LONGEST_CODE = LIMITS["code"]
LONGEST_TESTS = LIMITS["tests"]
LONGEST_TIMEOUT = LIMITS["timeout"]
_JOB_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class BadJob(Exception):
    """The job cannot be run; the message says why. `job_id` is None if it cannot even be answered."""

    def __init__(self, message: str, job_id: str | None) -> None:
        super().__init__(message)
        self.job_id = job_id


@dataclass(frozen=True)
class Job:
    """One attempt to run. `timeout` in seconds."""

    job_id: str
    code: str
    tests: str | None
    timeout: float
    policy: str


@dataclass(frozen=True)
class ExitJob:
    """The execution is over: the sandbox is to end."""

    job_id: str


@dataclass(frozen=True)
class WakeJob:
    """An execution has claimed the sandbox: its first job will come soon."""

    job_id: str


def parse(document: Any, policies: frozenset[str]) -> Job | WakeJob | ExitJob:
    """Checks a job's document; raises BadJob."""
    job_id = document.get("job_id") if isinstance(document, dict) else None
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise BadJob("the job has no valid job_id", None)
    if document.get("exit") is True:
        return ExitJob(job_id)
    if document.get("wake") is True:
        return WakeJob(job_id)
    code, tests, timeout = document.get("code"), document.get("tests"), document.get("timeout")
    if not isinstance(code, str) or len(code) > LONGEST_CODE:
        raise BadJob(f"code must be a text of at most {LONGEST_CODE} characters", job_id)
    if tests is not None and (not isinstance(tests, str) or len(tests) > LONGEST_TESTS):
        raise BadJob(f"tests must be null or a text of at most {LONGEST_TESTS} characters", job_id)
    if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:  # also refuses NaN
        raise BadJob(f"timeout must be a number of seconds up to {LONGEST_TIMEOUT}", job_id)
    if document.get("policy") not in policies:
        raise BadJob(f"policy must be one of: {', '.join(sorted(policies))}", job_id)
    return Job(job_id, code, tests, float(timeout), document["policy"])
