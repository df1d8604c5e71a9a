"""What a sandbox makes of code: results, errors, output, tests. A real supervisor, zygote and children."""

import importlib.util
import json
import os
import signal
import sys
import time
import unittest

from sandbox_process import ROOT, SandboxProcess, is_alive


class SandboxTest(unittest.TestCase):
    """Each class has one sandbox for all of its tests, as an execution has for its attempts."""

    sandbox: SandboxProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def run_code(self, code: str, **job: object) -> dict:
        return self.sandbox.run(code, **job)


class ResultTest(SandboxTest):
    def test_program_that_ends_well(self) -> None:
        result = self.run_code("print('hello', 6 * 7)")
        self.assertTrue(result["success"])
        self.assertEqual(result["output"], "hello 42\n")
        self.assertEqual(result["exit_code"], 0)
        for field in ("error_category", "error", "error_line", "traceback", "signal"):
            self.assertIsNone(result[field])
        self.assertFalse(result["output_truncated"])
        self.assertLess(result["execution_time"], 1)
        self.assertGreater(result["peak_memory_bytes"], 1_000_000)
        self.assertEqual((result["locals"], result["violations"], result["artifacts"]), ({}, [], []))

    def test_looks_like_a_script_that_was_started(self) -> None:
        result = self.run_code(
            """
            import os, sys
            from dataclasses import dataclass
            import pickle

            @dataclass
            class Point:
                x: int

            assert __name__ == "__main__" and __file__ == "main.py"
            assert sys.argv == ["main.py"] and sys.path[0] == os.getcwd() == os.environ["HOME"]
            assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
            assert sys.stdin.read() == "" and "sandbox" not in sys.modules
            open("helper.py", "w").write("answer = 42")
            import helper
            print(helper.answer)
            """
        )
        self.assertEqual(result["output"], "42\n", result)

    def test_exception_with_line_locals_and_traceback(self) -> None:
        result = self.run_code(
            """\
            import math
            def divide(a, b):
                big = list(range(100000))
                return a / b
            divide(a=3, b=0)
            """
        )
        self.assertEqual(result["error_category"], "exception")
        self.assertEqual(result["error"], "ZeroDivisionError: division by zero")
        self.assertEqual((result["error_line"], result["exit_code"]), (4, 1))
        self.assertEqual(result["locals"]["b"], "0")
        self.assertLessEqual(len(result["locals"]["big"]), 200)
        self.assertIn('File "main.py", line 4, in divide\n    return a / b', result["traceback"])
        self.assertNotIn("harness", result["traceback"])
        self.assertEqual(result["output"], "")

    def test_exception_inside_a_library_shows_the_frames_of_the_code_only(self) -> None:
        result = self.run_code("import json\n\njson.loads('{')")
        self.assertTrue(
            result["error"].startswith("JSONDecodeError: Expecting property name"), result["error"]
        )
        self.assertEqual(result["error_line"], 3)
        self.assertNotIn("decoder.py", result["traceback"])

    def test_cause_and_context_are_told(self) -> None:
        result = self.run_code(
            "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('no a') from e"
        )
        self.assertEqual((result["error"], result["error_line"]), ("ValueError: no a", 4))
        self.assertIn("KeyError: 'a'", result["traceback"])

    def test_paths_of_the_host_are_not_told(self) -> None:
        result = self.run_code(
            """
            import json, logging, os, sys, traceback, warnings
            print(os.getcwd(), os.path.abspath("out.csv"), os.environ["HOME"], sys.path, json.__file__)
            print(sys.executable, sys.prefix, sys.base_prefix, sys.orig_argv, os.__file__)
            traceback.print_stack()
            try: json.loads("{")
            except ValueError: traceback.print_exc(); logging.exception("log")
            warnings.warn("careful")
            os.write(1, os.getcwdb()[:9]); os.write(1, os.getcwdb()[9:])
            here, library = os.path.abspath("x"), "x" * 150 + json.__file__
            open(os.path.abspath("missing.txt"))
            """
        )
        told = f"{result['output']}{result['error']}{result['traceback']}{result['locals']}"
        project = os.path.dirname(ROOT)
        for path in (
            self.sandbox.work_dir,
            project,
            sys.prefix,
            sys.base_prefix,
            os.path.dirname(json.__file__),
        ):
            if path not in ("/usr", "/usr/local"):
                self.assertNotIn(path, told)
        self.assertIn("./out.csv", result["output"])
        self.assertIn('File "json/decoder.py"', result["output"])
        self.assertIn("'./missing.txt'", result["error"])
        self.assertEqual(result["locals"]["here"], "'./x'")

    def test_endless_recursion(self) -> None:
        result = self.run_code("def f(n):\n    return f(n + 1)\nf(0)")
        self.assertTrue(result["error"].startswith("RecursionError: maximum recursion depth"))
        self.assertLessEqual(len(result["traceback"]), 8000)

    def test_lines_are_counted_as_python_counts_them(self) -> None:
        result = self.run_code("a = '\u2028\x0c'\r\nb = 1\r1 / 0\n")
        self.assertEqual(result["error_line"], 3)
        self.assertIn("    1 / 0\n", result["traceback"])

    def test_syntax_error(self) -> None:
        result = self.run_code("x = 1\nif x = 1:\n    pass")
        self.assertEqual((result["error_category"], result["error_line"]), ("syntax_error", 2))
        self.assertTrue(result["error"].startswith("SyntaxError: invalid syntax. Maybe you meant '=='"))

    def test_code_that_the_compiler_cannot_take(self) -> None:
        for name, code in {
            "null byte": "x = '\0'",
            "half a surrogate pair": "x = '\ud800'",
            "deep nesting": "(" * 3000 + ")" * 3000,
            "return outside a function": "return 1",
        }.items():
            with self.subTest(name):
                result = self.run_code(code)
                self.assertEqual(result["error_category"], "syntax_error", result)
                self.assertTrue(result["error"].startswith("SyntaxError: "), result)

    def test_exit_codes(self) -> None:
        for code, success, exit_code, error in [
            ("import sys; sys.exit()", True, 0, None),
            ("import sys; sys.exit(0)", True, 0, None),
            ("import sys\nsys.exit(3)", False, 3, "SystemExit: 3"),
            ("raise SystemExit('no luck')", False, 1, "SystemExit: no luck"),
            ("import os; os._exit(0)", True, 0, None),
            ("import os; os._exit(3)", False, 3, "SystemExit: 3"),
        ]:
            with self.subTest(code):
                result = self.run_code(code)
                self.assertEqual(
                    (result["success"], result["exit_code"], result["error"]), (success, exit_code, error)
                )

    def test_crash_tells_signal_and_line(self) -> None:
        result = self.run_code("import ctypes\ndef crash():\n    ctypes.string_at(0)\ncrash()")
        self.assertEqual(
            (result["error_category"], result["error"]), ("exception", "Killed by signal SIGSEGV")
        )
        self.assertEqual((result["signal"], result["exit_code"], result["error_line"]), ("SIGSEGV", None, 3))
        self.assertIn("ctypes.string_at(0)", result["traceback"])

    def test_time_out_tells_where_the_program_was(self) -> None:
        start = time.monotonic()
        result = self.run_code("print('begun')\nn = 0\nwhile True:\n    n += 1", timeout=0.3)
        self.assertLess(time.monotonic() - start, 2)
        self.assertEqual(result["error_category"], "timeout")
        self.assertEqual(result["error"], "Timeout: the program ran longer than 0.3 s")
        self.assertIn(result["error_line"], (3, 4))
        self.assertEqual(result["output"], "begun\n")

    def test_time_out_of_code_that_refuses_to_be_interrupted(self) -> None:
        code = """
            import signal
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            while True:
                try:
                    while True: pass
                except BaseException: pass
        """
        self.assertEqual(self.run_code(code, timeout=0.3)["error_category"], "timeout")

    def test_threads_count_and_do_not_outlive_the_time_limit(self) -> None:
        code = "import threading, time\nthreading.Thread(target=time.sleep, args=({},)).start()"
        result = self.run_code(code.format(0.2))
        self.assertTrue(result["success"])
        self.assertGreaterEqual(result["execution_time"], 0.2)
        self.assertEqual(self.run_code(code.format(60), timeout=0.3)["error_category"], "timeout")

    def test_memory_exhaustion(self) -> None:
        for name, code in {
            "list": "x = []\nwhile True: x.append([0] * 1000)",
            "bytearray": "x = bytearray(10 ** 10)",
            "string": "x = 'a'\nwhile True: x += x",
            "deep in calls": "def f(n):\n    return f(n - 1) if n else [0] * 10 ** 9\nf(50)",
        }.items():
            with self.subTest(name):
                result = self.run_code(code)
                self.assertEqual(result["error_category"], "memory", result)
                self.assertEqual(result["error"], "MemoryError: the program used more than 256 MB")
                self.assertIsNotNone(result["error_line"])

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "numpy is not installed")
    def test_memory_exhaustion_in_numpy(self) -> None:
        result = self.run_code("import numpy\nnumpy.ones((50000, 50000))")
        self.assertEqual(result["error_category"], "memory")
        self.assertTrue(result["error"].startswith("MemoryError: Unable to allocate"), result["error"])

    def test_policy_is_checked_again(self) -> None:
        result = self.run_code("import subprocess\nprint('ran')", policy="strict")
        self.assertEqual((result["error_category"], result["success"]), ("policy_violation", False))
        self.assertTrue(result["error"].startswith("PolicyViolation: line 1: "), result["error"])
        self.assertEqual(result["violations"][0]["line"], 1)
        self.assertEqual(set(result["violations"][0]), {"line", "rule", "message"})
        self.assertEqual(result["output"], "")

    def test_next_attempt_knows_nothing_of_the_last_one(self) -> None:
        first = self.run_code(
            "import json, random\njson.hidden = 1\nprint(random.random())\nopen('a', 'w').close()"
        )
        second = self.run_code(
            "import json, os, random\nprint(hasattr(json, 'hidden'), sorted(os.listdir()))"
        )
        self.assertEqual(second["output"], "False ['.tmp', 'main.py']\n")
        third = self.run_code("import random\nprint(random.random())")
        self.assertNotEqual(first["output"], third["output"])

    def test_job_that_is_not_valid(self) -> None:
        for fault in (
            {"timeout": -1},
            {"timeout": "soon"},
            {"policy": "lax"},
            {"code": "#" * 70_000},
            {"tests": 3},
        ):
            with self.subTest(str(fault)[:40]):
                result = self.run_code(**{"code": "print(1)", **fault})
                self.assertEqual(result["error_category"], "sandbox_error")


