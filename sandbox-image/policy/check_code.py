"""The CheckCode function: is this code worth a sandbox?

Event: `{"code_url": URL of the code as UTF-8 text, "policy": "strict" | "standard", "inputs"?: names of the
files that the program is given}`, or
`{"tests": text}` for tests: then the policy does not matter, but something in them has to be run, and what
is allowed also tells `imports_pytest`.
Result: `{"allowed", "error_category", "error", "error_line", "violations", "standard_permits"}`;
`error_category` is null, `syntax_error` or `policy_violation`. `standard_permits` is true of code that breaks
`strict` only. Whatever the code is, it gets a verdict; errors are raised only for what
is not the code's fault: an event of another form (ValueError), a URL that cannot be read (OSError).
"""

import urllib.request
from typing import Any
from urllib.parse import urlsplit

from policy import tests
from policy.checker import Violation, check, standard_permits

DOWNLOAD_TIMEOUT = 10  # seconds
MAX_CODE_BYTES = 300_000
MAX_VIOLATIONS = 20
MAX_ERROR_LENGTH = 1_500

Verdict = dict[str, Any]


def handler(event: dict[str, Any], context: object) -> Verdict:
    if "tests" in event:
        return check_tests(event["tests"])
    data = download(event.get("code_url"))
    if len(data) > MAX_CODE_BYTES:
        return syntax_error(SyntaxError(f"the code is longer than {MAX_CODE_BYTES:,} bytes: make it shorter"))
    try:
        code, policy = data.decode("utf-8"), event.get("policy", "strict")
        violations = check(code, policy, event.get("inputs", ()))
    except UnicodeDecodeError:
        return syntax_error(SyntaxError("the code is not valid UTF-8 text"))
    except SyntaxError as error:
        return syntax_error(error)
    if not violations:
        return verdict()
    return {**policy_violation(violations), "standard_permits": standard_permits(code, policy)}


def check_tests(source: object) -> Verdict:
    if not isinstance(source, str):
        raise ValueError("tests must be a text")
    try:
        tree = tests.parse(source)
    except SyntaxError as error:
        return syntax_error(error)
    return {**verdict(), "imports_pytest": tests.imports_pytest(tree)}


def download(url: object) -> bytes:
    """The code, cut off one byte after the longest that is allowed. Follows no redirect."""
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https", "data"):
        raise ValueError("code_url must be an http, https or data URL")
    opener = urllib.request.OpenerDirector()
    for http_handler in (
        urllib.request.DataHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(http_handler)
    with opener.open(url, timeout=DOWNLOAD_TIMEOUT) as response:
        data: bytes = response.read(MAX_CODE_BYTES + 1)
        return data


def verdict(
    error_category: str | None = None,
    error: str | None = None,
    error_line: int | None = None,
    violations: list[Violation] | None = None,
) -> Verdict:
    return {
        "allowed": error_category is None,
        "error_category": error_category,
        "error": error,
        "error_line": error_line,
        "violations": [
            {"line": violation.line, "rule": violation.rule, "message": violation.message}
            for violation in violations or []
        ],
        "standard_permits": False,
    }


def syntax_error(error: SyntaxError) -> Verdict:
    message = f"{type(error).__name__}: {error.msg}"[:MAX_ERROR_LENGTH]
    return verdict("syntax_error", message, error.lineno or None)


def policy_violation(violations: list[Violation]) -> Verdict:
    """The first violations in one line; what does not fit is counted."""
    shown = violations[:MAX_VIOLATIONS]
    error = "PolicyViolation: "
    for index, violation in enumerate(violations):
        sentence = f"line {violation.line}: {violation.message}"
        rest = f"and {len(violations) - index} more"
        if len(error) + len(sentence) + len(rest) + 4 > MAX_ERROR_LENGTH:
            error += rest
            break
        error += sentence + ("; " if index < len(violations) - 1 else "")
    return verdict("policy_violation", error, shown[0].line, shown)
