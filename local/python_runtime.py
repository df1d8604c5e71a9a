"""Runs a Python Lambda handler for `python-function.ts`: `python3 python_runtime.py package.module.function`.

One JSON object a line, in turn: an event comes in on stdin, and `{"result"}` or `{"error": {"name",
"message", "trace"}}` goes out on stdout. Whatever the handler prints goes to stderr. The end of stdin is the
end of the program.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any


def main(name: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runtime, which ends this process
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, _, function = name.rpartition(".")
    handler = getattr(importlib.import_module(module), function)
    # The runtime may be killed while it waits for a reply.
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin:
            print(reply(handler, line), file=replies, flush=True)


def reply(handler: Any, line: str) -> str:
    try:
        return json.dumps({"result": handler(json.loads(line), None)}, allow_nan=False)
    except Exception as error:
        trace = traceback.format_exc()
        return json.dumps({"error": {"name": type(error).__name__, "message": str(error), "trace": trace}})


if __name__ == "__main__":
    main(sys.argv[1])
