"""The names under which code and tests appear in tracebacks, and their lines."""

import io
import linecache

CODE_FILE = "main.py"
TESTS_FILE = "tests.py"


def lines_of(source: str) -> list[str]:
    """The lines as Python counts them: other characters that end a line in a text do not count."""
    return io.StringIO(source, newline=None).readlines()


def remember(filename: str, source: str) -> None:
    """Lets tracebacks show the lines of a source that is in no file."""
    linecache.cache[filename] = (len(source), None, lines_of(source), filename)
