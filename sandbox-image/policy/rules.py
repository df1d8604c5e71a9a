"""Reads `rules.json` and answers what one profile forbids.

Things are known by dotted path: `os.system`, `numpy.ctypeslib`, `builtins.eval` for a built-in function, and
`pathlib.Path().open` for a method of an object that the code has made. A rule for `os` holds for everything
below it, the longest matching rule gives the message, and a name that ends in `*` stands for all that begin
so. A leading underscore of a module is ignored, since `_socket` is `socket`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("rules.json").read_text("utf-8"))

# The longest dotted path in the table, in parts.
MAX_PARTS = 1 + max(
    name.count(".")
    for names in (*(entry["names"] for entry in TABLE["names"]), TABLE["paths"]["functions"])
    for name in names
)

PROFILES: tuple[str, ...] = tuple(TABLE["profiles"])

# Follows a message about what `strict` alone forbids.
PERMITTED_BY_STANDARD = " (policy `standard` allows it)"


@dataclass(frozen=True)
class Rule:
    """What to do instead of something forbidden.

    `impossible` is what no profile allows, since the sandbox has none; `strict_only` what `standard` permits.
    """

    rule: str
    instead: str
    impossible: bool = False
    strict_only: bool = False


@dataclass(frozen=True)
class Paths:
    """A set of dotted paths; `networkx.write_*` stands for all that begin so."""

    names: frozenset[str]
    stems: tuple[str, ...]

    def __contains__(self, path: str) -> bool:
        return path in self.names or path.startswith(self.stems)


@dataclass(frozen=True)
class Rules:
    profile: str
    names: dict[str, Rule]
    stems: dict[str, Rule]
    modules: frozenset[str]
    attributes: dict[str, Rule]
    allowed_dunders: frozenset[str] | None
    never_as_text: frozenset[str]
    dunder_advice: dict[str, str]
    structure: dict[str, Rule]
    other_names: dict[str, str]
    reexported: frozenset[str]
    modules_of_their_own: frozenset[str]
    instances: frozenset[str]
    in_memory: frozenset[str]
    readers: frozenset[str]
    path_functions: Paths
    path_methods: frozenset[str]
    path_keywords: frozenset[str]
    text_as_code: frozenset[str]

    def for_path(self, path: str) -> Rule | None:
        """The rule that forbids the dotted path, or None. What is in a forbidden module is forbidden."""
        for prefix in prefixes(path):
            if prefix in self.names:
                return self.names[prefix]
            for stem, rule in self.stems.items():
                if prefix.startswith(stem):
                    return rule
        return None

    def for_attribute(self, name: str) -> Rule | None:
        """The rule that forbids reading an attribute of this name from any object, or None."""
        if self.allowed_dunders is not None and is_dunder(name) and name not in self.allowed_dunders:
            return self.for_dunder(name)
        return self.attributes.get(name)

    def for_dunder(self, name: str) -> Rule:
        rule = self.structure["dunder-attribute"]
        return replace(rule, instead=self.dunder_advice.get(name, rule.instead))

    def has_forbidden_parts(self, module: str) -> bool:
        """Whether the module is one of the standard library that is allowed but for something in it."""
        return module in self.modules

    def join(self, path: str, name: str) -> str:
        """The path of attribute `name` of `path`. A module reached through another one counts as itself.

        Modules of the standard library import each other under their own names; elsewhere `scipy.signal` and
        `numpy.trace` are namesakes, and only a leading underscore or the most usual names tell.
        """
        whole = f"{path}.{name}"
        if whole in self.other_names:
            return self.other_names[whole]
        module = module_name(name)
        is_own = module == path or whole in self.names or whole in self.modules_of_their_own
        if not is_own and "(" not in path:
            is_known = name.startswith("_") or (is_of_standard_library(path) and not is_class(path))
            if module in self.reexported or (is_known and module in MODULES_WITH_RULES):
                return self.other_names.get(module, module)
        return whole if path.count(".") < MAX_PARTS else path

    def canonical(self, dotted: str) -> str:
        """The path that the dotted name of an import statement stands for."""
        first, *rest = dotted.split(".")
        path = module_name(first)
        path = self.other_names.get(path, path)
        for name in rest:
            path = self.join(path, name)
        return path


# Modules of which something is forbidden in some profile.
MODULES_WITH_RULES = frozenset(
    name.partition(".")[0] for entry in TABLE["names"] for name in entry["names"] if not name.endswith("*")
) - {"builtins"}


def is_class(path: str) -> bool:
    """As far as its name tells."""
    return path.rpartition(".")[2][:1].isupper()


def is_of_standard_library(path: str) -> bool:
    top = path.partition(".")[0]
    return top in sys.stdlib_module_names or f"_{top}" in sys.stdlib_module_names


def is_dunder(name: str) -> bool:
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def module_name(name: str) -> str:
    """`socket` for `_socket`; other names as they are."""
    return name[1:] if name.startswith("_") and not name.startswith("__") else name


def prefixes(path: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`, from the longest that a rule can have; a built-in function is not in a module."""
    parts = path.split(".", MAX_PARTS)[:MAX_PARTS]
    shortest = 2 if path.startswith("builtins.") else 1
    for length in range(len(parts), shortest - 1, -1):
        yield ".".join(parts[:length])


