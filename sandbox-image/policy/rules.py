"""Reads `rules.json` and answers what one profile forbids.

Things are known by dotted path: `os.system`, `numpy.ctypeslib`, `builtins.eval` for a built-in function. A
rule for `os` holds for everything below it, the longest matching rule gives the message, and a name that ends
in `*` stands for all that begin so. A leading underscore of a module is ignored, since `_socket` is `socket`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("rules.json").read_text("utf-8"))

# The longest dotted path in the table, in parts.
MAX_PARTS = max(name.count(".") for entry in TABLE["names"] for name in entry["names"]) + 1

PROFILES: tuple[str, ...] = tuple(TABLE["profiles"])


@dataclass(frozen=True)
class Rule:
    rule: str
    instead: str


@dataclass(frozen=True)
class Rules:
    names: dict[str, Rule]
    stems: dict[str, Rule]
    attributes: dict[str, Rule]
    allowed_dunders: frozenset[str]
    never_as_text: frozenset[str]
    dunder_advice: dict[str, str]
    structure: dict[str, Rule]
    reexported: frozenset[str]
    path_functions: frozenset[str]
    path_modules: frozenset[str]
    path_keywords: frozenset[str]
    text_as_code: frozenset[str]
    wildcard_allowed: frozenset[str]

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
        if is_dunder(name) and name not in self.allowed_dunders:
            rule = self.structure["dunder-attribute"]
            return Rule(rule.rule, self.dunder_advice.get(name, rule.instead))
        return self.attributes.get(name)

    def has_forbidden_parts(self, module: str) -> bool:
        """Whether the module is allowed but something in it is not."""
        return any(name.startswith(f"{module}.") for name in [*self.names, *self.stems])

    def takes_path(self, path: str) -> bool:
        """Whether the function of this dotted path takes names of files as its arguments."""
        return path in self.path_functions or path.partition(".")[0] in self.path_modules

    def join(self, path: str, name: str) -> str:
        """The path of attribute `name` of `path`. A module reached through another one counts as itself."""
        module = module_name(name)
        if module in self.reexported:
            return module
        return f"{path}.{name}" if path.count(".") < MAX_PARTS else path

    def canonical(self, dotted: str) -> str:
        """The path that the dotted name of an import statement stands for."""
        first, *rest = dotted.split(".")
        path = module_name(first)
        for name in rest:
            path = self.join(path, name)
        return path


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
    dunders = TABLE["dunders"]
    return Rules(
        names={name: rule for name, rule in names.items() if not name.endswith("*")},
        stems={name.removesuffix("*"): rule for name, rule in names.items() if name.endswith("*")},
        attributes=named_rules("attributes", profile),
        allowed_dunders=frozenset(name for group in dunders["allowed"].values() for name in group),
        never_as_text=frozenset(dunders["never_as_text"]),
        dunder_advice=dunders["instead"],
        structure={rule: Rule(rule, instead) for rule, instead in TABLE["structure"].items()},
        reexported=frozenset(TABLE["reexported"]),
        path_functions=frozenset(TABLE["paths"]["functions"]),
        path_modules=frozenset(TABLE["paths"]["modules"]),
        path_keywords=frozenset(TABLE["paths"]["keywords"]),
        text_as_code=frozenset(TABLE["text_as_code"]),
        wildcard_allowed=frozenset(TABLE["wildcard_allowed"]),
    )


def named_rules(section: str, profile: str) -> dict[str, Rule]:
    return {
        name: Rule(entry["rule"], entry["instead"])
        for entry in TABLE[section]
        if profile in entry["profiles"]
        for name in entry["names"]
    }
