"""Programs do in the sandbox what they do as `python3 main.py`: same output, same exit code."""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import unittest
from pathlib import Path

from sandbox_process import SandboxProcess

LIBRARY = sysconfig.get_path("stdlib")  # output does not tell where on the machine it is
PROGRAMS = {
    "names of the module": """
        print(__name__, __file__, __doc__, __package__, __spec__, type(__loader__).__name__, __builtins__)
        print(sorted(globals()))
    """,
    "annotations": "x: int = 1\nprint(__annotations__)",
    "arguments": """
        import sys
        print(sys.argv, sys.orig_argv[1:], sys.stdin.read(), sys.stdout.name, sys.stderr.name)
    """,
    "its own source": """
        # a comment
        import inspect
        def f():
            return 1  # told
        print(open(__file__).read().count("comment"), inspect.getsource(f), inspect.getsourcefile(f))
    """,
    "traceback of a thread": """
        import threading
        def f():
            1 / 0
        thread = threading.Thread(target=f)
        thread.start()
        thread.join()
    """,
    "names of threads": """
        import threading, asyncio
        from concurrent.futures import ThreadPoolExecutor
        print(threading.Thread().name, threading.Thread(target=print).name, threading.main_thread().name)
        with ThreadPoolExecutor(1) as pool:
            print(pool.submit(lambda: threading.current_thread().name).result())
        async def main():
            print(asyncio.current_task().get_name())
        asyncio.run(main())
    """,
    "warnings show their line": """
        import warnings
        warnings.warn('careful')
        warnings.warn('again', DeprecationWarning)
    """,
    "logging tells file and line": """
        import logging
        logging.basicConfig(format="%(filename)s %(lineno)d %(name)s %(threadName)s %(message)s")
        logging.warning("hello")
        logging.getLogger("a").error("b")
    """,
    "__del__ at exit finds its globals": """
        import json
        greeting = "bye"
        class A:
            def __init__(self, name): self.name = name
            def __del__(self): print(greeting, self.name, json.dumps([1]), len(names))
        names = ["a", "b"]
        first, second = A("a"), A("b")
        cycle = A("c")
        cycle.me = cycle
        print("end")
    """,
    "__del__ without functions": """
        import weakref
        class A: pass
        a = A()
        weakref.finalize(a, print, "finalized")
    """,
    "order at exit": """
        import atexit, threading, time
        class A:
            def __del__(self): print("del")
        a = A()
        atexit.register(print, "atexit")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        print("end")
    """,
    "exception in __del__ and in atexit": """
        import atexit
        class A:
            def __del__(self): raise ValueError("in del")
        A()
        atexit.register(lambda: 1 / 0)
    """,
    "long numbers": "import math\nprint(len(str(math.factorial(1400))), int('9' * 4200) % 7)",
    "imports itself": "print('run as', __name__)\nif __name__ == '__main__':\n    import main",
    "helper module": """
        open('helper.py', 'w').write('x = 42')
        import helper
        print(helper.x, helper.__file__[-9:])
    """,
    "files": """
        import os, glob
        open('a.txt', 'w').write('a')
        print(sorted(glob.glob('*')), os.path.abspath('a.txt') == os.getcwd() + '/a.txt')
    """,
    "exit in a thread": """
        import threading, sys
        t = threading.Thread(target=sys.exit, args=(3,))
        t.start(); t.join()
        print('on')
    """,
    "exit code 3": "import sys\nprint('a', end='')\nsys.exit(3)",
    "exit with a text": "raise SystemExit('no luck')",
    "exit with a float": "raise SystemExit(0.0)",
    "exit with None": "raise SystemExit(None)",
    "doctest": """
        def double(x):
            \"\"\"
            >>> double(2)
            4
            >>> double(3)
            7
            \"\"\"
            return 2 * x
        import doctest
        print(doctest.testmod())
    """,
    "unittest": """
        import unittest
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(1, 1)
            def test_b(self): self.skipTest("later")
        program = unittest.main(exit=False)
        print(program.result.testsRun, len(program.result.skipped))
    """,
    "pickle": """
        import pickle
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
        print(pickle.loads(pickle.dumps(P(1))), P.__module__, pickle.dumps(P(2), 0)[:20])
    """,
    "types by name": """
        import typing, enum, collections
        class Color(enum.Enum):
            RED = 1
        P = collections.namedtuple("P", "x y")
        print(Color.RED, P(1, 2), P.__module__, Color.__module__)
        class Node:
            next: "Node"
        print(typing.get_type_hints(Node))
    """,
    "generators closed at exit": """
        def numbers():
            try:
                yield 1
            finally:
                print("closed")
        g = numbers()
        print(next(g))
    """,
    "context of stdout": """
        import io, contextlib, sys
        with contextlib.redirect_stdout(io.StringIO()) as text:
            print("hidden")
        print(repr(text.getvalue()), sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.writable())
    """,
    "standard streams replaced": """
        import io, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace")
        print("kept", end="")
    """,
    "reconfigured": "import sys\nsys.stdout.reconfigure(encoding='latin-1', errors='replace')\nprint('a€')",
    "input at its end": "try:\n    input('name? ')\nexcept EOFError as error:\n    print(error)",
    "async": """
        import asyncio
        async def work(n):
            await asyncio.sleep(0.01)
            return n
        async def main():
            print(await asyncio.gather(*map(work, range(3))))
            asyncio.create_task(work(1)).add_done_callback(lambda t: None)
        asyncio.run(main())
    """,
    "never awaited": "async def f(): pass\nf()\nprint('on')",
    "recursion": """
        import sys
        print(sys.getrecursionlimit())
        def f(n): return n and f(n - 1)
        print(f(900))
    """,
    "state of the interpreter": """
        import gc, threading, locale, decimal, warnings, signal, sys
        print(gc.isenabled(), gc.get_threshold(), threading.active_count(), locale.getlocale()[1])
        print(decimal.getcontext().prec, warnings.filters[-5:], signal.getsignal(signal.SIGINT))
        print(sys.getswitchinterval(), sys.flags.optimize, sys.flags.debug, sys.flags.interactive)
    """,
    "signals": """
        import os, signal
        signal.signal(signal.SIGALRM, lambda number, frame: print("rang"))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.pause()
    """,
    "exit hooks": """
        import sys
        sys.excepthook = lambda kind, value, tb: print("hook", kind.__name__, value)
        print("on")
        1 / 0
    """,
    "linecache and traceback": """
        import traceback
        def f():
            raise KeyError("x")
        try:
            f()
        except KeyError:
            traceback.print_exc()
    """,
    "unraisable": "class A:\n    def __del__(self): 1 / 0\na = A()\ndel a\nprint('on')",
    "source with a coding line": "# -*- coding: utf-8 -*-\nprint('ä€')",
    "form feeds and tabs": "if True:\n\tprint('tab')\n\x0c\nprint('page')",
}  # fmt: skip


class LikePythonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()
        cls.addClassCleanup(cls.sandbox.close)

    def test_same_output_and_exit_code(self) -> None:
        for name, program in PROGRAMS.items():
            with self.subTest(name):
                code = textwrap.dedent(program)
                result = self.sandbox.run(code)
                output, exit_code = run_plainly(code)
                self.assertEqual(
                    (comparable(result["output"]), result["exit_code"]), (comparable(output), exit_code)
                )


def run_plainly(code: str) -> tuple[str, int]:
    """Output and exit code of `python3 main.py` in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.py").write_text(code, "utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",  # for the order of the two streams
        }
        ended = subprocess.run(
            [sys.executable, "main.py"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        return ended.stdout.replace(f"{folder}/", "").replace(f"{LIBRARY}/", ""), ended.returncode


def comparable(output: str) -> str:
    """Without what differs from run to run: addresses and durations."""
    return re.sub(r"0x[0-9a-f]+|\b\d\.\d{3}s", "…", output)


if __name__ == "__main__":
    unittest.main()
