"""Short descriptions of values that code left behind: bounded in length, time and memory, never raising."""

import types
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from sandbox.contract import LIMITS

LONGEST_VALUE = LIMITS["value"]
MOST_LOCALS = LIMITS["locals"]
_MOST_ITEMS = 10
_DEEPEST = 3
_LARGEST_NUMBER_BITS = 600


def short_repr(value: object, depth: int = 0) -> str:
    """`repr(value)`, at most 200 characters, without ever writing out a huge value first."""
    try:
        text = _repr(value, depth)
    except Exception as error:  # a __repr__ of the code's own may raise anything
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def short_locals(namespace: Mapping[str, Any]) -> dict[str, str]:
    """At most 20 names with short values; without dunders, modules, functions and classes."""
    left_out = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
    shown = (
        (name, value)
        for name, value in list(namespace.items())
        if isinstance(name, str) and name.isidentifier() and not name.startswith("__")
        if not isinstance(value, left_out)
    )
    return {name[:LONGEST_VALUE]: short_repr(value) for name, value in islice(shown, MOST_LOCALS)}


def _repr(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= _LARGEST_NUMBER_BITS else f"<int of {bits} bits>"
    if kind in (str, bytes, bytearray):
        return repr(value) if len(value) <= LONGEST_VALUE else repr(value[:LONGEST_VALUE])[:-1] + "…"
    if kind is dict:
        below = depth + 1
        pairs = (f"{short_repr(key, below)}: {short_repr(item, below)}" for key, item in value.items())
        return "{" + _some(pairs, len(value), depth) + "}"
    if kind in (list, tuple, set, frozenset, deque):
        return _repr_collection(value, depth)
    return repr(value)


def _repr_collection(value: Any, depth: int) -> str:
    kind = type(value)
    items = _some((short_repr(item, depth + 1) for item in value), len(value), depth)
    if kind is list:
        return f"[{items}]"
    if kind is tuple:
        return f"({items},)" if len(value) == 1 else f"({items})"
    if not value:
        return f"{kind.__name__}()"
    if kind is deque:
        return f"deque([{items}])"
    return f"{{{items}}}" if kind is set else f"frozenset({{{items}}})"


def _some(items: Iterable[str], count: int, depth: int) -> str:
    if count and depth >= _DEEPEST:
        return "…"
    parts = list(islice(items, _MOST_ITEMS))
    return ", ".join([*parts, f"… {count - len(parts)} more"] if count > len(parts) else parts)