class PolicyCheckTest(unittest.TestCase):
    def test_no_job_can_switch_it_off(self) -> None:
        sandbox = SandboxProcess(policy_check=True)
        self.addCleanup(sandbox.close)
        result = sandbox.run("import subprocess", policy="none")
        self.assertEqual(result["error_category"], "sandbox_error")
        self.assertIn("policy must be one of: standard, strict", result["error"])
        self.assertTrue(sandbox.run("print(1)", policy="standard")["success"])


class OutputTest(SandboxTest):
    def test_both_streams_in_order(self) -> None:
        result = self.run_code(
            """
            import os, sys
            print("1 out"); print("2 err", file=sys.stderr); sys.stdout.write("3 out ")
            sys.stderr.write("4 err ")
            sys.stdout.buffer.write(b"5 bytes\\n"); sys.stdout.flush(); os.write(2, b"6 raw\\n")
            print("7 out")
            """
        )
        self.assertEqual(result["output"], "1 out\n2 err\n3 out 4 err 5 bytes\n6 raw\n7 out\n")

    def test_bytes_that_are_no_text(self) -> None:
        result = self.run_code("import os\nos.write(1, b'a\\xffb\\n'); print('c\\udc80d', '\\0', 'ä€😀')")
        self.assertEqual(result["output"], "a�b\nc\\udc80d \0 ä€😀\n")

    def test_gigabyte_of_output_keeps_head_and_tail_in_bounded_memory(self) -> None:
        result = self.run_code(
            """
            import os
            print("the head")
            block = b"x" * 2 ** 20
            for _ in range(2 ** 10):
                os.write(1, block)
            print("the tail")
            """,
            timeout=20,
        )
        self.assertTrue(result["success"] and result["output_truncated"], result["error"])
        self.assertTrue(
            result["output"].startswith("the head\nxxx") and result["output"].endswith("xxxthe tail\n")
        )
        self.assertLessEqual(len(result["output"].encode()), 2**20)
        left_out = 2**30 + 18 - len(result["output"].replace("\n… ", "").partition(" bytes left out …\n")[0])
        self.assertRegex(result["output"], r"x\n… 107\d{7} bytes left out …\nx")
        self.assertGreater(left_out, 2**30 - 2**20)
        with open(f"/proc/{self.sandbox.process.pid}/status", encoding="ascii") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        self.assertLess(peak, 150_000, "kilobytes of the supervisor")

    def test_output_is_streamed_while_the_program_runs(self) -> None:
        job_id = self.sandbox.submit("import time\nprint('early')\ntime.sleep(0.9)\nprint('late')")
        chunk = self.sandbox.mailbox.wait_for(f"output/{job_id}/1.json")
        self.assertIn(b'"text": "early\\n"', chunk)
        self.assertIsNone(self.sandbox.mailbox.find(f"results/{job_id}.json"))
        self.assertEqual(self.sandbox.result_of(job_id)["output"], "early\nlate\n")
        names = [name for name in self.sandbox.mailbox.names() if job_id in name]
        self.assertEqual(names[0], f"started/{job_id}.json")
        self.assertEqual(names[-1], f"results/{job_id}.json")

    def test_text_without_a_line_end_is_streamed_and_kept_however_the_program_ends(self) -> None:
        job_id = self.sandbox.submit("import time\nprint('dots ..€', end='')\ntime.sleep(60)", timeout=0.9)
        chunk = self.sandbox.mailbox.wait_for(f"output/{job_id}/1.json")
        self.assertEqual(json.loads(chunk)["text"], "dots ..€")
        result = self.sandbox.result_of(job_id)
        self.assertEqual((result["error_category"], result["output"]), ("timeout", "dots ..€"))
        for end in (
            "import os; os._exit(0)",
            "import os; os.kill(os.getpid(), 9)",
            "import ctypes; ctypes.string_at(0)",
            "x = bytearray(10 ** 10)",
            "import os; os.abort()",
        ):
            with self.subTest(end):
                code = f"import sys\nprint('a', end=' ')\nsys.stderr.write('b ')\nprint('c', end='')\n{end}"
                self.assertEqual(self.run_code(code)["output"], "a b c")

    def test_of_a_short_program_only_the_result_is_uploaded(self) -> None:
        result = self.run_code("print('short')")
        names = [name for name in self.sandbox.mailbox.names() if f"/{result['job_id']}" in name]
        self.assertEqual(names, [f"results/{result['job_id']}.json"])


