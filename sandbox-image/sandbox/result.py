"""Turns what is known of an attempt into its result: tells time-out, memory, killed and exception apart.

A child's report is untrusted input: each field is checked and bounded before it goes into the result.
"""

import math
import os
import re
import signal
from collections.abc import Callable
from typing import Any

from sandbox import failure
from sandbox.artifacts import Harvest
from sandbox.attempt import Ending, Stopped
from sandbox.channel import HARNESS_BROKEN
from sandbox.contract import LIMITS
from sandbox.disk import LARGEST_FOLDER, MOST_ENTRIES
from sandbox.jobs import Job
from sandbox.source import CODE_FILE, lines_of
from sandbox.values import LONGEST_VALUE, MOST_LOCALS

Result = dict[str, Any]

_CATEGORIES = ("syntax_error", "policy_violation", "exception", "test_failure", "memory")
_MOST_VIOLATIONS = LIMITS["violations"]
_LONGEST_POLICY_ERROR = 1_500
_TRACE_FRAME = re.compile(rb'^  File "main\.py", line (\d{1,9}) in (.{1,1000})$', re.MULTILINE)


def build(job: Job, ending: Ending, harvest: Harvest, memory_bytes: int) -> Result:
    """The result document of an attempt that has ended."""
    output, truncated = ending.output.text()
    status = ending.status if ending.status is not None else 0
    exit_code = os.waitstatus_to_exitcode(status)
    report = ending.report or {}
    seconds = report.get("execution_time")
    result: Result = {
        **_no_error(),
        "job_id": job.job_id,
        "output": output,
        "output_truncated": truncated,
        "execution_time": seconds if _is_duration(seconds, ending.seconds) else ending.seconds,
        "exit_code": exit_code if exit_code >= 0 else None,
        "signal": _signal_name(-exit_code) if exit_code < 0 else None,
        "artifacts": [
            {"name": one.name, "size": len(one.data), "content_type": one.content_type}
            for one in harvest.artifacts
        ],
        "artifacts_skipped": harvest.skipped,
        "peak_memory_bytes": ending.peak_bytes,
    }
    result |= _verdict(job, ending, exit_code, memory_bytes)
    result["success"] = result["error_category"] is None
    return result


def sandbox_error(job_id: str, reason: str, seconds: float = 0.0) -> Result:
    """The result of a job that could not be run to its end; its code ran for so many seconds, if at all."""
    return {
        **_no_error(),
        "job_id": job_id,
        "success": False,
        "error_category": "sandbox_error",
        "error": f"SandboxError: {reason}"[: failure.LONGEST_ERROR],
        "output": "",
        "output_truncated": False,
        "execution_time": seconds,
        "exit_code": None,
        "signal": None,
        "artifacts": [],
        "artifacts_skipped": [],
        "peak_memory_bytes": None,
    }


def _no_error() -> Result:
    return {
        "error_category": None,
        "error": None,
        "error_line": None,
        "traceback": None,
        "locals": {},
        "violations": [],
        "standard_permits": False,
    }


def _verdict(job: Job, ending: Ending, exit_code: int, memory_bytes: int) -> Result:
    if ending.stopped is Stopped.TIMEOUT and not ending.begun:
        return _ended("timeout", "Timeout: Python needs too long to read the program", job, ending)
    if ending.stopped is Stopped.TIMEOUT:
        return _ended("timeout", f"Timeout: the program ran longer than {job.timeout:g} s", job, ending)
    if ending.stopped is Stopped.FOLDER:
        limit = LARGEST_FOLDER // 2**20
        told = f"OSError: the program wrote more than {limit} MB or {MOST_ENTRIES:,} files"
        return _ended("exception", told, job, ending)
    if ending.stopped is Stopped.FORGERY:
        return _ended("exception", "Killed: the program used the sandbox's own channel", job, ending)
    if exit_code < 0:
        return _killed(job, ending, -exit_code, memory_bytes)
    if ending.report is not None and ending.report.get("error_category") in _CATEGORIES:
        return _reported(job, ending.report, ending.hide, memory_bytes)
    if not ending.begun:
        told = "SandboxError: the process ended before it ran the code"
        return {"error_category": "sandbox_error", "error": told}
    if exit_code == HARNESS_BROKEN:
        told = (
            "Killed: the program broke what runs it: it closed its descriptors or changed Python's own parts"
        )
        return _ended("exception", told, job, ending)
    if exit_code != 0:
        return _ended("exception", f"SystemExit: {exit_code}", job, ending)
    if job.tests is not None and not ending.tests_passed:
        return {"error_category": "test_failure", "error": "the program ended before the tests were run"}
    return {}


