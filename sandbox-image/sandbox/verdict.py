"""Runs the tests of a task on the program that the code has left, and words what failed.

Tests are what people write: assertions at the top, functions `test_*`, classes of `unittest` and of pytest.
They see the names of the program as if they stood below it, and may as well import them from `main` or
`solution`; the program does not see theirs. What they define is run once they have been executed to their
end; `unittest.main()` and its like come to the same. Where they need pytest, pytest itself runs them.

Nothing passes by not being run: each test must come to its end, and there must be one. A test that the
program skips, that returns False, or after which the process ends has failed.
"""

import ast
import builtins
import contextlib
import doctest
import functools
import inspect
import sys
import types
import unittest
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from policy import tests as test_source

from sandbox import assertions, failure, pytest_tests
from sandbox.channel import Message
from sandbox.outcome import BadTest, Outcome, call, is_of_program
from sandbox.pristine import Pristine, Seal
from sandbox.source import TESTS_FILE, remember

globals()["__builtins__"] = dict(vars(builtins))  # see pristine.py

PROGRAM_NAMES = ("main", "solution")  # modules from which tests import the program
_MOST_NAMED = 5
_BUILTINS = vars(builtins)
_exception = sys.exception
_BUILT_IN = {name for name in vars(builtins) if not name.startswith("_")}


class NothingRan(Exception):
    """The tests came to their end and tested nothing."""


class Namespace(MutableMapping[str, Any]):
    """The names of the tests, above those of the program; also what `globals()` gives in tests.

    What tests assign to a name that the program has, or that Python has, is meant for the program too. `own`
    are the globals of the functions that the tests define: there the names of the program are found as
    built-in names are.
    """

    def __init__(self, program: dict[str, Any]) -> None:
        self.program = program
        self.own: dict[str, Any] = {"__name__": "__main__", "__builtins__": _Below(self)}

    def __getitem__(self, name: str) -> Any:
        return self.own[name] if name in self.own else self.program[name]

    def __setitem__(self, name: str, value: object) -> None:
        meant_for_program = (name in self.program or name in _BUILT_IN) and not _is_of_tests(name)
        (self.program if meant_for_program else self.own)[name] = value

    def __delitem__(self, name: str) -> None:
        del (self.own if name in self.own else self.program)[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.program, **self.own})

    def __len__(self) -> int:
        return len({**self.program, **self.own})


class _Below(dict[str, Any]):
    """The built-in names of tests: those of the program, then Python's as they are at the moment."""

    def __init__(self, names: Namespace) -> None:
        super().__init__(vars(builtins))  # Python takes a few from here itself
        self._program = names.program
        self._globals = lambda: names

    def __getitem__(self, name: str) -> Any:
        if name == "globals":
            return self._globals
        return self._program[name] if name in self._program else _BUILTINS[name]


def run_tests(source: str, program: types.ModuleType, pristine: Pristine, folder: str) -> Message:
    """The report on the tests of a program that has ended well: error_category None, or test_failure."""
    try:
        outcome = _Run(source, program, pristine, folder).outcome()
    except BaseException as error:
        pristine.restore_reporting()
        return failure.describe(error, "test_failure", folder)
    pristine.restore_reporting()
    if not outcome.failed:
        return {"error_category": None}
    first, reason = outcome.failed[0]
    report = failure.describe(reason, "test_failure", folder)
    others = list(dict.fromkeys(name for name, _ in outcome.failed if name != first))
    if outcome.total > 1:
        report["error"] += f" – in {first}; {len(outcome.passed)} of {outcome.total} tests passed"
    if others:
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        report["error"] += f"; also failed: {', '.join(others[:_MOST_NAMED])}{more}"
    return report


