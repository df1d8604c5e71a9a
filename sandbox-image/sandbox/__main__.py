"""`python3 -m sandbox` serves a mailbox; `python3 -m sandbox --isolation` prints the isolation in force."""

import argparse
import json
import sys

from sandbox.settings import BadSetting
from sandbox.supervisor import isolation_in_force, serve
from sandbox.zygote_process import ZygoteLost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m sandbox", description=__doc__)
    parser.add_argument("--isolation", action="store_true", help="print the isolation in force as JSON")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("the sandbox program runs on Linux only; use its container image elsewhere", file=sys.stderr)
        return 1
    if arguments.isolation:
        try:
            print(json.dumps(isolation_in_force()))
        except (BadSetting, ZygoteLost) as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    return serve()


if __name__ == "__main__":
    sys.exit(main())
