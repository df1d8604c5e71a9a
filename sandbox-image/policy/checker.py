"""The visitor that applies the rules of `rules.json` to a syntax tree.

Names and chains of attributes are resolved to dotted paths (`scopes.py` tells how) and looked up. A forbidden
module is reported where it is imported and not again at each use; an allowed module is followed, so
`random._os` counts as `os`. A module that is allowed but for parts of it, as `os` is in `standard`, must not
leave its name, since nobody could tell then which parts are used: it may be imported, renamed and looked
into, but not be put into a list, an attribute, an argument or a result. What cannot be resolved, such as
`x.open()` on an object of the code's own, is judged by the attribute's name alone: dunders that lead into the
interpreter, frames and code objects. Text is looked at too, since `getattr`, `operator.attrgetter` and
`str.format` reach attributes by text, and `eval` runs it; text that is put together while the program runs is
beyond any such check and left to the sandbox.
"""

import ast
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from textwrap import dedent

from policy.files import FIRST_ARGUMENT, FIRST_ARGUMENTS, REMOTE, outside_folder
from policy.rules import MODULES_WITH_RULES, PERMITTED_BY_STANDARD, Rule, load
from policy.scopes import BUILTINS, Scope, aliases, bound_names, default_aliases
from policy.syntax import parse
from policy.texts import fold, is_code, literal_start

# String annotations are code too (`typing.get_type_hints` evaluates them), but never deep.
MAX_ANNOTATION_DEPTH = 20

# Characters of a name in a message; pieces of advice for one import.
MAX_NAME = 80
MAX_ADVICE = 3

# Functions that import what a text names, `os.path` or `os:path`.
IMPORT_FUNCTIONS = {"builtins.__import__", "importlib.import_module", "runpy.run_module"} | {
    "pkgutil.resolve_name",
    "pydoc.locate",
}
CODE_FUNCTIONS = {"builtins.eval", "builtins.exec", "builtins.compile"}
TYPE_EVALUATORS = {"get_type_hints", "eval_str", "__annotations__"}  # by these, any text may be run as a type
MODULE_OPENERS = {"__dict__", "__getattribute__", "__getattr__"}  # give any part of a module
NAMESPACE_FUNCTIONS = {"builtins.globals", "builtins.locals", "builtins.vars"}
NAMESPACE_ATTRIBUTES = {"__dict__", "__globals__", "__builtins__", "f_globals", "f_locals", "f_builtins"}
NAMESPACE_METHODS = {"get", "pop", "setdefault", "__getitem__"}

# What a module may be given to although parts of it are forbidden: none of these reaches into it.
INSPECTING_FUNCTIONS = {
    f"builtins.{name}"
    for name in (
        "bool",
        "callable",
        "dir",
        "hasattr",
        "help",
        "id",
        "isinstance",
        "len",
        "print",
        "repr",
        "str",
        "type",
    )
}

# Functions and methods that yield a path from a path.
PATH_RESULTS = {
    "pathlib.Path.cwd",
    "pathlib.Path.home",
    *(
        f"pathlib.Path().{name}"
        for name in (
            "absolute",
            "expanduser",
            "joinpath",
            "rename",
            "replace",
            "resolve",
            "with_name",
            "with_suffix",
        )
    ),
}

PATH_CLASSES = {"pathlib.Path", "pathlib.PosixPath"}
PATH_LISTS = {f"pathlib.Path().{name}" for name in ("iterdir", "glob", "rglob")}

NAMED_ATTRIBUTE_FUNCTIONS = {
    "builtins.getattr",
    "builtins.setattr",
    "builtins.delattr",
    "unittest.mock.patch.object",
}
NAMED_ATTRIBUTE_METHODS = {"__getattribute__", "__getattr__", "__setattr__", "__delattr__"}
ATTRIBUTE_PATH_FUNCTIONS = {"operator.attrgetter", "operator.methodcaller"}

