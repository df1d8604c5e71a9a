"""What the verdict relies on, as it was before the code ran.

Tests are judged in the process that the code has lived in, with the same library: what the code assigned to
`json.loads`, `unittest.TestCase.assertEqual` or `builtins.isinstance` would judge it. Three things keep the
verdict apart from that:

- The harness looks up built-in names in a copy of `builtins` that nothing else refers to,
  and its modules are in no table of modules.
- Before tests are run, what the code replaced is put back: functions, classes and other objects that were
  attributes of a module or a class, the code of functions, modules in `sys.modules`, trace functions.
  State, such as numbers, texts and containers, and hooks that are made to be replaced (`sys.stdout`,
  `builtins.input`, `JSONEncoder.default`) stay as the code has left them; so do attributes that it added,
  unless they would hide others.
- While tests run, the code can assign to no module and no class of what judges them; see `Seal`.

This holds against all that an assignment can do. It does not hold against code that goes through the memory
of its own process, by way of ctypes, frames or the garbage collector: the policy `strict` refuses these.
"""

import builtins
import ctypes
import operator
import sys
import threading
import types
from collections.abc import Iterable, Iterator
from typing import Any

from sandbox.source import CODE_FILE

globals()["__builtins__"] = dict(vars(builtins))  # functions that are defined below look here and not there

_STATE = (type(None), bool, int, float, complex, str, bytes, list, dict, set, bytearray)
_CONSTANTS = {"math", "cmath", "string", "sys", "os"}  # their numbers and texts are no state
_HOOKS = {
    "builtins": {"print", "input", "open", "_"},
    "sys": {
        *("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"),
        *("excepthook", "displayhook", "unraisablehook", "breakpointhook", "last_exc", "last_type"),
        *("last_value", "last_traceback", "argv", "path"),
    },
    "threading": {"excepthook"},
    "warnings": {"showwarning", "formatwarning", "_showwarning_orig"},
    "json.encoder.JSONEncoder": {"default"},
}
_JUDGES = {
    "unittest",
    "pytest",
    "_pytest",
    "pluggy",
    "asyncio",
    "collections",
    "functools",
    "inspect",
    "types",
    "re",
}
_REPORTERS = {
    *(
        "json",
        "os",
        "posixpath",
        "traceback",
        "linecache",
        "tokenize",
        "re",
        "io",
        "codecs",
        "struct",
        "socket",
    ),
    *(
        "threading",
        "itertools",
        "collections",
        "types",
        "textwrap",
        "contextlib",
        "functools",
        "math",
        "time",
    ),
}
_TESTING = {"numpy.testing", "pandas.testing", "pandas._testing"}

_is, _getframe, _settrace, _setprofile = operator.is_, sys._getframe, sys.settrace, sys.setprofile
_BUILTINS = vars(builtins)
_class_dict: Any = vars(type)["__dict__"].__get__
_class_set, _class_delete = type.__setattr__, type.__delattr__
_NATURAL = {"__annotations__", "__annotations_cache__", "__abstractmethods__", "__doc__", "__parameters__"}


