"""Describes an exception that code or tests raised: one line, the line in the code, traceback, locals."""

import errno
import os
import traceback
from collections.abc import Iterator
from typing import Any

from sandbox import confinement
from sandbox.contract import LIMITS
from sandbox.explain import explain
from sandbox.source import CODE_FILE, TESTS_FILE
from sandbox.values import short_locals

LONGEST_ERROR = LIMITS["error"]
LONGEST_TRACEBACK = LIMITS["traceback"]
_MOST_FRAMES = 200


def describe(error: BaseException, category: str, folder: str) -> dict[str, Any]:
    """The fields error_category, error, error_line, traceback and locals of a result.

    `folder` is the working folder: modules that the code wrote there are its own, too.
    """

    def is_of_user(filename: str) -> bool:
        return filename in (CODE_FILE, TESTS_FILE) or os.path.abspath(filename).startswith(f"{folder}/")

    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        confinement.use_memory_reserve()
        category = "memory" if category == "exception" else category
    error_line, failing = None, None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == CODE_FILE:
            error_line = line
        if is_of_user(frame.f_code.co_filename):
            failing = frame
    if category == "syntax_error" and isinstance(error, SyntaxError):
        error_line = error.lineno
    shown = traceback.TracebackException.from_exception(error, limit=-_MOST_FRAMES, compact=True)
    for part in _with_causes(shown):
        frames = [frame for frame in part.stack if is_of_user(frame.filename)]
        part.stack = traceback.StackSummary.from_list(frames)
    return {
        "error_category": category,
        "error": _one_line(shown, error),
        "error_line": error_line,
        "traceback": cut_middle("".join(shown.format()), LONGEST_TRACEBACK),
        "locals": {} if failing is None else short_locals(failing.f_locals),
    }


def cut_middle(text: str, limit: int) -> str:
    """At most `limit` characters: the beginning and the end of a text with a mark between them."""
    if len(text) <= limit:
        return text
    mark = "\n…\n"
    head = (limit - len(mark)) // 2
    return text[:head] + mark + text[len(text) - (limit - len(mark) - head) :]


def _one_line(shown: traceback.TracebackException, error: BaseException) -> str:
    name = "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
    last_lines = list(shown.format_exception_only())[-1 if isinstance(error, SyntaxError) else 0 :]
    said = " ".join("".join(last_lines).split())
    text = f"{name}:{said.partition(':')[2]}" if ":" in said else name
    reason = explain(error)
    if reason:
        text = f"{text.removesuffix(':')} ({reason})"
    return text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 1] + "…"


def _with_causes(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    waiting: list[traceback.TracebackException | None] = [shown]
    while waiting:
        part = waiting.pop()
        if part is not None:
            yield part
            waiting += [part.__cause__, part.__context__, *(part.exceptions or [])]
