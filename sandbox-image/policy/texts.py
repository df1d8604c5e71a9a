"""What can be told of text before the program runs: what literals alone yield, and whether it is code."""

import ast

from policy.syntax import parse

# Characters of all separators of a `join` that is looked into.
MAX_SEPARATORS = 10_000


def fold(node: ast.AST) -> str | None:
    """The text an expression yields, if it is put together from literals alone."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Constant(value=bytes(data)):
            return data.decode("latin-1")
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return fold_all("", [left, right])
        case ast.JoinedStr(values=parts):
            return fold_all("", parts)
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return fold(value)
        case ast.Call(
            func=ast.Attribute(value=separator, attr="join"),
            args=[ast.List(elts=parts) | ast.Tuple(elts=parts)],
        ):
            between = fold(separator)
            if between is not None and len(between) * len(parts) <= MAX_SEPARATORS:
                return fold_all(between, parts)
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            whole = fold(value)
            start, stop, stride = (literal_integer(bound) for bound in (lower, upper, step))
            if whole is not None and stride != 0:
                return whole[start:stop:stride]
    return None


def fold_all(separator: str, nodes: list[ast.expr]) -> str | None:
    texts: list[str] = []
    for node in nodes:
        text = fold(node)
        if text is None:
            return None
        texts.append(text)
    return separator.join(texts)


def literal_integer(node: ast.expr | None) -> int | None:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
            return -number
    return None


def literal_start(node: ast.expr) -> str | None:
    """The literal text that an expression begins with, as in `"/etc/" + name` or an f-string."""
    while True:
        match node:
            case ast.BinOp(left=left):
                node = left
            case ast.JoinedStr(values=[first, *_]):
                node = first
            case ast.Constant(value=str(text)):
                return text
            case _:
                return None


def is_code(text: str) -> bool:
    """Whether the text is an expression that calls something or reads an attribute, so no plain word."""
    try:
        tree = parse(text.strip())
    except SyntaxError:
        return False
    return (
        len(tree.body) == 1
        and isinstance(tree.body[0], ast.Expr)
        and any(isinstance(node, ast.Call | ast.Attribute) for node in ast.walk(tree))
    )