class Pristine:
    """A picture of all modules that are loaded, their classes and functions. Takes some 20 ms with pandas."""

    def __init__(self) -> None:
        self._modules: dict[str, types.ModuleType] = {}
        self._contents: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self._classes: dict[type, dict[str, Any]] = {}
        self._functions: dict[types.FunctionType, tuple[Any, Any, Any]] = {}
        self._builtins = dict(vars(builtins))
        self._meta_path = list(sys.meta_path)
        self.path = list(sys.path)
        for name, module in list(sys.modules.items()):
            if isinstance(module, types.ModuleType) and name.partition(".")[0] not in ("sandbox", "__main__"):
                self._modules[name] = module
                self._picture(name, module)
        self._sort()

    def amend(self) -> None:
        """Takes the picture of `threading` anew, which a fork changes."""
        for name, now, saved in self._contents:
            if name == "threading":
                saved.update(now)

    def restore(self) -> None:
        """Puts back what the code replaced."""
        self._restore_builtins()  # before anything else is called
        _settrace(None)
        _setprofile(None)
        sys.modules.update(self._modules)
        sys.meta_path[:] = [*self._meta_path, *(one for one in sys.meta_path if one not in self._meta_path)]
        self._restore(self._contents, self._classes.items(), self._functions.items())
        threading.settrace(None)  # type: ignore[arg-type]
        threading.setprofile(None)

    def restore_judges(self) -> None:
        """The same for what judges tests, and quickly: for between two of them."""
        self._restore_builtins()
        self._restore(*self._judging)

    def restore_reporting(self) -> None:
        """The same for what words the end of a program and tells it to the supervisor."""
        self._restore_builtins()
        self._restore(*self._reporting)

    def include(self, packages: set[str]) -> None:
        """Takes the picture of packages that have been loaded since, or takes it anew."""
        self._contents = [one for one in self._contents if one[0].partition(".")[0] not in packages]
        for kind in [one for one in self._classes if one.__module__.partition(".")[0] in packages]:
            del self._classes[kind]
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in packages:
                self._modules[name] = module
                self._picture(name, module)
        self._sort()

    def _sort(self) -> None:
        self._judging, self._reporting = (
            (
                [one for one in self._contents if belongs(one[0])],
                [one for one in self._classes.items() if belongs(one[0].__module__)],
                [one for one in self._functions.items() if belongs(one[0].__module__)],
            )
            for belongs in (_judges, _reports)
        )

    def _restore_builtins(self) -> None:
        for name, value in self._builtins.items():
            if name not in _HOOKS["builtins"]:
                _BUILTINS[name] = value

    def judges(self) -> tuple[list[types.ModuleType], list[type]]:
        """The modules and classes that judge tests."""
        modules = [module for name, module in self._modules.items() if _judges(name)]
        classes = [kind for kind in self._classes if _judges(kind.__module__)]
        return [builtins, *modules], [_SealedModule, *classes]

    def _picture(self, name: str, module: types.ModuleType) -> None:
        now = vars(module)
        self._contents.append((name, now, now.copy()))
        for value in now.values():
            if isinstance(value, type) and value.__module__ == name:
                self._picture_class(value)
            elif isinstance(value, types.FunctionType) and _is_standard(name):
                self._picture_function(value)

    def _picture_class(self, kind: type) -> None:
        if kind.__flags__ & _IMMUTABLE or kind in self._classes:
            return
        self._classes[kind] = dict(_class_dict(kind))
        for value in self._classes[kind].values():
            if isinstance(value, types.FunctionType) and _is_standard(kind.__module__):
                self._picture_function(value)
            elif isinstance(value, type) and value.__module__ == kind.__module__:
                self._picture_class(value)

    def _picture_function(self, function: types.FunctionType) -> None:
        self._functions[function] = (function.__code__, function.__defaults__, function.__kwdefaults__)

    def _restore(
        self,
        contents: Iterable[tuple[str, dict[str, Any], dict[str, Any]]],
        classes: Iterable[tuple[type, dict[str, Any]]],
        functions: Iterable[tuple[types.FunctionType, tuple[Any, Any, Any]]],
    ) -> None:
        for function, (code, defaults, named_defaults) in functions:
            if function.__code__ is not code:
                function.__code__ = code
            if function.__defaults__ is not defaults:
                function.__defaults__ = defaults
            if function.__kwdefaults__ is not named_defaults:
                function.__kwdefaults__ = named_defaults
        for name, now, saved in contents:
            if not all(map(_is, saved.values(), map(now.get, saved))):
                for key, value in _replaced(name, now, saved):
                    now[key] = value
            if len(now) > len(saved) and _is_standard(name):
                for key in [key for key in now if key not in saved and key in self._builtins]:
                    del now[key]
        for kind, saved in classes:
            current = _class_dict(kind)
            if not all(map(_is, saved.values(), map(current.get, saved))):
                for key, value in _replaced(f"{kind.__module__}.{kind.__qualname__}", current, saved):
                    _class_set(kind, key, value)
            if len(current) > len(saved):
                for key in [key for key in current if key not in saved and _hides(kind, key)]:
                    _class_delete(kind, key)


class Seal:
    """While it is on, code of the program cannot assign to what judges its tests.

    A module then has a class of its own that looks who assigns; a class has the flag that built-in classes
    have. What tests or libraries assign to modules, as `unittest.mock.patch` does, stays allowed.
    """

    def __init__(self, pristine: Pristine) -> None:
        self._modules, self._classes = pristine.judges()

    def __enter__(self) -> None:
        for module in self._modules:
            if type(module) is types.ModuleType:
                module.__class__ = _SealedModule
        for kind in self._classes:
            _set_immutable(kind, True)

    def __exit__(self, *_: object) -> None:
        for module in self._modules:
            if type(module) is _SealedModule:
                module.__class__ = types.ModuleType  # type: ignore[assignment]
        for kind in self._classes:
            _set_immutable(kind, False)


class _SealedModule(types.ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        _refuse_program(self, name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        _refuse_program(self, name)
        super().__delattr__(name)


def _refuse_program(module: types.ModuleType, name: str) -> None:
    if _getframe(2).f_code.co_filename == CODE_FILE and name not in _HOOKS.get(module.__name__, ()):
        raise AttributeError(f"a program cannot change {module.__name__}.{name} while its tests run")


_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_FLAGS_AT = 168  # bytes from the start of a PyTypeObject where a pointer has 8


def _set_immutable(kind: type, on: bool) -> None:
    flags = ctypes.c_ulong.from_address(id(kind) + _FLAGS_AT)
    if flags.value == kind.__flags__:
        flags.value = flags.value | _IMMUTABLE if on else flags.value & ~_IMMUTABLE


def _judges(module: str) -> bool:
    return module.partition(".")[0] in _JUDGES or ".".join(module.split(".")[:2]) in _TESTING


def _reports(module: str) -> bool:
    return module.partition(".")[0] in _REPORTERS


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _replaced(owner: str, now: Any, saved: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    hooks = _HOOKS.get(owner, set())
    state = _STATE if owner not in _CONSTANTS else (type(None), bool, list, dict, set, bytearray)
    for key, value in saved.items():
        if now.get(key) is not value and type(value) not in state and key not in hooks:
            yield key, value


def _hides(kind: type, name: str) -> bool:
    """Whether an attribute that was added to a class changes what was there."""
    if name.startswith("__"):
        return name not in _NATURAL
    return any(name in _class_dict(base) for base in kind.__mro__[1:])
