"""`python3 -m policy FILE [--profile standard]`: prints what breaks the policy; exit code 1 if any."""

import argparse
import sys
from pathlib import Path

from policy import PROFILES, check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m policy", description="Check a file against the policy.")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--profile", choices=PROFILES, default="strict")
    arguments = parser.parse_args()
    try:
        code = arguments.file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{arguments.file} cannot be read: {error}")
    try:
        violations = check(code, arguments.profile)
    except SyntaxError as error:
        print(f"{arguments.file}:{error.lineno or 1}: {type(error).__name__}: {error.msg}")
        return 1
    for violation in violations:
        print(f"{arguments.file}:{violation.line}: {violation.message} [{violation.rule}]")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