class TestsOfATaskTest(SandboxTest):
    CODE = "def add(a, b):\n    return a + b\n"

    def test_passing(self) -> None:
        result = self.run_code(
            self.CODE,
            tests="assert add(2, 2) == 4\ndef test_more():\n    assert add(-1, 1) == 0\n    print('ran')",
        )
        self.assertTrue(result["success"], result)
        self.assertEqual(result["output"], "ran\n")

    def test_failing_assertion_shows_values(self) -> None:
        result = self.run_code(self.CODE, tests="\n\nassert add(2, 2) == 5")
        self.assertEqual(result["error_category"], "test_failure")
        self.assertEqual(
            result["error"], "AssertionError: add(2, 2) == 5 (line 3 of the tests): left was 4, right was 5"
        )
        self.assertIsNone(result["error_line"])
        self.assertIn('File "tests.py", line 3', result["traceback"])

    def test_other_failing_assertions(self) -> None:
        for tests, told in {
            "assert not add(1, 1)": "not add(1, 1) (line 1 of the tests): was False",
            "assert add(1, 1) in (3, 4), 'a sum'": "left was 2, right was (3, 4) – a sum",
            "def test_x():\n    assert add(0, 0)": "add(0, 0) (line 2 of the tests): was 0",
            "async def test_y():\n    assert add(0, 0) is None": "left was 0, right was None",
            "class Bad:\n    def __repr__(self): 1 / 0\nassert Bad() == 1": "repr raises ZeroDivisionError",
        }.items():
            with self.subTest(tests):
                result = self.run_code(self.CODE, tests=tests)
                self.assertEqual(result["error_category"], "test_failure")
                self.assertIn(told, result["error"])

    def test_error_in_the_code_that_tests_call_tells_its_line(self) -> None:
        result = self.run_code("def f(x):\n    return x.y\n", tests="def test_f():\n    f(1)")
        self.assertEqual((result["error_category"], result["error_line"]), ("test_failure", 2))
        self.assertEqual(result["error"], "AttributeError: 'int' object has no attribute 'y'")
        self.assertEqual(result["locals"], {"x": "1"})

    def test_broken_tests_and_missing_names(self) -> None:
        self.assertIn("SyntaxError", self.run_code(self.CODE, tests="assert =")["error"])
        result = self.run_code("x = 1", tests="add(1, 2)")
        self.assertEqual((result["error_category"], result["error"][:9]), ("test_failure", "NameError"))

    def test_functions_of_the_code_are_not_its_tests(self) -> None:
        self.assertTrue(self.run_code("def test_of_mine():\n    1 / 0", tests="assert True")["success"])

    def test_code_that_fails_before_its_tests(self) -> None:
        result = self.run_code("1 / 0", tests="assert True")
        self.assertEqual(result["error_category"], "exception")

    def test_ending_early_does_not_pass(self) -> None:
        for code in (
            "import sys; sys.exit(0)",
            "import sys; sys.exit(0)\ndef add(a, b): return a + b",
            "import os; os._exit(0)",
            "import os\ndef add(a, b): os._exit(0)",
            "import sys\ndef add(a, b): sys.exit(0)",
            "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit",
        ):
            with self.subTest(code):
                result = self.run_code(code, tests="assert add(2, 2) == 4")
                self.assertEqual(result["error_category"], "test_failure")
        early = self.run_code("import os; os._exit(0)", tests="assert True")
        self.assertEqual(early["error"], "the program ended before the tests were run")

    def test_program_that_ends_by_exit_code_0_is_tested(self) -> None:
        for end in (
            "def main(): return 0\nraise SystemExit(main())",
            "import sys\nif __name__ == '__main__': sys.exit()",
            "import sys\nsys.exit(0)",
            "exit()",
            "quit(0)",
            "import unittest\nunittest.main()" if sys.version_info < (3, 12) else "raise SystemExit",
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\nunittest.main()",
        ):
            with self.subTest(end):
                result = self.run_code(f"{self.CODE}{end}", tests="assert add(2, 2) == 4")
                self.assertTrue(result["success"], result)
                result = self.run_code(f"{self.CODE}{end}", tests="assert add(2, 2) == 5")
                self.assertEqual(result["error_category"], "test_failure")

    def test_program_that_ends_by_another_exit_code_is_not(self) -> None:
        for end, exit_code in (
            ("import sys; sys.exit(3)", 3),
            ("import sys; sys.exit(True)", 1),
            ("import sys; sys.exit(-1)", 255),
            ("import sys; sys.exit(256)", 255),
            ("import sys; sys.exit(2 ** 70)", 255),
            ("import sys; sys.exit(0.0)", 1),
            ("import sys; sys.exit('')", 1),
            ("import sys\nclass Odd:\n    def __str__(self): raise SystemExit(0)\nsys.exit(Odd())", 1),
            ("class Odd(SystemExit):\n    code = property(lambda self: 1 / 0)\nraise Odd", 1),
            ("class Odd(int):\n    def __index__(self): return 0\nraise SystemExit(Odd(4))", 4),
        ):
            with self.subTest(end):
                for tests in (None, "assert True"):
                    result = self.run_code(end, tests=tests)
                    self.assertEqual(
                        (result["error_category"], result["exit_code"]), ("exception", exit_code)
                    )

    def test_verdict_cannot_be_forged_while_the_code_runs(self) -> None:
        forge = """
            import json, os, struct
            for fd in range(3, 20):
                for nonce in (None, "", "0" * 32, "ä", 3):
                    body = json.dumps({"event": "end", "error_category": None, "nonce": nonce}).encode()
                    try:
                        os.write(fd, struct.pack("!I", len(body)) + body)
                    except OSError:
                        pass
            os._exit(0)
        """
        self.assertEqual(self.run_code(forge, tests="assert False")["error_category"], "test_failure")

    def test_forged_reports_harm_nobody(self) -> None:
        code = """
            import json, os, struct
            body = json.dumps({!r}).encode()
            os.write(3, struct.pack("!I", len(body)) + body)
            os._exit(1)
        """
        end = {"event": "end", "error_category": "exception", "error": "E: e"}
        for forged in (
            {"event": [], "error_category": {}},
            {**end, "error_category": ["exception"]},
            {**end, "error_category": "timeout"},
            {**end, "error": {}, "error_line": True, "traceback": 3, "locals": [1], "violations": {}},
            {**end, "error_line": 10**6, "locals": {"x": {}, "y" * 500: "z" * 500}, "execution_time": -1.0},
            {**end, "violations": [1, {"line": "x"}, {"line": 1, "rule": [], "message": "m" * 9999}]},
            {**end, "execution_time": 1e300, "error": "E" * 9999, "locals": {f"x{n}": "" for n in range(99)}},
        ):
            with self.subTest(str(forged)[:80]):
                result = self.run_code(code.format(forged))
                self.assertEqual(result["error_category"], "exception")
                self.assertLessEqual(len(result["error"]), 2000)
                self.assertIn(result["error_line"], (None, 1))
                self.assertLessEqual(len(result["locals"]), 20)
                self.assertLess(result["execution_time"], 5)
                self.assertLess(len(str(result)), 10_000)

    def test_nonsense_on_the_channel_ends_the_attempt(self) -> None:
        result = self.run_code("import os, time\nos.write(3, b'\\xff' * 100)\ntime.sleep(60)")
        self.assertEqual(result["error_category"], "exception")
        self.assertIn("the sandbox's own channel", result["error"])

    def test_time_limit_includes_the_tests(self) -> None:
        self.assertEqual(
            self.run_code("x = 1", tests="while True: pass", timeout=0.3)["error_category"], "timeout"
        )