class _Run:
    def __init__(self, source: str, program: types.ModuleType, pristine: Pristine, folder: str) -> None:
        self._source = source.removeprefix(test_source.BYTE_ORDER_MARK)
        self._program = program
        self._pristine = pristine
        self._folder = folder
        self._outcome = Outcome()
        self._tested_something = False
        self._done: set[int] = set()
        self._pytest_main: Any = None

    def outcome(self) -> Outcome:
        """Executes the tests, then runs what they define. Raises what fails outside of any of these."""
        remember(TESTS_FILE, self._source)
        tree = test_source.parse(self._source)
        self._tree_of_calls = _called_at_the_top(tree)
        needs_pytest = test_source.imports_pytest(tree)
        if needs_pytest:
            self._load_pytest()
        compiled = compile(assertions.rewrite(tree, self._source), TESTS_FILE, "exec", dont_inherit=True)
        self._before = {id(value) for value in vars(self._program).values()}
        self._keep = list(vars(self._program).values())  # or another object could get an id of these
        self._names = Namespace(vars(self._program))
        self._names.own.update(assertions.names(self._note_run))
        vars(self._program).setdefault("__getattr__", self._find)
        for name in PROGRAM_NAMES:
            sys.modules[name] = self._program
        self._replaced = _Replaced(self._main, self._run_suite)
        with self._replaced:
            self._execute(compiled)
            self._run_defined(needs_pytest)
        if not self._outcome.failed and not self._outcome.passed:
            if self._outcome.skipped:
                raise NothingRan(f"all tests were skipped: {', '.join(self._outcome.skipped[:_MOST_NAMED])}")
            if not self._tested_something:
                raise NothingRan(f"the tests ran to their end and tested nothing: {test_source.NOTHING}")
        return self._outcome

    def _load_pytest(self) -> Any:
        """pytest's own `main`."""
        if self._pytest_main is None:
            pytest_tests.load(self._pristine)
            self._pytest_main = sys.modules["pytest"].main
        return self._pytest_main

    def _note_run(self) -> None:
        self._tested_something = True

    def _find(self, name: str) -> Any:
        """Attributes of `__main__` are the tests' as well: pickle and unittest look there for classes."""
        if name in self._names.own:
            return self._names.own[name]
        raise AttributeError(f"module '__main__' has no attribute {name!r}")

    def _execute(self, compiled: types.CodeType) -> None:
        self._main_called = False
        try:
            exec(compiled, self._names.own, self._names)
        except SystemExit as error:
            # `sys.exit(unittest.main())`: the end that tests themselves make once they have been told to run
            if not self._main_called or is_of_program(error):
                raise

    def _main(self, *_: object, exit: bool = True, **__: object) -> Any:
        """Stands for `unittest.main` and `pytest.main`: what is defined is run anyway, in the end."""
        self._main_called = True
        if exit:
            return 0
        self._run_defined(needs_pytest=False)
        self._replaced.put()
        return types.SimpleNamespace(result=_Result(self._outcome, self._pristine))

    def _run_defined(self, needs_pytest: bool) -> None:
        known = self._before | self._done
        defined = {name: value for name, value in self._names.items() if id(value) not in known}
        self._done |= {id(value) for value in defined.values()}
        self._keep += defined.values()
        functions = {name: value for name, value in defined.items() if self._is_test(name, value)}
        if needs_pytest or any(map(_wants_arguments, functions.values())):
            pytest_main = self._load_pytest()
            pytest_tests.run(defined, self._outcome, self._pristine, self._folder, pytest_main)
            self._tested_something |= bool(self._outcome.total)
            return
        cases = [value for value in defined.values() if _is_test_case(value)]
        classes = {name: value for name, value in defined.items() if _is_test_class(name, value)}
        if not (functions or cases or classes):
            return
        self._pristine.restore_judges()
        with Seal(self._pristine), _fixtures(defined, "module"):
            for name, function in functions.items():
                self._test(name, functools.partial(self._call_function, function, defined))
            for name, kind in classes.items():
                self._run_class(name, kind)
            self._run_cases(cases)

    def _is_test(self, name: str, value: object) -> bool:
        if not test_source.TEST_NAME.match(name) or isinstance(value, type) or not callable(value):
            return False
        if name in self._tree_of_calls.without_arguments:
            return False  # the tests have called it themselves
        return not (_wants_arguments(value) and (name == "test" or name in self._tree_of_calls.names))

    def _test(self, name: str, test: Callable[[], None]) -> None:
        """Runs one test and notes what came of it."""
        self._pristine.restore_judges()
        self._tested_something = True
        try:
            test()
        except unittest.SkipTest as error:
            if is_of_program(error):
                self._outcome.fail(name, error)
            else:
                self._outcome.skipped.append(name)
        except KeyboardInterrupt as error:
            self._outcome.fail(name, error)
        except BaseException as error:
            self._outcome.fail(name, error)
        else:
            self._outcome.passed.append(name)

    def _call_function(self, function: Callable[[], object], defined: dict[str, Any]) -> None:
        with _fixtures(defined, "function", function):
            call(function)

    def _run_class(self, name: str, kind: type) -> None:
        methods = [one for one in _names_of(kind) if test_source.TEST_NAME.match(one)]
        try:
            _call_if_there(kind, "setup_class", kind)
        except BaseException as error:
            self._outcome.fail(name, error)
            return
        for method in methods:
            self._test(f"{name}.{method}", functools.partial(self._call_method, kind, method))
        try:
            _call_if_there(kind, "teardown_class", kind)
        except BaseException as error:
            self._outcome.fail(name, error)

    def _call_method(self, kind: type, name: str) -> None:
        instance = kind()
        method = getattr(instance, name)
        for fixture in ("setup_method", "setup"):
            _call_if_there(instance, fixture, method)
        try:
            call(method)
        finally:
            for fixture in ("teardown_method", "teardown"):
                _call_if_there(instance, fixture, method)

    def _run_cases(self, cases: list[type[unittest.TestCase]]) -> None:
        loader = unittest.TestLoader()
        suite = unittest.TestSuite(map(loader.loadTestsFromTestCase, cases))
        load_tests = self._names.own.get("load_tests")
        if callable(load_tests):
            suite = load_tests(loader, suite, None)
        self._run_suite(suite)

    def _run_suite(self, suite: unittest.TestSuite) -> "_Result":
        """Also stands for the runs that tests begin themselves, by a `TextTestRunner`."""
        self._done |= {id(type(test)) for test in _tests_in(suite)}
        result = _Result(self._outcome, self._pristine)
        expected = suite.countTestCases()
        self._tested_something |= expected > 0
        try:
            suite(result)
        except BaseException as error:  # KeyboardInterrupt, which unittest lets through
            self._outcome.fail("the tests", error)
        if not self._outcome.failed and result.ended != expected and not result.skipped_classes:
            told = f"only {result.ended} of {expected} tests came to an end"
            self._outcome.fail("the tests", BadTest(told))
        return result