def _ended(category: str, error: str, job: Job, ending: Ending) -> Result:
    """An end that the child could not report; its trace tells where it was, if it wrote one."""
    frames = [
        (int(line), name.decode("utf-8", "replace")) for line, name in _TRACE_FRAME.findall(ending.trace)
    ]
    if not frames:
        return {"error_category": category, "error": error}
    source = lines_of(job.code)
    told = ["Traceback (most recent call last):"]
    for line, name in reversed(frames):
        told.append(f'  File "{CODE_FILE}", line {line}, in {name}')
        if 0 < line <= len(source):
            told.append(f"    {source[line - 1].strip()}")
    told.append(error)
    return {
        "error_category": category,
        "error": error,
        "error_line": _line(frames[0][0], job),
        "traceback": failure.cut_middle("\n".join(told) + "\n", failure.LONGEST_TRACEBACK),
    }


def _killed(job: Job, ending: Ending, number: int, memory_bytes: int) -> Result:
    """By a signal: where the memory was nearly used up, that is why."""
    if ending.peak_bytes - ending.resident_bytes > 0.8 * memory_bytes:
        return _ended("memory", f"{_memory_error(memory_bytes)} ({_signal_name(number)})", job, ending)
    told = f"Killed by signal {_signal_name(number)}"
    if number == signal.SIGSYS:
        told += " (a system call of another architecture)"
    return _ended("exception", told, job, ending)


def _reported(job: Job, report: dict[str, Any], hide: Callable[[str], str], memory_bytes: int) -> Result:
    """The child's own account, cut to what a result may hold."""
    category = report["error_category"]
    longest = _LONGEST_POLICY_ERROR if category == "policy_violation" else failure.LONGEST_ERROR
    error = _text(report.get("error"), longest, hide)
    if category == "memory" and error == "MemoryError":
        error = _memory_error(memory_bytes)
    elif category == "memory":
        error = _text(error, longest - 100) + f" (the program has {memory_bytes // 2**20} MB)"
    local_values = report.get("locals")
    return {
        "error_category": category,
        "error": error,
        "error_line": _line(report.get("error_line"), job),
        "traceback": _text(report.get("traceback"), failure.LONGEST_TRACEBACK, hide) or None,
        "locals": {
            _text(name, LONGEST_VALUE, hide): _text(value, LONGEST_VALUE, hide)
            for name, value in list(local_values.items())[:MOST_LOCALS]
            if name
        }
        if isinstance(local_values, dict)
        else {},
        "violations": _violations(report.get("violations"), job),
        "standard_permits": report.get("standard_permits") is True,
    }


def _violations(reported: Any, job: Job) -> list[dict[str, Any]]:
    if not isinstance(reported, list):
        return []
    return [
        {"line": line, "rule": _text(one.get("rule"), 100), "message": _text(one.get("message"), 1_000)}
        for one in reported[:_MOST_VIOLATIONS]
        if isinstance(one, dict) and (line := _line(one.get("line"), job)) is not None
    ]


def _line(value: Any, job: Job) -> int | None:
    """The value if it is the number of a line of the code."""
    return value if type(value) is int and 0 < value <= len(lines_of(job.code)) else None


def _memory_error(memory_bytes: int) -> str:
    return f"MemoryError: the program used more than {memory_bytes // 2**20} MB"


def _text(value: Any, limit: int, hide: Callable[[str], str] = str) -> str:
    text = hide(value) if isinstance(value, str) else ""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _is_duration(value: Any, longest: float) -> bool:
    return isinstance(value, float) and math.isfinite(value) and 0 <= value <= longest


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"{number}"  # a real-time signal has no name
