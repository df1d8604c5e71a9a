"""The packages that programs may import."""

import importlib.metadata
import re
import sys

_TOOLS = {"pip", "setuptools", "wheel"}


def installed() -> dict[str, str]:
    """Name and version of each package on `sys.path`, by name; names as the package index spells them."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=sys.path):
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:  # what a broken removal leaves has neither
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return {name: found[name] for name in sorted(found.keys() - _TOOLS)}
