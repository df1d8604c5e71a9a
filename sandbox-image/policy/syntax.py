"""Source text to syntax tree, for text that may be hostile."""

import ast
import re
import sys
import warnings

# CPython's own bounds on parentheses and indentation are 200 and 100. The visitor needs up to four Python
# frames a level, which keeps it well inside the default recursion limit of 1000.
MAX_DEPTH = 200

TOO_DEEP = "the code is nested too deeply: split long expressions and elif chains into several statements"

_NOTEBOOK = re.compile(
    r"\s*(?:\w+\s*=\s*)?(?:!{1,2}\s*[\w./~]|%{1,2}[A-Za-z])|\s*\?{1,2}\w|\s*[\w.]+\?{1,2}\s*$"
)
_SHELL = re.compile(
    r"\s*\$?\s*(?:sudo\s+)?(?:(?:python[\d.]*\s+-m\s+)?(?:pip[\d.]*|conda|mamba|uv|poetry|apt|apt-get|brew|npm)"
    r"\s+(?:\w+\s+)?(?:install|add)\b|python[\d.]*\s+[\w./-]+)"
)

_FUNCTION_OR_CLASS = r"^\s*(?:async\s+)?(?:def|class)\s+\w+\s*\["
# What Python gained after the oldest version that programs may meet: in which one, how it shows in the line
# of the error, and how in its message.
_NEWER: list[tuple[tuple[int, int], str, str]] = [
    ((3, 12), rf"{_FUNCTION_OR_CLASS}|^\s*type\s+\w+\s*(?:\[.*\]\s*)?=", ""),
    # The same quotes, line ends, backslashes and comments within the braces of an f-string.
    ((3, 12), "", r"^f-string\b"),
    ((3, 12), r"""(?<![\w"'])(?:[fF][rR]?|[rR][fF])["'][^{]*\{""", r"^unterminated string"),
    ((3, 13), rf"(?:{_FUNCTION_OR_CLASS}|^\s*type\s+\w+\s*\[)[^\]]*=", ""),
    ((3, 14), r"^\s*except\*?\s+[\w.]+\s*,", ""),
    ((3, 14), r"""(?<![\w"'])(?:[tT][rR]?|[rR][tT])["']""", ""),
    ((3, 15), r"^\s*lazy\s+(?:import|from)\b", ""),
    ((3, 15), "", r"unpacking cannot be used in (?:dict )?comprehension"),
]
_LONGEST_LINE = 1_000


def parse(code: str, max_depth: int = MAX_DEPTH) -> ast.Module:
    """The syntax tree, at most `max_depth` levels deep. Whatever prevents one is a SyntaxError.

    The tree is not compiled here: a few lines of nested `finally` compile to gigabytes. Errors that only the
    compiler finds, such as `return` outside a function, show when the code is run under the limits of the
    sandbox.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code, "main.py")
    except SyntaxError as error:
        error.msg = _message(error, code)
        raise error from None
    except (RecursionError, MemoryError):
        raise SyntaxError(TOO_DEEP) from None
    except UnicodeEncodeError:
        raise SyntaxError("the code holds half of a surrogate pair, which is no character") from None
    except ValueError as error:
        raise SyntaxError(str(error)) from None

    layer: list[ast.AST] = [tree]
    depth = 0
    while layer:
        if depth > max_depth:
            line = next((node.lineno for node in layer if isinstance(node, ast.stmt | ast.expr)), 1)
            raise SyntaxError(TOO_DEEP, ("main.py", line, 1, None))
        layer = [child for node in layer for child in ast.iter_child_nodes(node)]
        depth += 1
    return tree


def _message(error: SyntaxError, code: str) -> str:
    """Its message, with what Python cannot know: commands of notebooks, and syntax of a newer Python."""
    lines = code.split("\n")
    line = lines[error.lineno - 1][:_LONGEST_LINE] if error.lineno and error.lineno <= len(lines) else ""
    message = error.msg
    running = sys.version_info[:2]
    if _NOTEBOOK.match(line) or _SHELL.match(line):
        shown = line.strip()[:80]
        message = (
            f"`{shown}` is no Python, but a command of a notebook or a shell: leave it out; "
            "nothing can be installed, and no other program be started"
        )
    else:
        needed = [
            version
            for version, sign, words in _NEWER
            if version > running and re.search(sign, line) and re.search(words, message)
        ]
        if needed:
            newer, this = (".".join(map(str, version)) for version in (max(needed), running))
            message += f" (this may need Python {newer}, but Python {this} runs the program)"
    return message
