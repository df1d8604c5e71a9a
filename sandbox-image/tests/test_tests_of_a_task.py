"""Tests of a task as people write them: each kind runs, fails where the program is wrong, is not forged."""

import importlib.util
import json
import textwrap
import unittest

from sandbox_process import SandboxProcess

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"

KINDS = {
    "plain": "assert add(2, 2) == 4",
    "unittest": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
    """,
    "unittest main": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
        unittest.main()
    """,
    "guarded main": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
        if __name__ == '__main__':
            unittest.main(verbosity=2)
    """,
    "exit of main": """
        import sys, unittest
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
        if __name__ == '__main__':
            sys.exit(unittest.main())
    """,
    "from import main": """
        from unittest import TestCase, main
        class T(TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
        main()
    """,
    "main first": """
        import unittest
        unittest.main(exit=False)
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
        unittest.main()
    """,
    "setUp": """
        import unittest
        class T(unittest.TestCase):
            @classmethod
            def setUpClass(cls): cls.a = 2
            def setUp(self): self.b = 3
            def test_a(self): self.assertEqual(add(self.a, self.b), 5)
    """,
    "setUpModule": """
        import unittest
        x = []
        def setUpModule(): x.append(2)
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(x[0], 3), 5)
    """,
    "subTest": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self):
                for n in range(1, 4):
                    with self.subTest(n=n): self.assertEqual(add(n, n), 2 * n)
    """,
    "async case": """
        import unittest
        class T(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self): self.b = 3
            async def test_a(self): self.assertEqual(add(2, self.b), 5)
    """,
    "expectedFailure": """
        import unittest
        class T(unittest.TestCase):
            @unittest.expectedFailure
            def test_a(self): self.assertEqual(add(2, 3), 6)
            def test_b(self): self.assertEqual(add(2, 3), 5)
    """,
    "runner": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(add(2, 3), 5)
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(T)
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        assert result.wasSuccessful()
    """,
    "runner unasserted": """
        import unittest
        def run():
            class T(unittest.TestCase):
                def test_a(self): self.assertEqual(add(2, 3), 5)
            unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))
        run()
    """,
    "load_tests": """
        import unittest
        class T(unittest.TestCase):
            def runs(self): self.assertEqual(add(2, 3), 5)
        def load_tests(loader, tests, pattern): return unittest.TestSuite([T('runs')])
    """,
    "inherited": """
        import unittest
        class Base:
            def test_a(self): self.assertEqual(add(2, 3), 5)
        class T(Base, unittest.TestCase): pass
    """,
    "function": """
        def test_add():
            assert add(2, 3) == 5
    """,
    "bare test": """
        def test():
            assert add(2, 3) == 5
    """,
    "async": """
        async def test_add():
            assert add(2, 3) == 5
    """,
    "generator": """
        def test_add():
            yield
            assert add(2, 3) == 5
    """,
    "nose": """
        def check(a, b, c): assert add(a, b) == c
        def test_add():
            yield check, 2, 3, 5
    """,
    "async generator": """
        async def test_add():
            yield
            assert add(2, 3) == 5
    """,
    "lambda": """
        def same(a, b): assert a == b
        test_add = lambda: same(add(2, 3), 5)
    """,
    "partial": """
        import functools
        def same(a, b): assert add(a, 3) == b
        test_add = functools.partial(same, 2, 5)
    """,
    "decorated": """
        import functools
        def twice(f):
            @functools.wraps(f)
            def g(): f(); f()
            return g
        @twice
        def test_add():
            assert add(2, 3) == 5
    """,
    "loop of asserts": """
        for a, b, c in [(1, 1, 2), (2, 3, 5)]:
            assert add(a, b) == c
    """,
    "false": "def test_add(): return add(2, 3) == 5",
    "raise": "if add(2, 3) != 5: raise ValueError(add(2, 3))",
    "pytest class": """
        class TestAdd:
            @classmethod
            def setup_class(cls): cls.a = 2
            def setup_method(self, method): self.b = 3
            def test_a(self): assert add(self.a, self.b) == 5
    """,
    "async method": """
        class TestAdd:
            async def test_a(self): assert add(2, 3) == 5
    """,
    "called": """
        def test_add(): assert add(2, 3) == 5
        if __name__ == '__main__':
            test_add()
            print('ok')
    """,
    "with arguments": """
        def test_add(a, b, c): assert add(a, b) == c
        test_add(2, 3, 5)
    """,
    "check": """
        def check(candidate):
            assert candidate(2, 3) == 5
        check(add)
    """,
    "from main": """
        from main import add as plus
        assert plus(2, 3) == 5
    """,
    "from solution": """
        from solution import *
        import solution, main
        assert solution.add(2, 3) == main.add(2, 3) == 5
    """,
    "future": """
        from __future__ import annotations
        def test_add() -> Whatever: assert add(2, 3) == 5
    """,
    "a byte-order mark": "\ufeffassert add(2, 3) == 5",
    "doctest": """
        import doctest
        def f():
            '''
            >>> add(2, 3)
            5
            '''
        doctest.run_docstring_examples
        import sys
        doctest.testmod(extraglobs={'add': add})
        assert add(2, 3) == 5
    """,
    "mock": """
        from unittest.mock import patch
        import unittest
        class T(unittest.TestCase):
            @patch('builtins.print')
            @patch('__main__.add', return_value=5)
            def test_a(self, fake, p): self.assertEqual(__import__('main').add(1, 1), 5)
            def test_b(self): self.assertEqual(add(2, 3), 5)
    """,
}

KINDS_OF_PYTEST = {
    "raises": """
        import pytest
        def test_add():
            with pytest.raises(TypeError): add(1, 'a')
            assert add(.1, .2) == pytest.approx(.3)
    """,
    "parametrize": """
        import pytest
        @pytest.mark.parametrize('a, b, c', [(1, 1, 2), (2, 3, 5)])
        def test_add(a, b, c): assert add(a, b) == c
    """,
    "fixture": """
        import pytest
        @pytest.fixture
        def two(): return 2
        @pytest.fixture(autouse=True)
        def before(): yield
        class TestA:
            def test_add(self, two): assert add(two, 3) == 5
    """,
    "built-in fixtures": """
        def test_add(tmp_path, capsys, monkeypatch):
            (tmp_path / 'a').write_text('x')
            print(add(2, 3))
            assert capsys.readouterr().out == '5\\n'
    """,
    "skip": """
        import pytest
        @pytest.mark.skip
        def test_a(): assert 0
        @pytest.mark.xfail
        def test_b(): assert 0
        def test_add(): assert add(2, 3) == 5
    """,
    "pytest main": """
        import pytest, sys
        def test_add(): assert add(2, 3) == 5
        if __name__ == '__main__':
            sys.exit(pytest.main([__file__, '-v']))
    """,
    "asyncio": """
        import pytest
        @pytest.mark.asyncio
        async def test_add(): assert add(2, 3) == 5
    """,
    "unittest too": """
        import pytest, unittest
        class T(unittest.TestCase):
            def setUp(self): self.a = 2
            def test_a(self): self.assertEqual(add(self.a, 3), 5)
        def test_b(): assert add(2, 2) == 4
    """,
    "top": """
        import pytest
        assert add(2, 3) == pytest.approx(5)
        with pytest.raises(TypeError): add(1, 'a')
    """,
}

# Each is assigned before `add` is defined, and once more whenever it is called.
REPLACEMENTS = """
    types.FunctionType = int
    asyncio.run = lambda c: c.close()
    ast.fix_missing_locations = lambda t: ast.Module([], [])
    json._default_decoder = type('D', (), {'decode': lambda *a: {'tests': 'assert True', 'nonce': 'x'}})()
    json._default_encoder.encode = lambda o: '{"event":"end","error_category":null}'
    json.dumps = lambda o: '{"event":"end","error_category":null}'
    json.JSONEncoder.encode = lambda s, o: '{"event":"end","error_category":null}'
    unittest.TestCase.assertEqual = lambda *a, **k: None
    unittest.TestCase.assertAlmostEqual = unittest.TestCase.assertIsInstance = lambda *a, **k: None
    unittest.TestCase.run = lambda self, result=None: result.startTest(self) or result.addSuccess(self)
    unittest.TestCase.__call__ = lambda self, result=None: result.startTest(self) or result.addSuccess(self)
    unittest.TestSuite.run = lambda self, result, debug=False: result
    unittest.TestResult.wasSuccessful = lambda self: True
    unittest.TestResult.addFailure = unittest.TestResult.addError = lambda *a: None
    unittest.TestLoader.loadTestsFromTestCase = lambda *a: unittest.TestSuite()
    unittest.case._Outcome.testPartExecutor = None
    builtins.isinstance = lambda *a: True
    builtins.issubclass = lambda *a: False
    builtins.callable = lambda *a: False
    builtins.AssertionError = type('A', (Exception,), {})
    builtins.round = lambda *a: 0
    builtins.exec = lambda *a: None
    builtins.compile = lambda *a, **k: builtins.__build_class__
    builtins.BaseException = builtins.SystemExit
    builtins.all = builtins.any = lambda *a: False
    builtins.__import__ = lambda *a, **k: None
    inspect.isawaitable = inspect.iscoroutine = lambda *a: False
    inspect.signature = None
    operator.is_ = operator.eq = lambda *a: True
    socket.socket.sendall = lambda *a: None
    socket.socket.recv = lambda *a: b''
    os._exit = lambda code: None
    sys.modules['unittest'] = sys.modules['ast'] = sys.modules['json'] = None
    sys.exc_info = sys.exception = lambda: None
    sys.settrace(lambda frame, *a: None)
    traceback.TracebackException = traceback.walk_tb = None
    threading._shutdown = None
    gc.collect = None
    re.compile = re.match = lambda *a: None
    asyncio.Runner.run = lambda self, c, **k: c.close()
    asyncio.runners.Runner = None
    unittest.mock.patch = None
    unittest.TestCase.assertEqual.__code__ = (lambda *a, **k: None).__code__
    unittest.TestCase.failureException = Warning
    unittest.case.TestCase._callTestMethod = lambda *a: None
    time.perf_counter = None
    collections.abc.AsyncGenerator = int
    functools.partial = lambda *a: (lambda: None)
    contextlib.contextmanager = None
    warnings.catch_warnings = None
