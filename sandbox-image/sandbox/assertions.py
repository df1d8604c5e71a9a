"""Rewrites the `assert` statements of tests so that a failure tells the values.

    assert add(2, 2) == 5   ─►   AssertionError: add(2, 2) == 5 (line 3 of the tests): left was 4, right was 5

Whether an assertion holds is left to Python's own `assert`: only the words for a failure are a function's,
and the values for them are kept under names that are no identifiers, so nothing in the tests can clash.
"""

import ast
from collections.abc import Callable

from sandbox.source import lines_of
from sandbox.values import short_repr

RAN, _FAILED, _LEFT, _RIGHT = "@ran", "@failed", "@left", "@right"


def rewrite(tree: ast.Module, source: str) -> ast.Module:
    """The tree with its assertions rewritten; before what tests something stands a call of `RAN`."""
    rewritten: ast.Module = ast.fix_missing_locations(_Rewrite(source).visit(tree))
    return rewritten


def names(on_run: Callable[[], None]) -> dict[str, object]:
    """What the rewritten tests need in their namespace; `on_run` is called whenever something is tested."""
    return {RAN: on_run, _FAILED: _failed}


def _failed(source: str, line: int, values: tuple[object, ...], *message: object) -> str:
    told = [short_repr(value) for value in values]
    seen = f"left was {told[0]}, right was {told[1]}" if len(told) == 2 else f"was {told[0]}"
    said = f" – {message[0]}" if message else ""
    return f"{source} (line {line} of the tests): {seen}{said}"


class _Rewrite(ast.NodeTransformer):
    def __init__(self, source: str) -> None:
        self._lines = [line.encode() for line in lines_of(source)]

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        test = node.test
        checked: ast.expr
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            kept = [_LEFT, _RIGHT]
            checked = ast.Compare(_keep(_LEFT, test.left), test.ops, [_keep(_RIGHT, test.comparators[0])])
        else:
            kept = [_LEFT]
            checked = _keep(_LEFT, test)
        source = " ".join(self._text_of(test).split())
        values = ast.Tuple([ast.Name(name, ast.Load()) for name in kept], ast.Load())
        explained = _call(_FAILED, ast.Constant(source), ast.Constant(node.lineno), values)
        if node.msg is not None:
            explained.args.append(node.msg)
        # A test may look whether an object is gone: nothing is kept for longer than needed.
        forget = ast.Assign([ast.Name(name, ast.Store()) for name in kept], ast.Constant(None))
        assertion = ast.Assert(checked, explained)
        return [ast.copy_location(one, node) for one in (ast.Expr(_call(RAN)), assertion, forget)]

    def _text_of(self, node: ast.expr) -> str:
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines = self._lines[first : last + 1]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"".join(lines).decode()

    def visit_Expr(self, node: ast.Expr) -> list[ast.stmt]:
        if not isinstance(node.value, ast.Call | ast.Await):
            return [node]
        return [ast.copy_location(ast.Expr(_call(RAN)), node), node]

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        """`if add(2, 2) != 4: raise …` tests something, whichever way it goes."""
        raises = any(isinstance(one, ast.Raise) for one in ast.walk(node))
        self.generic_visit(node)
        return [ast.copy_location(ast.Expr(_call(RAN)), node), node] if raises else [node]


def _keep(name: str, value: ast.expr) -> ast.NamedExpr:
    return ast.copy_location(ast.NamedExpr(ast.Name(name, ast.Store()), value), value)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
