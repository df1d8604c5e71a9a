"""What the mailbox asks for: run this code, look out for a job that comes soon, or exit."""

import re
from dataclasses import dataclass, field
from typing import Any

from sandbox.contract import LIMITS

LONGEST_CODE = LIMITS["code"]
LONGEST_TESTS = LIMITS["tests"]
LONGEST_TIMEOUT = LIMITS["timeout"]
MOST_INPUTS = LIMITS["inputs"]
LARGEST_INPUT = LIMITS["inputBytes"]
LARGEST_INPUTS = LIMITS["inputTotalBytes"]
_LONGEST_INPUT_NAME = LIMITS["inputName"]
_LONGEST_INPUT_NAME_BYTES = LIMITS["inputNameBytes"]
_INPUT_NAME = re.compile(r"(?!\.|main\.py\Z)[^\x00-\x1f\x7f-\x9f\ud800-\udfff/\\]+")
_ETAG = re.compile(r"[0-9a-f]{32}")
_URL = re.compile(r"https?://\S+")
_JOB_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class BadJob(Exception):
    """The job cannot be run; the message says why. `job_id` is None if it cannot even be answered."""

    def __init__(self, message: str, job_id: str | None) -> None:
        super().__init__(message)
        self.job_id = job_id


@dataclass(frozen=True)
class Input:
    """A file for the working folder. `size` in bytes, `etag` its MD5 in hex, None if it is not known."""

    name: str
    size: int
    etag: str | None
    url: str = field(repr=False)


@dataclass(frozen=True)
class Job:
    """One attempt to run. `timeout` in seconds."""

    job_id: str
    code: str
    tests: str | None
    timeout: float
    policy: str
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class ExitJob:
    """The execution is over: the sandbox is to end."""

    job_id: str


@dataclass(frozen=True)
class WakeJob:
    """An execution has claimed the sandbox: its first job will come soon, with these inputs."""

    job_id: str
    inputs: tuple[Input, ...] = ()


def parse(document: Any, policies: frozenset[str]) -> Job | WakeJob | ExitJob:
    """Checks a job's document; raises BadJob."""
    job_id = document.get("job_id") if isinstance(document, dict) else None
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise BadJob("the job has no valid job_id", None)
    if document.get("exit") is True:
        return ExitJob(job_id)
    if document.get("wake") is True:
        return WakeJob(job_id, _inputs(document.get("inputs", []), None))
    code, tests, timeout = document.get("code"), document.get("tests"), document.get("timeout")
    if not isinstance(code, str) or len(code) > LONGEST_CODE:
        raise BadJob(f"code must be a text of at most {LONGEST_CODE} characters", job_id)
    if tests is not None and (not isinstance(tests, str) or len(tests) > LONGEST_TESTS):
        raise BadJob(f"tests must be null or a text of at most {LONGEST_TESTS} characters", job_id)
    if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:  # also refuses NaN
        raise BadJob(f"timeout must be a number of seconds up to {LONGEST_TIMEOUT}", job_id)
    if document.get("policy") not in policies:
        raise BadJob(f"policy must be one of: {', '.join(sorted(policies))}", job_id)
    return Job(
        job_id, code, tests, float(timeout), document["policy"], _inputs(document.get("inputs", []), job_id)
    )


def _inputs(documents: Any, job_id: str | None) -> tuple[Input, ...]:
    """Checks the inputs of a job, which need not have any; raises BadJob."""
    if not isinstance(documents, list) or len(documents) > MOST_INPUTS:
        raise BadJob(f"inputs must be a list of at most {MOST_INPUTS} files", job_id)
    inputs = tuple(_input(document, job_id) for document in documents)
    if len({one.name for one in inputs}) < len(inputs):
        raise BadJob("two inputs have the same name", job_id)
    if sum(one.size for one in inputs) > LARGEST_INPUTS:
        raise BadJob(f"inputs must have at most {LARGEST_INPUTS // 2**20} MB in all", job_id)
    return inputs


def _input(document: Any, job_id: str | None) -> Input:
    known = document if isinstance(document, dict) else {}
    name, size, etag, url = (known.get(field, "") for field in ("name", "size", "etag", "url"))
    if not isinstance(name, str) or len(name) > _LONGEST_INPUT_NAME or not _INPUT_NAME.fullmatch(name):
        raise BadJob("an input must have a plain name that is not hidden", job_id)
    if len(name.encode()) > _LONGEST_INPUT_NAME_BYTES:
        raise BadJob(f"the name of an input must have at most {_LONGEST_INPUT_NAME_BYTES} bytes", job_id)
    if type(size) is not int or not 0 <= size <= LARGEST_INPUT:
        raise BadJob(f"an input must have from 0 to {LARGEST_INPUT // 2**20} MB: {name!r}", job_id)
    if etag is not None and not (isinstance(etag, str) and _ETAG.fullmatch(etag)):
        raise BadJob(f"the etag of an input must be null or an MD5 in hex: {name!r}", job_id)
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise BadJob(f"an input must have an http or https URL: {name!r}", job_id)
    return Input(name, size, etag, url)
