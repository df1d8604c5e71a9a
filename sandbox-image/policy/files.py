"""Names of files: whether the one that an expression stands for lies outside the working folder."""

import ast
import re
from collections.abc import Callable, Iterable

from policy.texts import fold

# Of a function that takes names of files, and of a method of an object that writes itself to one.
FIRST_ARGUMENTS, FIRST_ARGUMENT = 2, 1

REMOTE = re.compile(r"(https?|ftp|s3|gs)://", re.IGNORECASE)
_OUTSIDE = re.compile(
    r"(file:(//[^/]*)?)?([/~]|[a-z]:[/\\])|(.*[/\\])?\.\.([/\\]|$)", re.IGNORECASE | re.DOTALL
)
_CLIMBS = re.compile(r"[/\\]\.\.([/\\]|$)")
_DEVICES = {"/dev/null"}  # may be opened all the same

_JOINING_FUNCTIONS = {
    "builtins.str",
    "os.fspath",
    "os.path.abspath",
    "os.path.expanduser",
    "os.path.join",
    "os.path.normpath",
    "os.path.realpath",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
}
_JOINING_METHODS = {"joinpath", "with_name", "with_suffix", "resolve", "absolute", "expanduser", "as_posix"}

Resolve = Callable[[ast.expr], set[str]]
TextOf = Callable[[str], str | None]


def is_outside(text: str) -> bool:
    """Whether the name is absolute, a user's folder, or leads upwards."""
    return text not in _DEVICES and bool(_OUTSIDE.match(text))


def outside_folder(node: ast.expr, resolve: Resolve, text_of: TextOf) -> str | None:
    """The literal part of a file's name that leads out of the working folder, or None.

    `resolve` tells which function an expression stands for, `text_of` the literal that a name stands for.
    """

    def first(nodes: Iterable[ast.expr]) -> str | None:
        return next((text for node in nodes if (text := outside(node))), None)

    def outside(node: ast.expr) -> str | None:
        text = fold(node)
        if text is not None:
            return text if is_outside(text) else None
        match node:
            case ast.Name(id=name):
                text = text_of(name)
                return text if text is not None and is_outside(text) else None
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return outside(left) or climbing(right)
            case ast.BinOp(left=left, op=ast.Mod()):
                return outside(left)
            case ast.BinOp(left=left, op=ast.Div(), right=right) | ast.IfExp(body=left, orelse=right):
                return first([left, right])
            case ast.BoolOp(values=parts):
                return first(parts)
            case ast.NamedExpr(value=value) | ast.FormattedValue(value=value) | ast.Attribute(value=value):
                return outside(value)
            case ast.JoinedStr(values=[start, *rest]):
                return outside(start) or next((text for part in rest if (text := climbing(part))), None)
            case ast.Call(func=function, args=arguments):
                if resolve(function) & _JOINING_FUNCTIONS:
                    return first(arguments)
                if isinstance(function, ast.Attribute):
                    return of_method(function, arguments)
        return None

    def of_method(function: ast.Attribute, arguments: list[ast.expr]) -> str | None:
        match function.attr, arguments:
            case "format", _:
                return outside(function.value)
            case "join", [ast.List(elts=[start, *_]) | ast.Tuple(elts=[start, *_])]:
                return outside(function.value) if fold(start) == "" else outside(start)
            case name, _ if name in _JOINING_METHODS:
                return first([function.value, *arguments])
        return None

    return outside(node)


def climbing(node: ast.expr) -> str | None:
    """The literal if it leads upwards from what stands before it."""
    text = fold(node)
    return text if text is not None and _CLIMBS.search(text) else None
