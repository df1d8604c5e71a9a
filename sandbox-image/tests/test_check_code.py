"""The CheckCode function against a real HTTP server, with honest, failing and hostile code."""

import sys
import threading
import unittest
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from policy.check_code import handler

ALLOWED = {
    "allowed": True,
    "error_category": None,
    "error": None,
    "error_line": None,
    "violations": [],
    "standard_permits": False,
}


class CodeServer(ThreadingHTTPServer):
    """Serves one text at /code, redirects from /moved to it, and knows nothing else."""

    code = b""


class CodeRequest(BaseHTTPRequestHandler):
    server: CodeServer

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/code")
            self.end_headers()
        elif self.path.startswith("/code?signature="):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            with suppress(ConnectionError):  # the function stops reading at its limit
                self.wfile.write(self.server.code)
        else:
            self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:
        pass


class CheckCodeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = CodeServer(("127.0.0.1", 0), CodeRequest)
        cls.origin = f"http://127.0.0.1:{cls.server.server_port}"
        cls.thread = threading.Thread(target=cls.server.serve_forever, kwargs={"poll_interval": 0.01})
        cls.thread.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.shutdown()
        cls.server.server_close()
        cls.thread.join()

    def check(self, code: str | bytes, **event: object) -> dict[str, Any]:
        self.server.code = code if isinstance(code, bytes) else code.encode("utf-8", "surrogatepass")
        return handler({"code_url": f"{self.origin}/code?signature=x", "policy": "strict", **event}, None)

    def test_tests_are_read_without_a_url(self) -> None:
        self.assertEqual(
            handler({"tests": "\ufeffassert f() == 1"}, None), {**ALLOWED, "imports_pytest": False}
        )
        for tests in ("import pytest\ndef test(): f()", "from pytest import raises\nwith raises(E): f()"):
            self.assertTrue(handler({"tests": tests}, None)["imports_pytest"])
        for tests, line, told in (
            ("assert f( == 1", 1, "invalid syntax"),
            ("x = 1\n```python\nassert f()\n```", 2, "Markdown fence"),
            ("def check(): assert f()", 1, "call check, or name it test_check"),
            ("if False:\n    assert f()", None, "nothing in the tests is run"),
            ("f() == 1", 1, "write assert before it"),
            ("# nothing", None, "the tests are empty"),
            ("import unittest\nunittest.main()", None, "nothing in the tests is run"),
        ):
            with self.subTest(tests):
                verdict = handler({"tests": tests}, None)
                self.assertEqual((verdict["allowed"], verdict["error_line"]), (False, line))
                self.assertIn(told, verdict["error"])
        with self.assertRaises(ValueError):
            handler({"tests": 3}, None)

    def assert_syntax_error(self, code: str | bytes, error: str, line: int | None) -> None:
        verdict = self.check(code)
        self.assertRegex(verdict["error"], error)
        self.assertLess(len(verdict["error"]), 300)
        self.assertEqual(
            verdict,
            {
                "allowed": False,
                "error_category": "syntax_error",
                "error": verdict["error"],
                "error_line": line,
                "violations": [],
                "standard_permits": False,
            },
        )

    def test_allowed(self) -> None:
        self.assertEqual(self.check("print('grüße')\n"), ALLOWED)
        self.assertEqual(self.check(""), ALLOWED)
        self.assertEqual(self.check("import os", policy="standard"), ALLOWED)

    def test_syntax_error(self) -> None:
        self.assert_syntax_error(
            "def factorial(n):\n    if n = 1:\n        return 1\n",
            "^SyntaxError: invalid syntax. Maybe you meant '==' or ':=' instead of '='\\?$",
            2,
        )
        self.assert_syntax_error("if True:\nprint(1)", "^IndentationError: expected an indented block", 2)

    def test_commands_of_notebooks_and_shells(self) -> None:
        for line in (
            "!pip install x",
            "! pip install x",
            "%pip install x",
            "%matplotlib inline",
            "%%time",
            "files = !ls",
            "!ls -la",
            "pip install numpy",
            "$ pip install numpy",
            "python3 -m pip install numpy",
            "conda install numpy",
            "python main.py",
            "print?",
        ):
            with self.subTest(line):
                result = self.check(f"x = 1\n{line}\nprint(x)")
                self.assertEqual((result["error_category"], result["error_line"]), ("syntax_error", 2))
                self.assertIn(f"`{line}` is no Python", result["error"])
                self.assertIn("nothing can be installed", result["error"])

    def test_syntax_of_a_newer_python(self) -> None:
        this = ".".join(map(str, sys.version_info[:2]))
        for newer, code in (
            ("3.12", "type Number = int"),
            ("3.12", "type Numbers[T] = list[T]"),
            ("3.12", "def first[T](items: list[T]) -> T:\n    return items[0]"),
            ("3.12", "class Box[T]:\n    pass"),
            ("3.12", "d = {}\nprint(f'{d['a']}')"),
            ("3.12", "print(f\"{'\\n'.join([])}\")"),
            ("3.12", "print(f'{(\n1)}')"),
            ("3.13", "def first[T = int](items: list[T]) -> T:\n    return items[0]"),
            ("3.14", "try:\n    pass\nexcept TypeError, ValueError:\n    pass"),
            ("3.14", "x = t'{1}'"),
            ("3.15", "lazy import json"),
            ("3.15", "print([*x for x in [[1]]])"),
        ):
            with self.subTest(code):
                result = self.check(code)
                if tuple(map(int, newer.split("."))) > sys.version_info[:2]:
                    self.assertEqual(result["error_category"], "syntax_error")
                    self.assertIn(
                        f"may need Python {newer}, but Python {this} runs the program", result["error"]
                    )
                else:
                    self.assertIsNone(result["error"])
        for code in ("if n = 1: pass", "print('a", "print 'x'", "except", "x = 5 %", "f = 3 3"):
            with self.subTest(code):
                self.assertNotIn("may need Python", self.check(code)["error"])
                self.assertNotIn("is no Python", self.check(code)["error"])

    def test_policy_violation(self) -> None:
        verdict = self.check("x = 1\nimport os\ny = eval('1')\n")
        self.assertEqual((verdict["allowed"], verdict["error_category"]), (False, "policy_violation"))
        self.assertEqual(verdict["error_line"], 2)
        self.assertRegex(verdict["error"], r"^PolicyViolation: line 2: `os` is .*; line 3: `eval` is ")
        self.assertEqual(
            [violation["rule"] for violation in verdict["violations"]], ["operating-system", "dynamic-code"]
        )
        self.assertEqual(set(verdict["violations"][0]), {"line", "rule", "message"})

    def test_what_standard_permits_is_said(self) -> None:
        for code, permitted in {
            "import os\nprint(os.getcwd())": True,
            "open('x.txt')": True,
            "().__class__.__mro__": True,
            "import os\nos.system('ls')": False,
            "import os, socket": False,
            "input()": False,
        }.items():
            with self.subTest(code=code):
                self.assertIs(self.check(code)["standard_permits"], permitted)
        # What `standard` itself refuses, it does not permit; nor what is not refused by the policy.
        self.assertIs(self.check("import socket", policy="standard")["standard_permits"], False)
        self.assertIs(self.check("print(1)")["standard_permits"], False)
        self.assertIs(self.check("import os\nif")["standard_permits"], False)

    def test_many_violations_are_cut_and_counted(self) -> None:
        verdict = self.check("eval('1')\n" * 500)
        self.assertEqual(len(verdict["violations"]), 20)
        self.assertLessEqual(len(verdict["error"]), 1_500)
        self.assertRegex(verdict["error"], r"; and 4\d\d more$")

    def test_hostile_source_gets_a_verdict(self) -> None:
        too_deep = "^SyntaxError: the code is nested too deeply"
        for source in (
            "1 + " * 14_000 + "1",
            "-" * 50_000 + "1",
            "a" + ".a" * 20_000,
            "a" + "()" * 20_000,
            "lambda: " * 7_000 + "1",
        ):
            with self.subTest(source=source[:20]):
                self.assert_syntax_error(source, too_deep, None)
        # From 3.13 on Python parses this, and the depth of the tree is too much.
        self.assertRegex(self.check("if a:\n pass\n" + "elif a:\n pass\n" * 3_000)["error"], too_deep)
        # Within what Python parses, beyond what the visitor would survive.
        self.assert_syntax_error("x = 1\ny = " + "-" * 900 + "1", too_deep, 2)
        self.assert_syntax_error("(" * 5_000, "^SyntaxError: too many nested parentheses", 1)
        self.assert_syntax_error("x = 1\0", "^SyntaxError: source code .* null bytes", None)
        self.assert_syntax_error("x = '\ud800'", "^SyntaxError: the code is not valid UTF-8", None)
        self.assert_syntax_error(b"\xff\xfe", "^SyntaxError: the code is not valid UTF-8", None)
        self.assert_syntax_error("x = " + "9" * 290_000, "^SyntaxError: Exceeds the limit", 1)
        self.assert_syntax_error(
            "#" * 10_000_000, "^SyntaxError: the code is longer than 300,000 bytes", None
        )
        for source in (
            "x = 0x" + "f" * 290_000,
            "x = " + "-" * 190 + "1",
            "x = a" + ".b(c)" * 95,
            "x = [" + "1, " * 90_000 + "]",
        ):
            with self.subTest(source=source[:20]):
                self.assertEqual(self.check(source), ALLOWED)
        # Compiling this would take gigabytes.
        nested = (
            "".join(" " * i + "try: pass\n" + " " * i + "finally:\n" for i in range(20)) + " " * 20 + "pass"
        )
        self.assertEqual(self.check(nested), ALLOWED)

    def test_hostile_code_does_not_hide_what_comes_after_it(self) -> None:
        verdict = self.check("if a:\n pass\n" + "elif a:\n pass\n" * 180 + "else:\n eval('1')\n")
        self.assertEqual([violation["line"] for violation in verdict["violations"]], [364])

    def test_what_is_not_the_fault_of_the_code_is_raised(self) -> None:
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher:x", "", None):
            with self.subTest(url=url), self.assertRaises(ValueError):
                handler({"code_url": url, "policy": "strict"}, None)
        for path in ("/expired", "/moved"):
            with self.subTest(path=path), self.assertRaises(OSError):
                handler({"code_url": self.origin + path, "policy": "strict"}, None)
        with self.assertRaisesRegex(ValueError, "strict, standard"):
            self.check("1", policy="lenient")


if __name__ == "__main__":
    unittest.main()
