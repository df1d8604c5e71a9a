"""As much of JSON Schema as contract.json uses, so that the tests need nothing installed.

A rule that it does not know is an error.
"""

import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_NO_RULES = {
    "$schema",
    "$defs",
    "description",
    "format",
    "properties",
    "type",
    "items",
    "additionalProperties",
}


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a document, each with its place in it; nothing if it is as the schema says."""
    return list(_check(schema, value, "$", schema))


def _check(schema: dict[str, Any], value: Any, place: str, root: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{place} is {value!r:.80} and not of type {kind}"
        return
    for rule, wanted in schema.items():
        if rule not in _NO_RULES and not _RULES[rule](wanted, value, root):
            yield f"{place}: {value!r:.80} breaks {rule} {wanted!r:.80}"
    if kind == "array":
        for number, item in enumerate(value):
            yield from _check(schema.get("items", {}), item, f"{place}[{number}]", root)
    if kind == "object":
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        for name, item in value.items():
            if name not in known and others is False:
                yield f"{place} has the unknown field {name!r:.80}"
            else:
                yield from _check(known.get(name, others), item, f"{place}.{name}", root)


def _matches(pattern: str, value: str) -> bool:
    classes = {
        r"[^\p{Cc}": r"[^\x00-\x1f\x7f-\x9f",
        r"\P{Cc}": r"[^\x00-\x1f\x7f-\x9f]",
        r"\p{Cs}": r"\ud800-\udfff",
    }
    for ours, python in classes.items():
        pattern = pattern.replace(ours, python)
    return re.search(pattern.removesuffix("$") + r"\Z", value) is not None


_RULES = {
    "anyOf": lambda wanted, value, root: any(not [*_check(one, value, "", root)] for one in wanted),
    "enum": lambda wanted, value, root: value in wanted,
    "const": lambda wanted, value, root: value == wanted,
    "required": lambda wanted, value, root: set(wanted) <= set(value),
    "propertyNames": lambda wanted, value, root: not [p for n in value for p in _check(wanted, n, "", root)],
    "maxProperties": lambda wanted, value, root: len(value) <= wanted,
    "maxItems": lambda wanted, value, root: len(value) <= wanted,
    "minLength": lambda wanted, value, root: len(value) >= wanted,
    "maxLength": lambda wanted, value, root: len(value) <= wanted,
    "pattern": lambda wanted, value, root: _matches(wanted, value),
    "minimum": lambda wanted, value, root: value >= wanted,
    "maximum": lambda wanted, value, root: value <= wanted,
    "exclusiveMinimum": lambda wanted, value, root: value > wanted,
}