READING_MODE = re.compile("r[bt]?|[bt]r")
ATTRIBUTE_PATH = re.compile(r"[\w.]+")
CODE_IN_TEXT = re.compile(r"__(import|subclasses)__\s*\(|__(builtins|globals)__\s*[.\[]")
FORMAT_FIELD = re.compile(r"\{([^{}]+)")
FIELD_ATTRIBUTE = re.compile(r"[.\[](\w+)")
HARMLESS_FIELD_CLASS = re.compile(r"\.__class__\.__(name|qualname|module|doc)__")


STANDARD = load("standard")


@dataclass(frozen=True, order=True)
class Violation:
    """`line` counts from 1, `rule` is a stable id, `message` says what is wrong and what to use instead."""

    line: int
    rule: str
    message: str


def check(code: str, profile: str = "strict", inputs: Collection[str] = ()) -> list[Violation]:
    """What in the code breaks the policy, by line; empty if nothing does.

    `inputs` are the names of the files that the program was given: it may open them to read.
    Raises SyntaxError for code that cannot be parsed, hostile text included, and ValueError for an unknown
    profile.
    """
    checker = Checker(profile, inputs)
    checker.visit(parse(code))
    return sorted(set(checker.violations))


def standard_permits(code: str, profile: str) -> bool:
    """Whether code that this profile has refused is one that `standard` permits."""
    return profile != "standard" and not check(code, "standard")