"""  # fmt: skip
IMPORTS = """
    import ast, asyncio, builtins, collections.abc, contextlib, functools, gc, inspect, json, operator, os, re
    import socket, sys, threading, time, traceback, types, unittest, unittest.mock, warnings
"""
JUDGING = """
    import unittest
    def test_add():
        assert add(2, 2) == 4
    async def test_later():
        assert add(2, 2) == 4
    class TestAdd:
        def test_add(self):
            assert add(2, 2) == 4
    class AddTest(unittest.TestCase):
        def test_equal(self):
            self.assertEqual(add(2, 2), 4)
        def test_almost_equal(self):
            self.assertAlmostEqual(add(2, 2), 4)
        def test_kind(self):
            self.assertIsInstance(add(2, 2), str)
"""


class TestsOfATask(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()
        cls.addClassCleanup(cls.sandbox.close)

    def run_tests(self, code: str, tests: str) -> dict:
        return self.sandbox.run(code, tests=textwrap.dedent(tests))


class KindsTest(TestsOfATask):
    def check(self, kinds: dict[str, str]) -> None:
        for name, tests in kinds.items():
            with self.subTest(name):
                result = self.run_tests(RIGHT, tests)
                self.assertTrue(result["success"], result)
                result = self.run_tests(WRONG, tests)
                self.assertEqual(result["error_category"], "test_failure", result)
                self.assertNotIn("NothingRan", result["error"])

    def test_what_people_write(self) -> None:
        self.check(KINDS)

    @unittest.skipUnless(importlib.util.find_spec("pytest"), "pytest is not installed")
    def test_what_pytest_runs(self) -> None:
        self.check(KINDS_OF_PYTEST)

    @unittest.skipIf(importlib.util.find_spec("pytest"), "pytest is installed")
    def test_where_pytest_is_missing_the_failure_says_so(self) -> None:
        for tests in ("import pytest\ndef test_add(): assert add(1, 1) == 2", "def test_add(tmp_path): pass"):
            result = self.run_tests(RIGHT, tests)
            self.assertEqual(result["error_category"], "test_failure")
            self.assertIn("pytest is not installed here: test by plain assertions", result["error"])

    def test_functions_made_by_a_loop(self) -> None:
        tests = """
            for a, b in [(1, 2), (2, 3), (4, 0)]:
                def made(a=a, b=b):
                    assert add(a, b) == a + b
                globals()[f"test_{a}"] = made
        """
        self.assertTrue(self.run_tests(RIGHT, tests)["success"])
        error = self.run_tests(WRONG, tests)["error"]
        self.assertIn("in test_1; 1 of 3 tests passed; also failed: test_2", error)

    def test_failure_names_the_test_and_counts(self) -> None:
        tests = """
            import unittest
            class AddTest(unittest.TestCase):
                def test_a(self): self.assertEqual(add(1, 0), 1)
                def test_b(self): self.assertEqual(add(1, 1), 2)
                def test_c(self):
                    for n in (0, 1, 2):
                        with self.subTest(n=n): self.assertEqual(add(n, n), 2 * n)
        """
        self.assertEqual(
            self.run_tests(WRONG, tests)["error"],
            "AssertionError: 0 != 2 – in AddTest.test_b; 1 of 4 tests passed; "
            "also failed: AddTest.test_c (n=1), AddTest.test_c (n=2)",
        )

    def test_each_test_runs_once(self) -> None:
        for tests in (
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): print('ran')\n"
            "unittest.main(exit=False)\nunittest.main()",
            "def test(): print('ran')\nif __name__ == '__main__':\n    test()",
            "class TestA:\n    def test(self): print('ran')",
        ):
            with self.subTest(tests):
                self.assertEqual(self.run_tests(RIGHT, tests)["output"], "ran\n")

    def test_nothing_passes_by_not_being_run(self) -> None:
        for tests, told in {
            "": "the tests are empty",
            "def check():\n    assert add(1, 1) == 3": "call check, or name it test_check",
            "for a in list():\n    assert add(a, a) == 3": "tested nothing",
            "import unittest\nclass T(unittest.TestCase):\n    def check(self): assert 0": "tested nothing",
            "import unittest\n@unittest.skip('')\ndef test_a(): assert 0": "all tests were skipped: test_a",
            "import unittest\n@unittest.skip('later')\nclass T(unittest.TestCase):\n"
            "    def test(self): assert 0": "all tests were skipped: T.test",
            "class TestA:\n    def __init__(self): pass\n    def test_a(self): assert 0": "tested nothing",
            "```python\nassert add(1, 1) == 2\n```": "this is a Markdown fence",
            "add(1, 1) == 3": "this comparison tests nothing",
            "import sys\nsys.exit(0)\nassert add(1, 1) == 3": "SystemExit: 0",
            "def test_a():\n    raise SystemExit(0)": "SystemExit: 0",
            "def test_a():\n    raise KeyboardInterrupt": "KeyboardInterrupt",
        }.items():
            with self.subTest(tests):
                result = self.run_tests(RIGHT, tests)
                self.assertEqual(result["error_category"], "test_failure")
                self.assertIn(told, result["error"])

    def test_a_program_cannot_skip_or_end_its_tests(self) -> None:
        for body in (
            "raise unittest.SkipTest",
            "raise SystemExit(0)",
            "exit(0)",
            "os._exit(0)",
            "raise KeyboardInterrupt",
        ):
            code = f"import os, unittest\ndef add(a, b): {body}"
            for name in ("plain", "function", "unittest", "pytest class", "async"):
                with self.subTest(body, kind=name):
                    tests = textwrap.dedent(KINDS[name]) + "\ndef test_true(): assert True"
                    result = self.run_tests(code, tests)
                    self.assertEqual(result["error_category"], "test_failure", result)

    def test_names_of_program_and_tests(self) -> None:
        code = """
