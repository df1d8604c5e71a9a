"""`python3 -m sandbox` serves a mailbox, `python3 -m sandbox --nursery FOLDER` as many as it is asked for;
`python3 -m sandbox --describe` says what a sandbox is here.
"""

import argparse
import json
import os
import platform
import sys
from typing import NoReturn

from sandbox import packages, supervisor, zygote_process
from sandbox.settings import BadSetting
from sandbox.zygote_process import ZygoteLost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m sandbox", description=__doc__)
    parser.add_argument(
        "--describe",
        action="store_true",
        help="print as JSON the isolation in force, Python's version, and packages with theirs",
    )
    parser.add_argument(
        "--nursery",
        metavar="FOLDER",
        help="fork a sandbox for each connection to a socket in this folder, which is removed at the end",
    )
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("the sandbox program runs on Linux only; use its container image elsewhere", file=sys.stderr)
        return 1
    if arguments.describe:
        try:
            isolation = supervisor.isolation_in_force()
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
    if arguments.nursery is not None:
        _become_nursery(os.path.abspath(arguments.nursery))
    return supervisor.main()


def _become_nursery(home: str) -> NoReturn:
    command = zygote_process.command("nursery", home=home)
    os.execve(command[0], command, zygote_process.clean_environment(home))


if __name__ == "__main__":
    sys.exit(main())
