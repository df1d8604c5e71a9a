"""What the supervisor is told: by a launcher, or by its environment, which is read once and then wiped."""

import ctypes
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox import linux

MEMORY_MB, LEAST_MEMORY_MB, MOST_MEMORY_MB = 1024, 128, 16_384  # as in functions/service/config.ts

_NAMES = (
    "MANIFEST_URL",
    "SANDBOX_CONFINEMENT",
    "SANDBOX_WORK_DIR",
    "SANDBOX_STORE_DIR",
    "SANDBOX_EXIT_WITH_PARENT",
    "SANDBOX_MEMORY_MB",
    "SANDBOX_POLICY_CHECK",
)


class BadSetting(Exception):
    """A variable is missing or has a value that is not allowed; the message names the allowed ones."""


@dataclass(frozen=True)
class Settings:
    """`work_dir` None: a fresh temporary folder. `store_dir`, where inputs are kept, None: the sandbox's own.

    `policy_check` False (tests only): jobs may say "none".
    """

    manifest_url: str
    confinement_required: bool
    work_dir: str | None
    store_dir: str | None
    exit_with_parent: bool
    memory_bytes: int
    policy_check: bool

    @staticmethod
    def take_from_environment() -> "Settings":
        """Reads the variables and removes them; raises BadSetting. The manifest URL may be empty here."""
        return Settings.of({name: _take(name) for name in _NAMES})

    @staticmethod
    def of(variables: Mapping[str, str]) -> "Settings":
        """The same of variables that are in no environment; others than the known ones are passed over."""
        values = {name: variables.get(name, "") for name in _NAMES}
        memory = values["SANDBOX_MEMORY_MB"] or str(MEMORY_MB)
        if not re.fullmatch(r"[0-9]{1,9}", memory) or not LEAST_MEMORY_MB <= int(memory) <= MOST_MEMORY_MB:
            raise BadSetting(
                f"SANDBOX_MEMORY_MB must be a whole number from {LEAST_MEMORY_MB} to {MOST_MEMORY_MB} (MB)"
            )
        return Settings(
            manifest_url=values["MANIFEST_URL"],
            confinement_required=_one_of(values, "SANDBOX_CONFINEMENT", "required", "unconfined")
            == "required",
            work_dir=values["SANDBOX_WORK_DIR"] or None,
            store_dir=values["SANDBOX_STORE_DIR"] or None,
            exit_with_parent=_one_of(values, "SANDBOX_EXIT_WITH_PARENT", "0", "1") == "1",
            memory_bytes=int(memory) * 1024 * 1024,
            policy_check=_one_of(values, "SANDBOX_POLICY_CHECK", "on", "off") == "on",
        )


def _one_of(values: dict[str, str], name: str, *allowed: str) -> str:
    value = values[name] or allowed[0]
    if value not in allowed:
        raise BadSetting(f"{name} must be one of: {', '.join(allowed)}")
    return value


def _take(name: str) -> str:
    """The variable's value; also wipes the memory that /proc/<pid>/environ shows."""
    linux.libc.getenv.restype = ctypes.c_void_p
    address = linux.libc.getenv(name.encode())
    value = os.environ.pop(name, "")
    if address:
        ctypes.memset(address, 0, len(os.fsencode(value)))
    return value