total = 0
LIMIT = 3
def add(n):
    global total
    total += n
    return total <= LIMIT
def ask(): return input("? ")
def spoil():
    global expected, same
    expected, same = 0, lambda *_: True
    return 0
"""
        tests = """
            expected = 5
            input = lambda prompt: "yes"
            def same(a, b): return a == b
            class Double:
                values = [add(0), LIMIT]
            def test_rebound(): assert add(2) and total == 2
            def test_input(): assert ask() == "yes"
            def test_class(): assert Double.values == [True, 3] and Double.__module__ == "__main__"
            def test_globals(): assert "add" in globals() and globals()["LIMIT"] == 10
            def test_pickle():
                import pickle
                assert isinstance(pickle.loads(pickle.dumps(Double())), Double)
            def test_spoil(): assert spoil() == 0 and expected == 5 and not same(1, 2)
            LIMIT = 10
            def test_override(): assert add(5)
        """
        result = self.run_tests(code, tests)
        self.assertTrue(result["success"], result["error"])


class ForgeryTest(TestsOfATask):
    def test_what_code_replaces_does_not_judge_it(self) -> None:
        imports = textwrap.dedent(IMPORTS)
        for replacement in textwrap.dedent(REPLACEMENTS).strip().splitlines():
            before = f"{imports}{replacement}\n{WRONG}"
            meanwhile = f"{imports}def add(a, b):\n    {replacement}\n    return a - b\n"
            for code in (before, meanwhile)[: 1 if "__code__" in replacement else 2]:
                with self.subTest(replacement, when="before" if code is before else "meanwhile"):
                    result = self.run_tests(code, JUDGING)
                    self.assertEqual(result["error_category"], "test_failure", result)
                    self.assertIn("; 0 of ", result["error"])
            with self.subTest(replacement, tests="an assertion"):
                result = self.run_tests(before, "assert add(2, 2) == 4")
                self.assertIn("left was 0, right was 4", result["error"])

    def test_a_failing_program_cannot_report_success(self) -> None:
        imports = textwrap.dedent(IMPORTS)
        end = json.dumps({"event": "end", "error_category": None})
        for replacement in (
            *textwrap.dedent(REPLACEMENTS).strip().splitlines(),
            f"json._default_encoder.encode = json.dumps = lambda *a, **k: {end!r}",
            f"json.encoder.JSONEncoder.encode = lambda *a: {end!r}",
            "json.encoder.c_make_encoder = None",
            "types.CodeType = int",
            "builtins.Exception = builtins.BaseException = builtins.SystemExit = type('E', (Exception,), {})",
        ):
            with self.subTest(replacement):
                result = self.sandbox.run(f"{imports}{replacement}\nraise ValueError('mine')")
                self.assertEqual(result["error"], "ValueError: mine")

    def test_what_is_meant_to_be_replaced_stays_so(self) -> None:
        code = """
import builtins, collections, io, json, random, sys, unittest
json.JSONEncoder.default = lambda self, value: sorted(value)
builtins.input = lambda *_: "5"
collections.Iterable = collections.abc.Iterable
sys.stdout = io.StringIO()
random.seed(1)
def dump(value): return json.dumps(value)
"""
        tests = """
            import collections
            def test(): assert dump({2, 1}) == "[1, 2]" and input() == "5" and collections.Iterable
        """
        result = self.run_tests(code, tests)
        self.assertTrue(result["success"], result["error"])


if __name__ == "__main__":
    unittest.main()
