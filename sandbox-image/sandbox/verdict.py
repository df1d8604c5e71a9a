"""Runs the tests of a task in the namespace that the code has left, and words what failed.

`assert` statements are rewritten so that a failure tells the values:

    assert add(2, 2) == 5   ─►   AssertionError: add(2, 2) == 5 (line 3 of the tests): left was 4, right was 5
"""

import ast
import asyncio
import inspect
import operator
import types
from collections.abc import Callable
from typing import Any

from sandbox.source import TESTS_FILE, remember
from sandbox.values import short_repr

_COMPARE, _TRUTH, _FAILED = "@compare", "@truth", "@failed"  # no identifier: nothing in the tests can clash

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda left, right: left in right,
    "NotIn": lambda left, right: left not in right,
}


def run_tests(source: str, namespace: dict[str, Any]) -> None:
    """Executes the tests, then calls each function `test_*` that they define. Raises what fails."""
    remember(TESTS_FILE, source)
    tree = _Rewrite(source).visit(ast.parse(source, TESTS_FILE))
    compiled = compile(ast.fix_missing_locations(tree), TESTS_FILE, "exec", dont_inherit=True)

    values = _Values()
    namespace |= {_COMPARE: values.compare, _TRUTH: values.truth, _FAILED: values.failed}
    before = dict(namespace)
    exec(compiled, namespace)
    for name, test in list(namespace.items()):
        if name.startswith("test_") and isinstance(test, types.FunctionType) and before.get(name) is not test:
            result = test()
            if inspect.iscoroutine(result):
                asyncio.run(result)


class _Values:
    """Remembers what the assertion under way compared."""

    def __init__(self) -> None:
        self._seen = ""

    def compare(self, left: object, right: object, operation: str) -> object:
        result = _OPERATORS[operation](left, right)
        if not result:
            self._seen = f"left was {short_repr(left)}, right was {short_repr(right)}"
        return result

    def truth(self, value: object) -> object:
        if not value:
            self._seen = f"was {short_repr(value)}"
        return value

    def failed(self, source: str, line: int, *message: object) -> str:
        said = f" – {message[0]}" if message else ""
        return f"{source} (line {line} of the tests): {self._seen}{said}"


class _Rewrite(ast.NodeTransformer):
    def __init__(self, source: str) -> None:
        self._source = source

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            operation = ast.Constant(type(test.ops[0]).__name__)
            checked = _call(_COMPARE, test.left, test.comparators[0], operation)
        else:
            checked = _call(_TRUTH, test)
        source = " ".join((ast.get_source_segment(self._source, test) or ast.unparse(test)).split())
        explained = _call(_FAILED, ast.Constant(source), ast.Constant(node.lineno))
        if node.msg is not None:
            explained.args.append(node.msg)
        return ast.copy_location(ast.Assert(checked, explained), node)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
