"""What names stand for: imports, things of the code's own, or still built-in functions.

Python decides that while it runs; this is the closest that can be told from the text without guessing:

- In a function, lambda or comprehension a name that is bound anywhere in it is its own, as in Python.
  `def f(input):` or `compile = …` inside a function never mean the built-in function.
- In a module or class body Python falls back to the built-in function until the name is bound. So a name
  counts as the code's own from the statement that binds it to the end of its block, and after an `if` or
  `try` when every branch binds it. A name that is deleted anywhere never counts.
- A name that is ever bound to a module or to a part of one (`import os as o`, `o = os`, `def f(o=os)`) keeps
  that meaning in its scope even if it is bound to other things too.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator

BUILTINS = frozenset(dir(builtins)) | {"__builtins__"}

# In honest code one name does not stand for more things; the bound keeps hostile code cheap to check.
MAX_PATHS = 20

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPES = (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef)


class Scope:
    """The names of one module, class, function, lambda or comprehension."""

    def __init__(self, node: ast.AST) -> None:
        self.is_class = isinstance(node, ast.ClassDef)
        self.is_function = isinstance(node, (*FUNCTIONS, *COMPREHENSIONS))
        self.nodes = list(own_nodes(node))
        self.globals = {
            name for statement in self.nodes if isinstance(statement, ast.Global) for name in statement.names
        }
        outer = self.globals.union(
            *(statement.names for statement in self.nodes if isinstance(statement, ast.Nonlocal))
        )
        self.names = {name for part in self.nodes for name in bound_names(part)} - outer
        self.paths: dict[str, set[str]] = {}
        self.texts: dict[str, str | None] = {}
        self.blocks: list[set[str]] = [set()]

    def bind(self, name: str) -> None:
        """From here to the end of the block the name is bound."""
        self.blocks[-1].add(name)

    def is_bound(self, name: str) -> bool:
        return any(name in block for block in self.blocks)

    def add_paths(self, name: str, paths: Iterable[str]) -> None:
        self.names.add(name)
        known = self.paths.setdefault(name, set())
        known.update(sorted(paths)[: MAX_PATHS - len(known)])

    def add_text(self, name: str, text: str | None) -> None:
        """A name that is bound twice stands for no certain text."""
        self.texts[name] = None if name in self.texts else text


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope in the order of the text, those of the scopes inside it left out."""
    stack = list(reversed(list(inner_parts(scope))))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, SCOPES):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def inner_parts(scope: ast.AST) -> Iterator[ast.AST]:
    """The parts of a scope's node that are evaluated in the scope itself."""
    if isinstance(scope, ast.Module | ast.ClassDef):
        yield from scope.body
    elif isinstance(scope, FUNCTIONS):
        arguments = scope.args
        yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        yield from (argument for argument in (arguments.vararg, arguments.kwarg) if argument)
        if isinstance(scope.body, list):
            yield from scope.body
        else:
            yield scope.body
    elif isinstance(scope, COMPREHENSIONS):
        yield from (generator.target for generator in scope.generators)


def bound_names(node: ast.AST) -> Iterator[str]:
    """The names that the node itself binds, not those of its children."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
        case (
            ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            yield name


def aliases(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names that the node binds to an expression as it stands, with the expression."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from pairs(target, value)
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.NamedExpr(target=target, value=value)
        ):
            yield from pairs(target, value)
        case (
            ast.For(target=target, iter=ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values))
            | ast.comprehension(target=target, iter=ast.Tuple(elts=values) | ast.List(elts=values))
        ):
            for value in values:
                yield from pairs(target, value)
        case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
            yield from pairs(target, value)


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ast.Tuple(elts=targets) | ast.List(elts=targets), ast.Tuple(elts=values) | ast.List(elts=values):
            for part in zip(targets, values, strict=False):
                yield from pairs(*part)


def default_aliases(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """The parameters that have a default, with the default."""
    positional = [*arguments.posonlyargs, *arguments.args]
    for argument, default in zip(reversed(positional), reversed(arguments.defaults), strict=False):
        yield argument.arg, default
    for argument, keyword_default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if keyword_default:
            yield argument.arg, keyword_default
