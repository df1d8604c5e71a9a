"""The tests of a task before anything is run: can Python read them, and is there anything in them to run?

    parse("assert add(2, 2) == 4")     ─►  the syntax tree
    parse("def check(): assert add(2, 2) == 4")
        ─►  SyntaxError, line 1: nothing in the tests is run: call check, or name it test_check

What only shows when they run, such as a loop over an empty list, the sandbox finds.
"""

import ast
import re
from collections.abc import Iterable, Iterator

from policy import syntax

BYTE_ORDER_MARK = "\ufeff"
TEST_NAME = re.compile(r"test(_|[A-Z0-9]|$)")
NOTHING = "write assert statements, functions named test_*, or a unittest.TestCase"
_RUNNERS = {"unittest.main", "pytest.main", "main"}
_FENCE = re.compile(r"\s*(```|~~~)")


def parse(source: str) -> ast.Module:
    """The syntax tree of the tests; raises SyntaxError if they are no Python or if nothing in them is run."""
    tests = source.removeprefix(BYTE_ORDER_MARK)
    try:
        tree = syntax.parse(tests)
    except SyntaxError as error:
        fenced = [number for number, line in enumerate(tests.splitlines(), 1) if _FENCE.match(line)]
        if fenced and (error.lineno or 0) >= fenced[0]:
            raise _refusal("this is a Markdown fence: leave out the lines with ```", fenced[0]) from None
        raise
    if not any(map(_runs, tree.body)):
        raise _refusal(*_why_nothing_runs(tree))
    return tree


def imports_pytest(tree: ast.Module) -> bool:
    """Whether the tests are for pytest to run."""
    return any(
        (isinstance(node, ast.Import) and any(one.name.partition(".")[0] == "pytest" for one in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pytest")
        for node in ast.walk(tree)
    )


def _runs(statement: ast.stmt) -> bool:
    """Whether the statement, at the top of the tests, runs anything that could fail."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal() | ast.Delete():
            return False
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return bool(TEST_NAME.match(statement.name))
        case ast.ClassDef():
            return _is_test_class(statement)
        case ast.Assign():
            return any(map(_may_define_a_test, statement.targets))
        case ast.AnnAssign() | ast.AugAssign():
            return False
        case ast.Expr():
            return _is_call_that_may_fail(statement.value)
        case ast.If() if isinstance(statement.test, ast.Constant):
            return any(map(_runs, statement.body if statement.test.value else statement.orelse))
        case ast.While() if isinstance(statement.test, ast.Constant):
            return bool(statement.test.value) or any(map(_runs, statement.orelse))
        case ast.For() if isinstance(statement.iter, ast.List | ast.Tuple) and not statement.iter.elts:
            return any(map(_runs, statement.orelse))
        case ast.If() | ast.While() | ast.For() | ast.AsyncFor() | ast.Try() | ast.TryStar():
            return any(map(_runs, _statements_in(statement)))
        case _:  # assert, raise, with, match
            return True


def _statements_in(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler):
            yield from child.body


def _is_test_class(node: ast.ClassDef) -> bool:
    """A class with tests of its own or perhaps with inherited ones."""
    methods = (one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return bool(node.bases) or any(map(TEST_NAME.match, methods))


def _may_define_a_test(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return any(map(_may_define_a_test, target.elts))
    return not isinstance(target, ast.Name) or bool(TEST_NAME.match(target.id))


def _is_call_that_may_fail(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return isinstance(value, ast.Await)
    name = ast.unparse(value.func)
    if name in ("print", "sys.exit", "exit", "quit"):
        return any(_is_call_that_may_fail(argument) for argument in value.args)
    return name not in _RUNNERS


def _why_nothing_runs(tree: ast.Module) -> tuple[str, int | None]:
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Compare | ast.BoolOp):
            return "this comparison tests nothing: write assert before it", statement.lineno
    helpers = [one for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    if helpers:
        name, line = helpers[0].name, helpers[0].lineno
        return f"nothing in the tests is run: call {name}, or name it test_{name}", line
    classes = [one for one in tree.body if isinstance(one, ast.ClassDef)]
    if classes:
        line = classes[0].lineno
        return f"nothing in the tests is run: {classes[0].name} has no methods named test_*", line
    if _only(tree.body, (ast.Expr, ast.Pass)) and not any(map(_calls, tree.body)):
        return f"the tests are empty: {NOTHING}", None
    return f"nothing in the tests is run: {NOTHING}", None


def _only(nodes: Iterable[ast.AST], kinds: tuple[type[ast.AST], ...]) -> bool:
    return all(isinstance(node, kinds) for node in nodes)


def _calls(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Call) for one in ast.walk(node))


def _refusal(message: str, line: int | None) -> SyntaxError:
    return SyntaxError(message, ("tests.py", line, None, None))