class _Result(unittest.TestResult):
    """Passes on what unittest finds; `ended` counts the tests that came to an end."""

    def __init__(self, outcome: Outcome, pristine: Pristine) -> None:
        super().__init__()
        self._outcome = outcome
        self._pristine = pristine
        self._failing: set[str] = set()
        self.ended = 0
        self.skipped_classes = False

    def startTest(self, test: unittest.TestCase) -> None:
        self._pristine.restore_judges()
        super().startTest(test)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.ended += 1
        if _name_of(test) not in self._failing:
            self._outcome.passed.append(_name_of(test))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._fail(test, err[1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._fail(test, err[1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failing.add(_name_of(test))
            self._outcome.fail(f"{_name_of(test)} {subtest._subDescription()}", err[1])  # type: ignore[attr-defined]

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.ended += 1
        self.skipped_classes |= not isinstance(test, unittest.TestCase)
        error = _exception()  # None where a decorator skips
        if error is not None and is_of_program(error):
            self._fail(test, error)
        else:
            self._outcome.skipped.append(_name_of(test))

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.ended += 1
        self._outcome.passed.append(_name_of(test))

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._fail(test, BadTest("it was expected to fail and passed"))

    def wasSuccessful(self) -> bool:
        """Of all tests so far, not only of this run."""
        return not self._outcome.failed

    def _fail(self, test: unittest.TestCase, error: BaseException) -> None:
        self._failing.add(_name_of(test))
        self._outcome.fail(_name_of(test), error)


def _name_of(test: Any) -> str:
    method = getattr(test, "_testMethodName", None)
    return f"{type(test).__qualname__}.{method}" if method else str(test)


class _Replaced:
    """While it is on, what would run the tests or end the process runs them once, here.

    doctest only prints what failed; here it raises.
    """

    def __init__(self, main: Callable[..., Any], run_suite: Callable[..., Any]) -> None:
        testmod, testfile = doctest.testmod, doctest.testfile
        self._new: list[tuple[Any, str, Any]] = [
            (unittest, "main", main),
            (unittest.TextTestRunner, "run", lambda _runner, suite: run_suite(suite)),
            (doctest, "testmod", _strict(testmod)),
            (doctest, "testfile", _strict(testfile)),
        ]
        if "pytest" in sys.modules:
            self._new.append((sys.modules["pytest"], "main", main))

    def __enter__(self) -> None:
        self._old = [(owner, name, vars(owner)[name]) for owner, name, _ in self._new]
        self.put()

    def put(self) -> None:
        """Puts the replacements in place, also where they have been put back."""
        for owner, name, value in self._new:
            setattr(owner, name, value)

    def __exit__(self, *_: object) -> None:
        for owner, name, value in self._old:
            setattr(owner, name, value)


def _strict(run_examples: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        result = run_examples(*arguments, **options)
        assert not result.failed, f"{result.failed} of {result.attempted} examples failed"
        return result

    return run


@dataclass
class _Calls:
    names: set[str]
    without_arguments: set[str]


def _called_at_the_top(tree: ast.Module) -> _Calls:
    """The functions that the tests call by name outside of any definition."""
    found = _Calls(set(), set())
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.names.add(node.func.id)
            if not node.args and not node.keywords:
                found.without_arguments.add(node.func.id)
        waiting += ast.iter_child_nodes(node)
    return found


def _is_of_tests(name: str) -> bool:
    return bool(test_source.TEST_NAME.match(name.lower()))


def _wants_arguments(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        for one in parameters
    )


def _is_test_case(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == "__main__"


def _is_test_class(name: str, value: object) -> bool:
    return (
        isinstance(value, type)
        and name.startswith("Test")
        and value.__module__ == "__main__"
        and not issubclass(value, unittest.TestCase)
        and value.__init__ is object.__init__
        and any(map(test_source.TEST_NAME.match, _names_of(value)))
    )


def _names_of(kind: type) -> list[str]:
    """The names of its attributes, inherited ones first, in the order of their definition."""
    names = {name: None for base in reversed(kind.__mro__[:-1]) for name in vars(base)}
    return list(names)


@contextlib.contextmanager
def _fixtures(defined: dict[str, Any], scope: str, *arguments: object) -> Iterator[None]:
    """`setup_module` and its like around what is tested."""
    _call_if_there(defined, f"setup_{scope}", *arguments)
    try:
        yield
    finally:
        _call_if_there(defined, f"teardown_{scope}", *arguments)


def _call_if_there(owner: Any, name: str, *arguments: object) -> None:
    """Calls a fixture, with what it is for if it wants to know."""
    function = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
    if callable(function):
        call(lambda: function(*arguments) if _wants_arguments(function) else function())


def _tests_in(suite: Any) -> Iterator[Any]:
    if isinstance(suite, unittest.TestSuite):
        for one in suite:
            yield from _tests_in(one)
    else:
        yield suite