class Checker(ast.NodeVisitor):
    def __init__(self, profile: str, inputs: Collection[str] = ()) -> None:
        self.rules = load(profile)
        self.inputs = frozenset(inputs)
        self.violations: list[Violation] = []
        self.scopes: list[Scope] = []
        self.deleted: set[str] = set()
        self.uses: dict[str, set[str]] = {}
        self.followed: set[int] = set()
        self.has_wildcards = False
        self.evaluates_types = False
        self.defined: set[str] = set()
        self.code_in_texts: list[tuple[ast.AST, str, list[Scope]]] = []

    # Reports

    def report(self, node: ast.AST, name: str, rule: Rule) -> None:
        line = getattr(node, "lineno", 1)
        permitted = PERMITTED_BY_STANDARD if rule.strict_only else ""
        message = f"`{shorten(name)}` is not allowed: {rule.instead}{self.about_inputs(rule)}{permitted}"
        self.violations.append(Violation(line, rule.rule, message))

    def about_inputs(self, rule: Rule) -> str:
        if not self.inputs or rule.rule != "file-access":
            return ""
        return f"; a given file is opened to read by its literal name, such as open({min(self.inputs)!r})"

    def report_structure(self, node: ast.AST, name: str, rule: str) -> None:
        """Reports what breaks the rule, if the profile has it."""
        if found := self.rules.structure.get(rule):
            self.report(node, name, found)

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
            case ast.Call():
                return self.resolve_call(node)
            case ast.NamedExpr(value=value) | ast.BinOp(left=value, op=ast.Div()):
                return self.resolve(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.resolve(body) | self.resolve(orelse)
            case ast.BoolOp(values=parts):
                return self.resolve_all(parts)
            case ast.Subscript(value=ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts)):
                return self.resolve_all(parts)
            case ast.Subscript(value=value, slice=key):
                return self.resolve_key(value, fold(key))
        return set()

    def resolve_call(self, node: ast.Call) -> set[str]:
        """What a call yields: an attribute or module named by text, or an object whose methods have rules."""
        function, functions = node.func, self.resolve(node.func)
        arguments = node.args or [keyword.value for keyword in node.keywords if keyword.arg == "name"]
        match arguments:
            case [value, name_node, *_] if "builtins.getattr" in functions:
                text = fold(name_node)
                return {self.rules.join(path, text) for path in self.resolve(value)} if text else set()
            case [name_node, *_] if functions & IMPORT_FUNCTIONS:
                text = (fold(name_node) or "").replace(":", ".")
                names = {text, text.partition(".")[0]} if "builtins.__import__" in functions else {text}
                return {self.rules.canonical(name) for name in names if name}
            case [value, *_] if "importlib.reload" in functions:
                return self.resolve(value)
        if isinstance(function, ast.Attribute) and function.attr in NAMESPACE_METHODS and arguments:
            return self.resolve_key(function.value, fold(arguments[0]))
        return {
            "pathlib.Path()" if path in PATH_RESULTS else f"{path}()"
            for path in functions
            if path in self.rules.instances or path in PATH_RESULTS
        }

    def resolve_key(self, value: ast.expr, key: str | None) -> set[str]:
        """What a key of a namespace stands for, as in `globals()['os']` and `sys.modules['os']`."""
        if key is None:
            return set()
        match value:  # never deep, so that chains of keys cost no more than they are long
            case ast.Call(func=ast.Name() as function) if self.resolve(function) & NAMESPACE_FUNCTIONS:
                return self.resolve_name(key)
            case ast.Attribute(attr=name) if name in NAMESPACE_ATTRIBUTES:
                return self.resolve_name(key) or self.module_called(key)
            case ast.Name() | ast.Attribute(value=ast.Name()):
                paths = self.resolve(value)
                found = self.module_called(key) if "sys.modules" in paths else set()
                return found | ({f"builtins.{key}"} if "builtins" in paths else set())
        return set()

    def module_called(self, name: str) -> set[str]:
        path = self.rules.canonical(name)
        return {path} if path.partition(".")[0] in MODULES_WITH_RULES else set()

    def resolve_all(self, nodes: list[ast.expr]) -> set[str]:
        return {path for node in nodes for path in self.resolve(node)}

    def resolve_name(self, name: str) -> set[str]:
        scope = self.scope_of(name)
        paths = set(scope.paths.get(name, ())) if scope else set()
        is_own = scope and (scope.is_function or (scope.is_bound(name) and name not in self.deleted))
        if name in BUILTINS and not is_own:
            is_module = name == "__builtins__" and not self.rules.for_path("builtins.__builtins__")
            paths.add("builtins" if is_module else f"builtins.{name}")
        if scope is None and self.has_wildcards:  # `from module import *` also brings what the module imports
            paths |= self.module_called(name)
        return paths

    def text_of(self, name: str) -> str | None:
        """The literal text that the name stands for, if it is bound once and to a literal.

        In `standard` a program may have such a name and not use it in what is run: the sandbox tells.
        """
        scope = self.scope_of(name) if self.rules.profile == "strict" else None
        return scope.texts.get(name) if scope else None

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

    # Modules of which parts are forbidden

    def follow(self, node: ast.expr) -> None:
        """Notes that what a module is used for here can be told: it is looked into, renamed or inspected."""
        self.followed.add(id(node))
        match node:
            case ast.NamedExpr(value=value):
                self.follow(value)
            case ast.IfExp(body=body, orelse=orelse):
                self.follow_all([body, orelse])
            case ast.BoolOp(values=parts):
                self.follow_all(parts)
            case ast.Subscript(value=ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts)):
                self.follow_all(parts)

    def follow_all(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            self.follow(node)

    def check_leaving(self, node: ast.expr, paths: set[str]) -> None:
        """Reports a module of which parts are forbidden where it leaves its name."""
        if id(node) in self.followed:
            return
        if path := min(filter(self.rules.has_forbidden_parts, paths), default=None):
            self.report_structure(node, path, "module-as-value")

    def visit_Expr(self, node: ast.Expr) -> None:
        self.follow(node.value)
        if not isinstance(node.value, ast.Constant):  # docstrings may say what they like
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        if all(isinstance(operator, ast.Is | ast.IsNot | ast.Eq | ast.NotEq) for operator in node.ops):
            self.follow_all([node.left, *node.comparators])
        self.generic_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self.follow(node.value)
        self.generic_visit(node)

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
            if isinstance(part, ast.For | ast.comprehension) and self.yields_paths(part.iter):
                for name in bound_names(part.target):
                    self.learn(name, {"pathlib.Path()"})
            for name, value in aliases(part):
                self.learn(name, self.resolve(value))
                scope.add_text(name, self.file_name(value))
                # What a class binds is an attribute, and `:=` has a value as well.
                if not scope.is_class and not isinstance(part, ast.NamedExpr):
                    self.follow(value)
        yield
        self.scopes.pop()

    def yields_paths(self, node: ast.expr) -> bool:
        """Whether the expression lists a folder; `sorted` and the like of such a list do so too."""
        while isinstance(node, ast.Call):
            if self.resolve(node.func) & PATH_LISTS:
                return True
            node = node.args[0] if node.args else node.func
        return False

    def learn(self, name: str, paths: set[str]) -> None:
        """Remembers what a name stands for, unless that is forbidden and so reported where it is bound."""
        allowed = {path for path in paths if path in self.rules.in_memory or not self.rules.for_path(path)}
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
        for part in ast.walk(node):
            self.look_at(part)
        with self.scope(node):
            self.visit_all(node.body)
            while self.code_in_texts:
                self.check_code(*self.code_in_texts.pop())

    def look_at(self, node: ast.AST) -> None:
        """Notes what has to be known of the whole program before its first line is judged."""
        match node:
            case ast.Name(id=name, ctx=ast.Del()):
                self.deleted.add(name)
            case ast.Name(id=name) if name in TYPE_EVALUATORS:
                self.evaluates_types = True
            case ast.Attribute(value=value, attr=name):
                self.evaluates_types |= name in TYPE_EVALUATORS
                if dotted := dotted_name(value):
                    self.uses.setdefault(dotted.partition(".")[0], set()).add(f"{dotted}.{name}")
            case ast.alias(name=name):
                self.has_wildcards |= name == "*"
                self.evaluates_types |= name in TYPE_EVALUATORS
            case ast.keyword(arg=name):
                self.evaluates_types |= name in TYPE_EVALUATORS
            case ast.Constant(value=str(text)):
                self.evaluates_types |= text in TYPE_EVALUATORS
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self.defined.add(name)

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
        for generator in node.generators:
            self.follow_all(value for _, value in aliases(generator))
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
        self.follow(node.test)
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
            path = self.rules.canonical(alias.name)
            if rule := self.rules.for_path(path):
                self.report(node, path, self.with_advice(rule, path, alias.asname or alias.name))
            else:
                self.check_import_in_class(node, path if alias.asname else path.partition(".")[0])
        self.bind_names(node)

    def with_advice(self, rule: Rule, path: str, name: str) -> Rule:
        """The rule with advice on those parts of the module that the code uses, where the table has any."""
        uses = sorted(self.uses.get(name.partition(".")[0], ()))
        rules = (
            self.rules.for_path(path + use.removeprefix(name)) for use in uses if use.startswith(f"{name}.")
        )
        advice = list(dict.fromkeys(used.instead for used in rules if used and used != rule))[:MAX_ADVICE]
        return replace(rule, instead="; ".join(advice)) if advice else rule

    def check_import_in_class(self, node: ast.AST, path: str) -> None:
        if self.scopes[-1].is_class and self.rules.has_forbidden_parts(path):
            self.report_structure(node, path, "module-as-value")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0:  # there is no package around the program: a relative import fails by itself
            for alias in node.names:
                self.check_imported_name(node, self.rules.canonical(node.module or ""), alias)
        self.bind_names(node)

    def check_imported_name(self, node: ast.ImportFrom, module: str, alias: ast.alias) -> None:
        if alias.name == "*":
            if not self.forbids(node, {module}) and self.rules.has_forbidden_parts(module):
                self.report_structure(node, f"from {module} import *", "wildcard-import")
            return
        path = self.rules.join(module, alias.name)
        if path in self.rules.in_memory:  # judged where it is used
            return
        self.check_import_in_class(node, path)
        if self.forbids(alias, {path}) or self.forbids(alias, {module}):
            return
        if rule := self.rules.for_attribute(alias.name):
            self.report(alias, alias.name, rule)

    # Names, attributes, calls

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind_names(node)
            return
        paths = self.resolve(node)
        if not self.forbids(node, paths):
            self.check_leaving(node, paths)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        paths = self.resolve(node)
        if self.forbids(node, paths):
            return
        self.check_leaving(node, paths)
        self.follow(node.value)
        self.check_attribute(node, node.value, node.attr)
        if not paths:
            self.check_part_of_module(node)
        self.visit(node.value)

    def check_part_of_module(self, node: ast.Attribute) -> None:
        """Reports `self.os.system` and `found['os'].system`, whatever it is that holds the module."""
        match node.value:
            case ast.Attribute(attr=name):
                pass
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                pass
            case _:
                return
        module = self.rules.canonical(name)
        if module in MODULES_WITH_RULES and not STANDARD.for_path(module):
            rule = STANDARD.for_path(f"{module}.{node.attr}")
            if rule and rule.impossible:
                self.report(node, f"{module}.{node.attr}", rule)

    def check_attribute(self, node: ast.AST, value: ast.expr | None, name: str) -> None:
        """Judges an attribute by its name; `value` is the object it is read from, if that can be told."""
        is_dict = name == "__dict__" and self.rules.allowed_dunders is not None
        if is_dict and not self.is_own_object(value):
            self.report(node, name, self.rules.for_dunder(name))
        elif (
            name in MODULE_OPENERS and value and any(map(self.rules.has_forbidden_parts, self.resolve(value)))
        ):
            self.report_structure(node, name, "module-as-value")
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
        self.follow(node.func)
        if functions & INSPECTING_FUNCTIONS:
            self.follow_all(node.args)
        if self.reads_input(node, functions):
            if isinstance(node.func, ast.Attribute):
                self.follow(node.func.value)
                self.visit(node.func.value)
        elif not self.is_vars_of_own_object(node, functions) and not self.is_in_memory(node, functions):
            self.visit(node.func)
        named = self.check_named_attributes(node, functions)
        if not any(self.rules.for_path(path) for path in functions):
            self.check_result(node, functions)
            self.check_paths(node, functions)
            self.check_text_arguments(node, functions)
        self.visit_all([argument for argument in [*node.args, *node.keywords] if argument not in named])

    def check_result(self, node: ast.Call, functions: set[str]) -> None:
        """Judges what is imported by name as an import."""
        if functions & NAMED_ATTRIBUTE_FUNCTIONS:  # judged by `check_named_attributes`
            return
        paths = self.resolve(node)
        if not self.forbids(node, paths):
            self.check_leaving(node, paths)

    def is_in_memory(self, node: ast.Call, functions: set[str]) -> bool:
        """Whether a function that opens files is given a buffer instead."""
        if not functions or not functions <= self.rules.in_memory:
            return False
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        name = node.args[0] if node.args else given.get("filename")
        if name is None or (isinstance(name, ast.Constant) and name.value is None):
            return "fileobj" in given
        return self.resolve(name) == {"io.BytesIO()"}

    def reads_input(self, node: ast.Call, functions: set[str]) -> bool:
        """Whether a file that the program was given is opened by its name, in a mode that reads."""
        if not self.inputs or not functions or not functions <= self.rules.readers:
            return False
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        arguments = list(node.args)
        if None in given or "opener" in given or any(isinstance(part, ast.Starred) for part in arguments):
            return False
        name: ast.expr | None
        if isinstance(node.func, ast.Attribute) and all(path.endswith("().open") for path in functions):
            name = node.func.value
        else:
            name = arguments.pop(0) if arguments else given.get("file", given.get("filename"))
        mode = arguments[0] if arguments else given.get("mode")
        is_read = mode is None or READING_MODE.fullmatch(fold(mode) or "") is not None
        text = self.file_name(name) if name is not None else None
        return is_read and text is not None and posixpath.normpath(text) in self.inputs

    def file_name(self, node: ast.expr) -> str | None:
        """The text of a file's name that stands there as a literal, by a name of it, or as a path of it."""
        match node:
            case ast.Name(id=name):
                return self.text_of(name)
            case ast.Call(args=[argument], keywords=[]) if self.resolve(node) == {"pathlib.Path()"}:
                return self.file_name(argument) if self.resolve(node.func) & PATH_CLASSES else None
        return fold(node)

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
        if value is not None:
            self.follow(value)
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
        """Judges names of files that are given to a function, or to a method that writes its object."""
        if any(path in self.rules.path_functions for path in functions):
            arguments = node.args[:FIRST_ARGUMENTS]
        elif not functions and self.is_writing_method(node.func):
            arguments = node.args[:FIRST_ARGUMENT]
        else:
            return
        keywords = [keyword.value for keyword in node.keywords if keyword.arg in self.rules.path_keywords]
        for argument in [*arguments, *keywords]:
            self.check_path(argument)

    def check_path(self, argument: ast.expr) -> None:
        text = literal_start(argument) or ""
        if REMOTE.match(text):
            self.report_structure(argument, text, "network")
        elif outside := outside_folder(argument, self.resolve, self.text_of):
            self.report_structure(argument, outside, "path-outside-folder")

    def is_writing_method(self, function: ast.expr) -> bool:
        return (
            isinstance(function, ast.Attribute)
            and function.attr in self.rules.path_methods
            and function.attr not in self.defined
        )

    def check_text_arguments(self, node: ast.Call, functions: set[str]) -> None:
        """Judges text that a function runs: a rule of its own in `strict`, else by what it says."""
        arguments = [*node.args[:2], *(keyword.value for keyword in node.keywords)]
        for path in functions & (self.rules.text_as_code | CODE_FUNCTIONS):
            if "text-as-code" not in self.rules.structure:
                for text in filter(None, map(fold, arguments)):
                    self.code_in_texts.append((node, text, list(self.scopes)))
            elif any(literal_start(argument) is not None for argument in arguments):
                self.report_structure(node, f"{path} of text", "text-as-code")

    def check_code(self, place: ast.AST, text: str, scopes: list[Scope]) -> None:
        """Judges text that is run as code; what is wrong with it is reported at its place in the program."""
        try:
            tree = parse(dedent(text).strip())
        except SyntaxError:
            return  # text that cannot be parsed cannot be run
        for part in ast.walk(tree):
            self.look_at(part)
            if isinstance(part, ast.stmt | ast.expr | ast.alias):
                part.lineno = getattr(place, "lineno", 1)
        whole, self.scopes = self.scopes, scopes
        with self.scope(tree):
            self.visit_all(tree.body)
        self.scopes = whole

    def visit_keyword(self, node: ast.keyword) -> None:
        is_off = isinstance(node.value, ast.Constant) and node.value.value is False
        if node.arg == "allow_pickle" and not is_off:
            self.report_structure(node, "allow_pickle", "pickled-arrays")
        self.visit(node.value)

    # Text

    def visit_text(self, node: ast.expr) -> None:
        text = fold(node)
        if text is None:
            self.generic_visit(node)
        else:
            self.check_text(node, text)

    visit_Constant = visit_text
    visit_JoinedStr = visit_text

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div) and "pathlib.Path()" in self.resolve(node.left):
            self.check_path(node.right)
        self.visit_text(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        paths = self.resolve(node)
        if not self.forbids(node, paths):
            self.check_leaving(node, paths)
            self.visit_text(node)

    def check_text(self, node: ast.AST, text: str) -> None:
        """Finds names and paths of attributes, code, and formats that walk attributes."""
        if "attribute-in-text" not in self.rules.structure:
            return
        if ATTRIBUTE_PATH.fullmatch(text):
            for name in self.rules.never_as_text.intersection(text.split(".")):
                self.report_structure(node, name, "attribute-in-text")
            return
        if code := CODE_IN_TEXT.search(text):
            self.report_structure(node, code[0], "attribute-in-text")
            return
        if self.evaluates_types and is_code(text):
            self.code_in_texts.append((node, text, list(self.scopes)))
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


def dotted_name(node: ast.expr) -> str | None:
    """`a.b` for the expression `a.b`; None for what is no chain of names."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{whole}.{name}" if (whole := dotted_name(value)) else None
    return None


def shorten(text: str) -> str:
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
