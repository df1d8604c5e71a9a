"""What came of tests, and what it takes for one to count."""

import asyncio
import builtins
import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.source import CODE_FILE

globals()["__builtins__"] = dict(vars(builtins))  # see pristine.py

_asyncio_run = asyncio.run


class BadTest(AssertionError):
    """A test that did not fail by itself and yet cannot count as passed."""


@dataclass
class Outcome:
    """What came of the tests, each under its name. `skipped` are those that wanted to be."""

    passed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[tuple[str, BaseException]] = field(default_factory=list)

    def fail(self, name: str, error: BaseException) -> None:
        """Notes a failure; with its first one a test has failed, whatever follows."""
        self.failed.append((name, error))

    @property
    def total(self) -> int:
        """How many tests there were."""
        return len(self.passed) + len(self.skipped) + len({name for name, _ in self.failed})


def call(function: Callable[[], object]) -> None:
    """Calls a test, to the end of what it gives: a coroutine, a generator or an asynchronous generator.

    Raises what the test raises, and BadTest if it does not come to its end or returns False.
    """
    result: Any = function()
    if isinstance(result, types.GeneratorType):
        _exhaust(result)
    elif inspect.isawaitable(result) or isinstance(result, AsyncGenerator):
        ended: list[object] = []
        _asyncio_run(_await(result, ended))
        if not ended:
            raise BadTest("the test did not come to its end")
        result = ended[0]
    if result is False:
        raise BadTest("the test returned False")


def _exhaust(generator: Iterator[Any]) -> None:
    for given in generator:
        if isinstance(given, tuple) and given and callable(given[0]):  # a test and its arguments
            call(functools.partial(given[0], *given[1:]))
        elif callable(given):
            call(given)


async def _await(given: Any, ended: list[object]) -> None:
    if isinstance(given, AsyncGenerator):
        async for _ in given:
            pass
        ended.append(None)
    else:
        ended.append(await given)


def is_of_program(error: BaseException) -> bool:
    """Whether the program has raised it and not the tests."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == CODE_FILE:
            return True
        traceback = traceback.tb_next
    return False
