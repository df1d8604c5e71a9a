"""Prints as JSON what modules that `strict` allows hold of what it forbids: `{"enum.bltns": "builtins", …}`.

Imports each module of the standard library and each package named on the command line, which is why it is a
program of its own.
"""

import importlib
import json
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterator

from policy.rules import TABLE, Rules, load

# These do something when they are imported, or are no part of what programs use.
LEFT_OUT = {
    "__main__",
    "antigravity",
    "idlelib",
    "lib2to3",
    "test",
    "this",
    "tkinter",
    "turtle",
    "turtledemo",
}

# Forbidden with their modules, and no harm by themselves.
HARMLESS = {"os.urandom", "sys.getsizeof"}


def modules_of(package: str) -> Iterator[types.ModuleType]:
    """The module and what is below it, as far as it can be imported."""
    names = [package]
    module = load_module(package)
    if module is not None and hasattr(module, "__path__"):
        if package in sys.stdlib_module_names:
            names += [found.name for found in pkgutil.walk_packages(module.__path__, f"{package}.")]
        else:
            names += [name for name in sys.modules if name.startswith(f"{package}.")]
    for name in names:
        if "__main__" not in name and "test" not in name and (found := load_module(name)) is not None:
            yield found


def load_module(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except (ImportError, SystemExit, OSError, AttributeError):
        return None


def forbidden_objects(rules: Rules) -> dict[int, str]:
    """By identity: each module that is forbidden as a whole, and each function or class that has a rule."""
    found: dict[int, str] = {}
    for entry in TABLE["names"]:
        for name in entry["names"]:
            if "strict" not in entry["profiles"] or name.endswith("*") or "(" in name:
                continue
            module, _, attribute = name.rpartition(".")
            whole = load_module(name) if name.split(".")[0] not in LEFT_OUT else None
            value = whole or getattr(load_module(module) if module else None, attribute, None)
            if (whole or callable(value)) and name not in HARMLESS:
                found[id(value)] = name
    for name in list(sys.modules):
        if name.partition(".")[0] in sys.stdlib_module_names and rules.for_path(rules.canonical(name)):
            found[id(sys.modules[name])] = name
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    rules = load("strict")
    names = sorted((sys.stdlib_module_names - LEFT_OUT) | set(sys.argv[1:]))
    modules = [
        module for name in names if not rules.for_path(rules.canonical(name)) for module in modules_of(name)
    ]
    forbidden = forbidden_objects(rules)
    print(
        json.dumps(
            {
                f"{module.__name__}.{name}": forbidden[id(value)]
                for module in modules
                if not rules.for_path(rules.canonical(module.__name__))
                for name, value in sorted(vars(module).items())
                if id(value) in forbidden and name.isidentifier()
            }
        )
    )


if __name__ == "__main__":
    main()