class LifecycleTest(unittest.TestCase):
    def setUp(self) -> None:
        self.sandbox = SandboxProcess()
        self.addCleanup(self.sandbox.close)

    def wait_for_start(self, code: str = "print('on', flush=True)\nwhile True: pass") -> str:
        job_id = self.sandbox.submit(code, timeout=60)
        self.sandbox.mailbox.wait_for(f"output/{job_id}/1.json")
        return job_id

    def assert_ended(self, exit_code: int, within: float) -> None:
        start = time.monotonic()
        self.assertEqual(self.sandbox.process.wait(10), exit_code)
        self.assertLess(time.monotonic() - start, within)
        self.assertEqual(os.listdir(self.sandbox.work_dir), [])

    def test_ready_tells_what_there_is(self) -> None:
        ready = self.sandbox.ready()
        self.assertEqual(ready["sandbox_id"], "box")
        self.assertEqual(ready["python"], ".".join(map(str, sys.version_info[:3])))
        self.assertEqual(
            set(ready["isolation"]), {"uid", "rlimits", "no_new_privs", "landlock", "seccomp", "disk"}
        )
        self.assertIsInstance(ready["packages"], list)
        self.assertGreater(ready["started_in"], 0)

    def test_same_job_is_not_run_twice(self) -> None:
        first = self.sandbox.run("print(1)", job_id="same")
        self.assertEqual(first["output"], "1\n")
        self.sandbox.submit("print(2)", job_id="same")
        polls = self.sandbox.mailbox.polls
        self.sandbox.mailbox.wait_until(lambda: self.sandbox.mailbox.polls > polls + 3, "no polls")
        self.assertEqual(self.sandbox.mailbox.names().count("results/same.json"), 1)

    def test_a_mailbox_that_can_holds_a_look_until_there_is_a_job(self) -> None:
        mailbox = self.sandbox.mailbox
        mailbox.holds = True
        for number in (1, 2):
            mailbox.wait_until(lambda: mailbox.waiting_polls == 1, "no look was held")
            polls = mailbox.polls
            job_id = self.sandbox.submit(f"import time\ntime.sleep(0.6)\nprint({number})")
            mailbox.wait_for(f"started/{job_id}.json")
            # The look that was held, and the next, which is held for an end.
            self.assertLessEqual(mailbox.polls, polls + 1)
            self.assertEqual(self.sandbox.result_of(job_id)["output"], f"{number}\n")

    def test_end_is_heard_by_a_look_that_is_held_while_code_runs(self) -> None:
        self.sandbox.mailbox.holds = True
        self.wait_for_start()
        self.sandbox.mailbox.wait_until(lambda: self.sandbox.mailbox.waiting_polls == 1, "no look was held")
        polls = self.sandbox.mailbox.polls
        self.sandbox.mailbox.put_job({"job_id": "exit", "exit": True})
        self.assert_ended(exit_code=0, within=2)
        # A look is held for a second, and another may have begun.
        self.assertLessEqual(self.sandbox.mailbox.polls, polls + 1)

    def test_wake_up_is_no_job(self) -> None:
        mailbox = self.sandbox.mailbox
        mailbox.put_job({"job_id": "wake", "wake": True})
        polls = mailbox.polls
        mailbox.wait_until(lambda: mailbox.polls > polls + 3, "no polls")
        self.assertEqual(self.sandbox.run("print(2)")["output"], "2\n")
        self.assertEqual([name for name in mailbox.names() if "wake" in name], [])

    def test_sigterm_ends_everything_within_a_second(self) -> None:
        self.wait_for_start()
        zygote = self.sandbox.zygote_pid()
        self.sandbox.process.send_signal(signal.SIGTERM)
        self.assert_ended(exit_code=0, within=1)
        self.assertFalse(is_alive(zygote))

    def test_exit_job_ends_it_even_while_code_runs(self) -> None:
        job_id = self.wait_for_start()
        self.sandbox.mailbox.put_job({"job_id": "exit", "exit": True})
        self.assert_ended(exit_code=0, within=2)
        self.assertIsNone(self.sandbox.mailbox.find(f"results/{job_id}.json"))

    def test_killed_supervisor_takes_everything_with_it(self) -> None:
        self.wait_for_start()
        zygote = self.sandbox.zygote_pid()
        self.sandbox.process.kill()
        self.sandbox.process.wait()
        gone = time.monotonic() + 5
        while is_alive(zygote) and time.monotonic() < gone:
            time.sleep(0.01)
        self.assertFalse(is_alive(zygote))

    def test_killed_zygote_is_replaced(self) -> None:
        self.assertTrue(self.sandbox.run("print(1)")["success"])
        self.sandbox.kill_zygote()
        self.assertEqual(self.sandbox.run("print(2)")["output"], "2\n")

        job_id = self.wait_for_start()
        os.kill(self.sandbox.zygote_pid(), signal.SIGKILL)
        self.assertEqual(self.sandbox.result_of(job_id)["error_category"], "sandbox_error")
        self.assertEqual(self.sandbox.run("print(3)")["output"], "3\n")

    def test_result_waits_for_a_mailbox_that_is_out_of_order(self) -> None:
        job_id = self.wait_for_start("import time\nprint('on')\ntime.sleep(0.7)")
        self.sandbox.mailbox.refuse = True
        time.sleep(0.5)
        self.sandbox.mailbox.refuse = False
        self.assertTrue(self.sandbox.result_of(job_id)["success"])
        self.assertTrue(self.sandbox.run("print(1)")["success"])

    def test_logs_are_json_and_hold_no_secret(self) -> None:
        self.sandbox.run("print('confidential output')")
        lines = self.sandbox.close()
        self.assertIn("job started", [line["message"] for line in lines])
        for word in ("presigned", "127.0.0.1", "confidential"):
            self.assertNotIn(word, str(lines))


