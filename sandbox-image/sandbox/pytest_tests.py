"""Runs tests by pytest itself, in this process: its fixtures, parameters, marks and skips are its own affair.

Nothing is read or written but the working folder: no configuration, no conftest, no cache, no plugins.
"""

import builtins
import importlib
import os
import pathlib
import sys
import types
from typing import Any

from sandbox import outcome as outcomes
from sandbox.outcome import BadTest, Outcome
from sandbox.pristine import Pristine, Seal
from sandbox.source import TESTS_FILE

globals()["__builtins__"] = dict(vars(builtins))  # see pristine.py

MISSING = (
    "pytest is not installed here: test by plain assertions, functions named test_* without arguments, or "
    "unittest, or have pytest installed in the sandbox's Python"
)
_PACKAGES = {"pytest", "_pytest", "pluggy"}


def load(pristine: Pristine) -> None:
    """Imports pytest from where Python's packages are, whatever the code has put in its place.

    Raises ModuleNotFoundError with what to do instead.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
        del sys.modules[name]
    path, sys.path[:] = list(sys.path), pristine.path
    try:
        importlib.import_module("pytest")
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ModuleNotFoundError(MISSING, name="pytest") from None
    finally:
        sys.path[:] = path
    pristine.include(_PACKAGES)


def run(defined: dict[str, Any], outcome: Outcome, pristine: Pristine, folder: str, main: Any) -> None:
    """Runs what the tests have defined and notes what comes of it; `main` is pytest's own."""
    plugin = _Plugin(defined, outcome, pristine, folder)
    settings = f"{folder}/.tmp/pytest.ini"  # or pytest would look for one in the folders above
    with open(settings, "w", encoding="utf-8") as file:
        file.write("[pytest]\n")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = [
        *("-c", settings, "--rootdir", folder, "--basetemp", f"{folder}/.tmp/pytest"),
        *("-q", "-s", "--noconftest", "--assert=plain", "--import-mode=importlib"),
        *(f"-pno:{name}" for name in ("cacheprovider", "faulthandler", "warnings", "doctest", "junitxml")),
    ]
    pristine.restore_judges()
    try:
        main(options, plugins=[plugin])
    finally:
        plugin.pytest_sessionfinish()
    if plugin.error is not None:
        outcome.fail("the tests", plugin.error)
    elif not outcome.failed and plugin.ended != plugin.collected:
        told = f"only {plugin.ended} of {plugin.collected} tests came to an end"
        outcome.fail("the tests", BadTest(told))


class _Plugin:
    """What the tests are, and what became of them."""

    def __init__(self, defined: dict[str, Any], outcome: Outcome, pristine: Pristine, folder: str) -> None:
        self._module = types.ModuleType("tests")
        vars(self._module).update(defined, __file__=f"{folder}/{TESTS_FILE}")
        self._outcome = outcome
        self._pristine = pristine
        self._folder = folder
        self._phases: dict[str, list[Any]] = {}
        self._seal: Seal | None = None
        self.collected = self.ended = 0
        self.error: BaseException | None = None

    def pytest_collection(self, session: Any) -> bool:
        plugins = session.config.pluginmanager
        plugins.unregister(plugins.get_plugin("terminalreporter"))  # the verdict tells what failed
        kind: Any = sys.modules["pytest"].Module
        module = self._module
        tests: Any = type("Tests", (kind,), {"_getobj": lambda _: module})
        path = pathlib.Path(self._folder, TESTS_FILE)
        session.items = list(session.genitems(tests.from_parent(session, path=path)))
        session.config.hook.pytest_collection_modifyitems(
            session=session, config=session.config, items=session.items
        )
        session.testscollected = self.collected = len(session.items)
        self._pristine.include(_PACKAGES)  # with what its plugins have added by now
        self._seal = Seal(self._pristine)
        self._seal.__enter__()
        return True

    def pytest_sessionfinish(self) -> None:
        if self._seal is not None:
            self._seal.__exit__()
            self._seal = None

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.error = BadTest(str(report.longrepr))

    def pytest_internalerror(self, excinfo: Any) -> None:
        self.error = excinfo.value

    def pytest_pyfunc_call(self, pyfuncitem: Any) -> bool:
        """Calls asynchronous tests too, for which pytest would want a plugin."""
        wanted = pyfuncitem._fixtureinfo.argnames
        arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
        outcomes.call(lambda: pyfuncitem.obj(**arguments))
        return True

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        self._phases.setdefault(item.nodeid, []).append(call)

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.partition("::")[2].replace("::", ".")
        call = self._phases[report.nodeid][-1]
        error = None if call.excinfo is None else call.excinfo.value
        if report.failed:
            told = error or BadTest(str(report.longrepr))
            self._outcome.fail(name, told)
        elif report.skipped and error is not None and outcomes.is_of_program(error):
            self._outcome.fail(name, error)
        elif report.skipped and not hasattr(report, "wasxfail"):
            self._outcome.skipped.append(name)
        elif report.when == "call":
            self._outcome.passed.append(name)
        if report.when == "teardown":
            self.ended += 1
            self._pristine.restore_judges()
