"""The visitor that applies the rules of `rules.json` to a syntax tree.

Names and chains of attributes are resolved to dotted paths (`scopes.py` tells how) and looked up. A forbidden
module is reported where it is imported and not again at each use; an allowed module is followed, so
`random._os` counts as `os`. What cannot be resolved, such as `x.open()` on an object of the code's own, is
judged by the attribute's name alone: dunders that lead into the interpreter, frames and code objects. Text is
looked at too, since `getattr`, `operator.attrgetter` and `str.format` reach attributes by text; text that is
put together while the program runs is beyond any such check and left to the sandbox.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from policy.rules import Rule, load
from policy.scopes import BUILTINS, Scope, aliases, bound_names, default_aliases
from policy.syntax import parse

# String annotations are code too (`typing.get_type_hints` evaluates them), but never deep.
MAX_ANNOTATION_DEPTH = 20

# Characters: of a name in a message, and of all separators of a `join` that is looked into.
MAX_NAME = 80
MAX_SEPARATORS = 10_000

NAMED_ATTRIBUTE_FUNCTIONS = {"builtins.getattr", "builtins.setattr", "builtins.delattr"}
NAMED_ATTRIBUTE_METHODS = {"__getattribute__", "__getattr__", "__setattr__", "__delattr__"}
ATTRIBUTE_PATH_FUNCTIONS = {"operator.attrgetter", "operator.methodcaller"}

ATTRIBUTE_PATH = re.compile(r"[\w.]+")
CODE_IN_TEXT = re.compile(r"__(import|subclasses)__\s*\(|__(builtins|globals)__\s*[.\[]")
FORMAT_FIELD = re.compile(r"\{([^{}]+)")
FIELD_ATTRIBUTE = re.compile(r"[.\[](\w+)")
HARMLESS_FIELD_CLASS = re.compile(r"\.__class__\.__(name|qualname|module|doc)__")
REMOTE = re.compile(r"(https?|ftp|s3)://", re.IGNORECASE)
OUTSIDE = re.compile(r"[/~]|[a-z]:[/\\]|(.*[/\\])?\.\.([/\\]|$)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, order=True)
class Violation:
    """`line` counts from 1, `rule` is a stable id, `message` says what is wrong and what to use instead."""

    line: int
    rule: str
    message: str


def check(code: str, profile: str = "strict") -> list[Violation]:
    """What in the code breaks the policy, by line; empty if nothing does.

    Raises SyntaxError for code that cannot be parsed, hostile text included, and ValueError for an unknown
    profile.
    """
    checker = Checker(profile)
    checker.visit(parse(code))
    return sorted(set(checker.violations))


class Checker(ast.NodeVisitor):
    def __init__(self, profile: str) -> None:
        self.rules = load(profile)
        self.violations: list[Violation] = []
        self.scopes: list[Scope] = []
        self.deleted: set[str] = set()

    # Reports

    def report(self, node: ast.AST, name: str, rule: Rule) -> None:
        line = getattr(node, "lineno", 1)
        message = f"`{shorten(name)}` is not allowed: {rule.instead}"
        self.violations.append(Violation(line, rule.rule, message))

    def report_structure(self, node: ast.AST, name: str, rule: str) -> None:
        self.report(node, name, self.rules.structure[rule])

    def forbids(self, node: ast.AST, paths: set[str]) -> bool:
        """Reports the first of the dotted paths that is forbidden, if one is."""
        for path in sorted(paths):
            if rule := self.rules.for_path(path):
                self.report(node, path.removeprefix("builtins."), rule)
                return True
        return False

    # Resolving

    def resolve(self, node: ast.expr) -> set[str]:
        """The modules, parts of modules and built-in functions that the expression may stand for."""
        match node:
            case ast.Name(id=name):
                return self.resolve_name(name)
            case ast.Attribute(value=value, attr=name):
                return {self.rules.join(path, name) for path in self.resolve(value)}
            case ast.Call(func=function, args=[value, name_node, *_]):
                text = fold(name_node)
                if text and "builtins.getattr" in self.resolve(function):
                    return {self.rules.join(path, text) for path in self.resolve(value)}
            case ast.NamedExpr(value=value):
                return self.resolve(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.resolve(body) | self.resolve(orelse)
            case ast.BoolOp(values=parts):
                return self.resolve_all(parts)
            case ast.Subscript(value=ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts)):
                return self.resolve_all(parts)
        return set()

    def resolve_all(self, nodes: list[ast.expr]) -> set[str]:
        return {path for node in nodes for path in self.resolve(node)}

    def resolve_name(self, name: str) -> set[str]:
        scope = self.scope_of(name)
        paths = set(scope.paths.get(name, ())) if scope else set()
        is_own = scope and (scope.is_function or (scope.is_bound(name) and name not in self.deleted))
        if name in BUILTINS and not is_own:
            paths.add(f"builtins.{name}")
        return paths

    def scope_of(self, name: str) -> Scope | None:
        """The innermost scope that binds the name, as Python looks it up."""
        innermost = self.scopes[-1]
        if name in innermost.globals:
            return self.scopes[0] if name in self.scopes[0].names else None
        for scope in reversed(self.scopes):
            if name in scope.names and (scope is innermost or not scope.is_class):
                return scope
        return None

    def is_own_object(self, node: ast.expr | None) -> bool:
        """Whether the expression starts from a name of the code's own: no module, no built-in type."""
        if node is None or self.resolve(node):
            return False
        while not isinstance(node, ast.Name):
            match node:
                case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(func=inner):
                    node = inner
                case _:
                    return False
        return not self.resolve(node)

    # Scopes and blocks

    @contextmanager
    def scope(self, node: ast.AST, defaults: dict[str, set[str]] | None = None) -> Iterator[None]:
        scope = Scope(node)
        self.scopes.append(scope)
        for name, paths in (defaults or {}).items():
            self.learn(name, paths)
        for part in [*scope.nodes, *getattr(node, "generators", [])]:
            if isinstance(part, ast.Import | ast.ImportFrom):
                for name, path in self.imports(part):
                    self.learn(name, {path})
            for name, value in aliases(part):
                self.learn(name, self.resolve(value))
        yield
        self.scopes.pop()

    def learn(self, name: str, paths: set[str]) -> None:
        """Remembers what a name stands for, unless that is forbidden and so reported where it is bound."""
        allowed = {path for path in paths if not self.rules.for_path(path)}
        if allowed:
            (self.scope_of(name) or self.scopes[0]).add_paths(name, allowed)

    def visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def branches(self, *branches: Sequence[ast.AST]) -> None:
        """Visits blocks of which one is run. What every one of them binds is bound after them."""
        blocks = self.scopes[-1].blocks
        bound: list[set[str]] = []
        for branch in branches:
            blocks.append(set())
            self.visit_all(branch)
            bound.append(blocks.pop())
        blocks[-1].update(set.intersection(*bound))

    def visit_Module(self, node: ast.Module) -> None:
        self.deleted = {
            part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Del)
        }
        with self.scope(node):
            self.visit_all(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords, *getattr(node, "type_params", [])])
        with self.scope(node):
            self.visit_all(node.body)
        self.scopes[-1].bind(node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all([*node.decorator_list, *getattr(node, "type_params", [])])
        self.visit_signature(node.args)
        self.visit_annotation(node.returns)
        self.scopes[-1].bind(node.name)
        defaults = {name: self.resolve(value) for name, value in default_aliases(node.args)}
        with self.scope(node, defaults):
            self.visit_all(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_signature(node.args)
        defaults = {name: self.resolve(value) for name, value in default_aliases(node.args)}
        with self.scope(node, defaults):
            self.visit(node.body)

    def visit_signature(self, arguments: ast.arguments) -> None:
        self.visit_all([default for default in [*arguments.defaults, *arguments.kw_defaults] if default])
        for argument in ast.iter_child_nodes(arguments):
            if isinstance(argument, ast.arg):
                self.visit_annotation(argument.annotation)

    def visit_comprehension_scope(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        first = node.generators[0].iter
        self.visit(first)
        with self.scope(node):
            for generator in node.generators:
                self.visit_all([part for part in (generator.iter, *generator.ifs) if part is not first])
            self.visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_ListComp = visit_comprehension_scope
    visit_SetComp = visit_comprehension_scope
    visit_DictComp = visit_comprehension_scope
    visit_GeneratorExp = visit_comprehension_scope

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.branches(node.body, [*node.orelse])

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self.branches(node.body, [])
        self.branches(node.orelse, [])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.branches([node.target, *node.body], [])
        self.branches(node.orelse, [])

    visit_AsyncFor = visit_For

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        # A context manager may swallow an exception, so the body may end early.
        self.branches([*node.items, *node.body], [])

    visit_AsyncWith = visit_With

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        self.branches([*node.body, *node.orelse], *([handler] for handler in node.handlers))
        self.visit_all(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.bind_names(node)
        self.generic_visit(node)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        self.branches([], *([case] for case in node.cases))

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        self.bind_names(node)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs
    visit_MatchMapping = visit_MatchAs

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        # Bound only if its part of the expression is evaluated: does not count in a module or class.
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit_all([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_annotation(node.annotation)
        if node.value:
            self.visit_all([node.value, node.target])
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def bind_names(self, node: ast.AST) -> None:
        for name in bound_names(node):
            self.scopes[-1].bind(name)

    # Imports

    def imports(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
        """The names that an import binds, with the dotted paths they stand for."""
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                path = self.rules.join(self.rules.canonical(node.module or ""), alias.name)
            else:
                path = self.rules.canonical(alias.name if alias.asname else alias.name.partition(".")[0])
            yield alias.asname or alias.name.partition(".")[0], path

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.forbids(node, {self.rules.canonical(alias.name)})
        self.bind_names(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0:  # there is no package around the program: a relative import fails by itself
            for alias in node.names:
                self.check_imported_name(node, self.rules.canonical(node.module or ""), alias)
        self.bind_names(node)

    def check_imported_name(self, node: ast.ImportFrom, module: str, alias: ast.alias) -> None:
        if alias.name == "*":
            if not self.forbids(node, {module}) and module not in self.rules.wildcard_allowed:
                self.report_structure(node, f"from {module} import *", "wildcard-import")
        elif self.forbids(alias, {self.rules.join(module, alias.name)}) or self.forbids(alias, {module}):
            return
        elif rule := self.rules.for_attribute(alias.name):
            self.report(alias, alias.name, rule)

    # Names, attributes, calls

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.forbids(node, self.resolve(node))
        else:
            self.bind_names(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self.forbids(node, self.resolve(node)):
            self.check_attribute(node, node.value, node.attr)
            self.visit(node.value)

    def check_attribute(self, node: ast.AST, value: ast.expr | None, name: str) -> None:
        """Judges an attribute by its name; `value` is the object it is read from, if that can be told."""
        if name == "__dict__" and not self.is_own_object(value):
            self.report(node, name, Rule("dunder-attribute", self.rules.dunder_advice[name]))
        elif rule := self.rules.for_attribute(name):
            is_private = isinstance(value, ast.Name) and value.id in ("self", "cls")
            if not (is_private and rule.rule == "reexported-module"):
                self.report(node, name, rule)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for name in node.kwd_attrs:
            self.check_attribute(node, None, name)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        text = fold(node)
        if text is not None:
            self.check_text(node, text)
            return
        functions = self.resolve(node.func)
        if not self.is_vars_of_own_object(node, functions):
            self.visit(node.func)
        named = self.check_named_attributes(node, functions)
        if not any(self.rules.for_path(path) for path in functions):
            self.check_paths(node, functions)
            self.check_text_arguments(node, functions)
        self.visit_all([argument for argument in [*node.args, *node.keywords] if argument not in named])

    def is_vars_of_own_object(self, node: ast.Call, functions: set[str]) -> bool:
        return functions == {"builtins.vars"} and len(node.args) == 1 and self.is_own_object(node.args[0])

    def check_named_attributes(self, node: ast.Call, functions: set[str]) -> list[ast.expr]:
        """Checks attributes that a call names by text, as `getattr` does. Returns the arguments judged."""
        value: ast.expr | None = None
        if functions & NAMED_ATTRIBUTE_FUNCTIONS and len(node.args) >= 2:
            value = node.args[0]
            candidates = [node.args[1]]
        elif isinstance(node.func, ast.Attribute) and node.func.attr in NAMED_ATTRIBUTE_METHODS:
            candidates = node.args[:2]
        elif functions & ATTRIBUTE_PATH_FUNCTIONS:
            candidates = node.args
        else:
            return []
        if self.forbids(node, self.resolve(node)):
            return candidates
        texts = {candidate: text for candidate in candidates if (text := fold(candidate)) is not None}
        for text in texts.values():
            for name in text.split("."):
                self.check_attribute(node, value, name)
        if value and not texts:
            for path in self.resolve(value):
                if self.rules.has_forbidden_parts(path):
                    self.report_structure(node, f"getattr({path}, …)", "computed-attribute")
        return list(texts)

    def check_paths(self, node: ast.Call, functions: set[str]) -> None:
        if not any(self.rules.takes_path(path) for path in functions):
            return
        keywords = [keyword.value for keyword in node.keywords if keyword.arg in self.rules.path_keywords]
        for argument in [*node.args[:2], *keywords]:
            text = literal_start(argument) or ""
            if REMOTE.match(text):
                self.report_structure(argument, text, "network")
            elif OUTSIDE.match(text):
                self.report_structure(argument, text, "path-outside-folder")

    def check_text_arguments(self, node: ast.Call, functions: set[str]) -> None:
        for path in functions & self.rules.text_as_code:
            arguments = [*node.args[:2], *(keyword.value for keyword in node.keywords)]
            if any(literal_start(argument) is not None for argument in arguments):
                self.report_structure(node, f"{path} of text", "text-as-code")

    def visit_keyword(self, node: ast.keyword) -> None:
        is_off = isinstance(node.value, ast.Constant) and node.value.value is False
        if node.arg == "allow_pickle" and not is_off:
            self.report_structure(node, "allow_pickle", "pickled-arrays")
        self.visit(node.value)

    # Text

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # docstrings may say what they like
            self.visit(node.value)

    def visit_text(self, node: ast.expr) -> None:
        text = fold(node)
        if text is None:
            self.generic_visit(node)
        else:
            self.check_text(node, text)

    visit_Constant = visit_text
    visit_BinOp = visit_text
    visit_JoinedStr = visit_text
    visit_Subscript = visit_text

    def check_text(self, node: ast.AST, text: str) -> None:
        """Finds names and paths of attributes, code, and formats that walk attributes."""
        if ATTRIBUTE_PATH.fullmatch(text):
            for name in self.rules.never_as_text.intersection(text.split(".")):
                self.report_structure(node, name, "attribute-in-text")
            return
        if code := CODE_IN_TEXT.search(text):
            self.report_structure(node, code[0], "attribute-in-text")
            return
        for field in FORMAT_FIELD.findall(text):
            for name in FIELD_ATTRIBUTE.findall(HARMLESS_FIELD_CLASS.sub("", field)):
                if self.rules.for_attribute(name) or name in ("__class__", "__dict__"):
                    self.report_structure(node, f"{{{field}}}", "attribute-in-text")

    def visit_annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        self.visit(node)
        for part, text in annotation_texts(node):
            try:
                tree = parse(text, MAX_ANNOTATION_DEPTH)
            except SyntaxError:
                continue  # text that cannot be parsed cannot be run
            for inner in ast.walk(tree):
                if isinstance(inner, ast.expr):
                    inner.lineno = part.lineno
                    inner.end_lineno = part.end_lineno
            for statement in tree.body:
                if isinstance(statement, ast.Expr):
                    self.visit(statement.value)


def annotation_texts(node: ast.expr) -> Iterator[tuple[ast.Constant, str]]:
    """The texts in an annotation that stand for types: not those in `Literal[…]` and `Annotated[…]`."""
    match node:
        case ast.Constant(value=str(text)):
            yield node, text
        case ast.Subscript(
            value=ast.Name(id="Literal" | "Annotated") | ast.Attribute(attr="Literal" | "Annotated")
        ):
            return
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    yield from annotation_texts(child)


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


def shorten(text: str) -> str:
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