class EndTest(unittest.TestCase):
    def test_bad_settings_are_told(self) -> None:
        for name, value in {
            "MANIFEST_URL": "",
            "SANDBOX_CONFINEMENT": "none",
            "SANDBOX_MEMORY_MB": "many",
            "SANDBOX_EXIT_WITH_PARENT": "maybe",
        }.items():
            with self.subTest(name):
                sandbox = SandboxProcess(**{name: value})
                self.assertEqual(sandbox.process.wait(10), 1)
                self.assertIn(name, sandbox.close()[0]["message"])

    def test_it_ends_when_its_manifest_has_expired(self) -> None:
        sandbox = SandboxProcess(expires_in=0.5)
        self.assertEqual(sandbox.process.wait(10), 1)
        self.assertIn("expired", sandbox.close()[-1]["message"])

    def test_it_ends_when_its_urls_have_expired_before_their_time(self) -> None:
        sandbox = SandboxProcess()
        sandbox.ready()
        sandbox.mailbox.token_expired = True
        self.assertEqual(sandbox.process.wait(10), 1)
        self.assertIn("has expired", sandbox.close()[-1]["message"])

    def test_it_ends_with_the_process_that_started_it(self) -> None:
        sandbox = SandboxProcess(through_parent=True, SANDBOX_EXIT_WITH_PARENT="1")
        self.addCleanup(sandbox.close)
        sandbox.ready()
        sandbox.process.kill()
        polls = -1
        while polls != sandbox.mailbox.polls:
            polls = sandbox.mailbox.polls
            time.sleep(0.6)  # longer than the longest pause between two polls
        self.assertEqual(os.listdir(sandbox.work_dir), [])


if __name__ == "__main__":
    unittest.main()
