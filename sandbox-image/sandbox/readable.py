"""What of Python's search path an attempt may read.

The standard library and the folders that packages are installed into, whole. Any other folder of the path
is somebody's project (an editable install, PYTHONPATH): of that only what can be imported, file by file
and package by package, and never a folder that holds a hidden file such as `.env` or `.git`: of such a
package its files are granted one by one. What is granted so cannot be listed, so its listing is
remembered before it is closed.
"""

import importlib.machinery
import os
import pkgutil
import site
import sysconfig
from dataclasses import dataclass

_MOST_ENTRIES = 20_000  # of a package that is looked through; a larger one is not granted
_SITE_FOLDERS = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Readable:
    """`granted`: files, and folders with all below them; `unlisted`: folders granted in part only."""

    granted: tuple[str, ...]
    unlisted: tuple[str, ...]


def find(import_path: list[str]) -> Readable:
    """Looks through the folders of a search path; those that are missing are left out."""
    paths = sysconfig.get_paths()
    whole = {os.path.dirname(paths["stdlib"]), paths["platstdlib"], paths["purelib"], paths["platlib"]}
    whole |= {*site.getsitepackages(), site.getusersitepackages()}
    granted, unlisted = {path for path in whole if os.path.exists(path)}, []
    for path in import_path:
        if os.path.basename(path) in _SITE_FOLDERS or _is_below(path, granted) or os.path.isfile(path):
            granted.add(path)
        elif os.path.isdir(path):
            unlisted.append(path)
            _grant_importable(path, granted, unlisted)
    return Readable(tuple(sorted(path for path in granted if os.path.exists(path))), tuple(unlisted))


def remember_listings(folders: tuple[str, ...]) -> None:
    """Has the import system list folders now: what it has seen it finds again."""
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        if finder is not None:
            finder.find_spec("no module of this name")


def _grant_importable(folder: str, granted: set[str], unlisted: list[str]) -> None:
    for entry in _entries(folder):
        if entry.is_dir():
            if entry.name.isidentifier() and _is_package(entry.path):
                _grant_package(entry.path, granted, unlisted)
        elif entry.name.endswith(tuple(importlib.machinery.all_suffixes())):
            granted.add(entry.path)


def _grant_package(folder: str, granted: set[str], unlisted: list[str]) -> None:
    hides_something = _hides_something(folder)
    if hides_something is None:
        return
    if not hides_something:
        granted.add(folder)
        return
    unlisted.append(folder)
    for entry in _entries(folder):
        if entry.is_dir():
            _grant_package(entry.path, granted, unlisted)
        else:
            granted.add(entry.path)


def _hides_something(folder: str) -> bool | None:
    """Whether there is a hidden file or folder in it, at any depth; None if it is too large to tell."""
    seen, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if entry.name.startswith("."):
                        return True
                    if seen > _MOST_ENTRIES:
                        return None
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue  # nobody else reads it either
    return False


def _is_package(folder: str) -> bool:
    suffixes = tuple(importlib.machinery.all_suffixes())
    return any(entry.name.endswith(suffixes) for entry in _entries(folder))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is not hidden and no link: a link leads to what nobody has looked through."""
    try:
        with os.scandir(folder) as entries:
            return [one for one in entries if not one.name.startswith(".") and not one.is_symlink()]
    except OSError:
        return []


def _is_below(path: str, folders: set[str]) -> bool:
    real = os.path.realpath(path)
    return any(
        os.path.commonpath([real, os.path.realpath(folder)]) == os.path.realpath(folder) for folder in folders
    )
