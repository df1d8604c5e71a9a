"""`python3 -m sandbox` serves a mailbox; `python3 -m sandbox --describe` says what a sandbox is here."""

import argparse
import json
import platform
import sys

from sandbox import packages
from sandbox.settings import BadSetting
from sandbox.supervisor import isolation_in_force, serve
from sandbox.zygote_process import ZygoteLost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m sandbox", description=__doc__)
    parser.add_argument(
        "--describe",
        action="store_true",
        help="print as JSON the isolation in force, Python's version, and packages with theirs",
    )
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("the sandbox program runs on Linux only; use its container image elsewhere", file=sys.stderr)
        return 1
    if arguments.describe:
        try:
            isolation = isolation_in_force()
        except (BadSetting, ZygoteLost) as error:
            print(error, file=sys.stderr)
            return 1
        described = {
            "isolation": isolation,
            "python": platform.python_version(),
            "packages": packages.installed(),
        }
        print(json.dumps(described))
        return 0
    return serve()


if __name__ == "__main__":
    sys.exit(main())