@cache
def load(profile: str) -> Rules:
    """The rules of a profile. An unknown profile is a ValueError that names the known ones."""
    if profile not in PROFILES:
        raise ValueError(f"unknown policy {profile!r}: use one of {', '.join(PROFILES)}")
    names = named_rules("names", profile)
    dunders, paths = TABLE["dunders"], TABLE["paths"]
    structure = {
        rule: make_rule(rule, entry)
        for rule, entry in TABLE["structure"].items()
        if profile in entry["profiles"]
    }
    return Rules(
        profile=profile,
        names={name: rule for name, rule in names.items() if not name.endswith("*")},
        stems={name.removesuffix("*"): rule for name, rule in names.items() if name.endswith("*")},
        modules=frozenset(
            prefix
            for name in names
            for prefix in prefixes(name)
            if prefix not in (name, "builtins") and "(" not in prefix and is_of_standard_library(prefix)
        )
        # Their forbidden parts are submodules, which are judged where they are imported.
        - frozenset(TABLE["passed_on"]),
        attributes=named_rules("attributes", profile),
        allowed_dunders=(
            frozenset(name for group in dunders["allowed"].values() for name in group)
            if "dunder-attribute" in structure
            else None
        ),
        never_as_text=frozenset(dunders["never_as_text"]),
        dunder_advice=dunders["instead"],
        structure=structure,
        other_names=TABLE["modules_by_other_names"],
        reexported=frozenset(TABLE["reexported"]),
        modules_of_their_own=frozenset(TABLE["modules_of_their_own"]),
        instances=frozenset(TABLE["instances"]),
        in_memory=frozenset(TABLE["in_memory"]),
        readers=frozenset(TABLE["readers"]),
        path_functions=paths_of(paths["functions"]),
        path_methods=frozenset(paths["methods"]),
        path_keywords=frozenset(paths["keywords"]),
        text_as_code=frozenset(TABLE["text_as_code"]),
    )


def named_rules(section: str, profile: str) -> dict[str, Rule]:
    return {
        name: make_rule(entry["rule"], entry)
        for entry in TABLE[section]
        if profile in entry["profiles"]
        for name in entry["names"]
    }


def make_rule(rule: str, entry: dict[str, Any]) -> Rule:
    impossible = rule in TABLE["impossible"]
    return Rule(rule, entry["instead"], impossible, not impossible and "standard" not in entry["profiles"])


def paths_of(names: Iterable[str]) -> Paths:
    return Paths(
        frozenset(name for name in names if not name.endswith("*")),
        tuple(name.removesuffix("*") for name in names if name.endswith("*")),
    )
