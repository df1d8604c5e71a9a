"""Source text to syntax tree, for text that may be hostile."""

import ast
import warnings

# CPython's own bounds on parentheses and indentation are 200 and 100. The visitor needs up to four Python
# frames a level, which keeps it well inside the default recursion limit of 1000.
MAX_DEPTH = 200

TOO_DEEP = "the code is nested too deeply: split long expressions and elif chains into several statements"


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
