"""One JSON line per event on standard output. Never given a URL, a secret, code or output."""

import contextlib
import json
import os


def log(level: str, message: str, **fields: object) -> None:
    """Writes `{"level", "message", …fields}` in one write, so that lines of several threads never mix."""
    line = json.dumps({"level": level, "message": message, **fields}, ensure_ascii=False, default=str)
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more: no reason not to end in order
        os.write(1, line.encode("utf-8", "replace") + b"\n")
