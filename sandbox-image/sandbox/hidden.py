"""Keeps the paths of the host out of what leaves a sandbox: output, errors, tracebacks and values.

A file of a library is shown as it is imported (`pandas/core/frame.py`), the working folder as `.`, and what
else would tell where the sandbox lives by the last part of its name. Not covered is what a program computes
of such a path before it prints it, such as its length or its parts, and what it writes into files.
"""

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator

_SYSTEM_FOLDERS = {"/", "/usr", "/usr/local", "/opt", "/home", "/root", "/tmp"}  # the same on every machine
_CUT = "…".encode()


class HostPaths:
    """Replaces paths in texts, and in bytes as they come. `folder` is the working folder of one attempt."""

    def __init__(self, folder: str, root: str, import_path: Iterable[str]) -> None:
        shown = {folder: "."}
        base = os.path.dirname(folder)
        known = (*import_path, *sysconfig.get_paths().values())
        libraries = [path for path in known if os.path.isabs(path) and path not in _SYSTEM_FOLDERS]
        for path in (root, *libraries):
            for spelled in (path, os.path.realpath(path)):
                shown.setdefault(f"{spelled}/", "")
                shown.setdefault(spelled, os.path.basename(spelled))
        for path in (base, os.path.dirname(root), sys.prefix, sys.base_prefix):
            if os.path.realpath(path) not in _SYSTEM_FOLDERS:
                shown.setdefault(path, os.path.basename(path))
        longest_first = sorted(shown.items(), key=lambda pair: len(pair[0]), reverse=True)
        self._shown = [(os.fsencode(path), os.fsencode(name)) for path, name in longest_first]
        # There may be gigabytes to look through: each path begins with one of these few.
        paths = [path for path, _ in self._shown]
        self._roots = [
            path for path in paths if not any(path != one and path.startswith(one) for one in paths)
        ]
        self._held = b""

    def hide(self, text: str) -> str:
        """A text without them, also where one was cut short; lone surrogates stay."""
        data = self._replace(text.encode("utf-8", "surrogatepass"))
        if data.endswith(_CUT):
            whole = data.removesuffix(_CUT)
            data = whole[: next(self._beginnings(whole), len(whole))] + _CUT
        return data.decode("utf-8", "surrogatepass")

    def feed(self, data: bytes) -> bytes:
        """What may be passed on now that `data` has come: its end is held back if a path may begin there."""
        data = self._held + data
        cut = next(self._beginnings(data), len(data))
        self._held = data[cut:]
        return self._replace(data[:cut])

    def flush(self) -> bytes:
        """What was held back, when no more comes."""
        held, self._held = self._held, b""
        return self._replace(held)

    def _beginnings(self, data: bytes) -> Iterator[int]:
        """Where the end of `data` may be the beginning of a path, the longest first."""
        start = max(len(data) - len(self._shown[0][0]), -1)
        while (start := data.find(b"/", start + 1)) >= 0:
            end = data[start:]
            is_beginning = any(path.startswith(end) and path != end for path, _ in self._shown)
            if is_beginning and not self._is_inside(data, start):
                yield start

    def _is_inside(self, data: bytes, at: int) -> bool:
        """Whether a whole path goes on from before `at` to behind it."""
        return any(
            data.find(path, max(at - len(path) + 1, 0), at + len(path) - 1) >= 0 for path, _ in self._shown
        )

    def _replace(self, data: bytes) -> bytes:
        if any(root in data for root in self._roots):
            for path, name in self._shown:
                data = data.replace(path, name)
        return data
