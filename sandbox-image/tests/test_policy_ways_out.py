"""Every refusal under `strict` names a way out: a program that `strict` allows and that runs, or `standard`.

Or it says what no policy can give: processes, a network, native code, a display, a user.
"""

import ast
import re
import unittest
from textwrap import dedent

from policy import check
from policy.rules import PERMITTED_BY_STANDARD, TABLE, load
from sandbox_process import SandboxProcess

# Programs that do what the messages advise. Each piece of code in a message is in one of them.
PROGRAMS = (
    """
    import pathlib
    text = "<h1>Report</h1>"
    pathlib.Path('name.txt').write_text(text)
    print(pathlib.Path('name.txt').read_text(), pathlib.Path('name.txt').exists())
    print(pathlib.Path('name'), pathlib.PurePath('folder', 'name.txt'))
    print(sorted(pathlib.Path('.').iterdir()), list(pathlib.Path('.').glob('*.csv')))
    pathlib.Path('name').write_bytes(b"x")
    print(pathlib.Path('name').read_bytes() == b"x")
    pathlib.Path('folder').mkdir()
    pathlib.Path('name').rename('other')
    pathlib.Path('other').unlink()
    pathlib.Path('scratch.txt').write_text("data.txt")
    """,
    """
    import io, gzip, zlib, pathlib, zipfile
    data = b"x" * 100
    packed = gzip.compress(data)
    pathlib.Path('name.gz').write_bytes(packed)
    print(zlib.compress(data), io.StringIO("a\\nb").readlines())
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=io.BytesIO(), mode='wb') as file:
        file.write(data)
    with zipfile.ZipFile(io.BytesIO(), 'w') as archive:
        archive.writestr('a.txt', 'x')
    """,
    """
    import math, platform, secrets, time, tracemalloc, logging
    max_workers=4
    item = [1, 2]
    print(secrets.token_bytes(16), float('inf'), math.ulp(1.0), item.__sizeof__(), platform.python_version())
    print(platform.system(), time.monotonic())
    print("now", flush=True)
    tracemalloc.start()
    logging.warning("told")
    """,
    """
    import array, ast, concurrent.futures, copy, json, queue, sqlite3, struct, threading, csv
    with concurrent.futures.ThreadPoolExecutor() as pool:
        print(list(pool.map(len, ["a"])))
    data = {"a": [1]}
    print(json.dumps(data), json.loads("[1]"), copy.deepcopy(data), ast.literal_eval('[1, 2]'))
    print(queue.Queue(), struct.pack("i", 1), array.array("i"), threading.active_count())
    sqlite3.connect('name.db').close()
    """,
    """
    import inspect, logging.handlers, queue, weakref
    class Item:
        kinds = []
        def __init_subclass__(cls):
            Item.kinds.append(cls)
    item = Item()
    def function(x, *, y=1): return x
    def numbers(): yield 1
    generator = numbers()
    print(vars(item), Item.mro(), inspect.signature(function), dir(item), weakref.WeakSet(), len([1]))
    print(inspect.signature, inspect.getgeneratorstate(generator))
    logging.handlers.QueueHandler(queue.Queue())
    from dataclasses import asdict, dataclass
    import dataclasses
    print(dataclasses.asdict)
    assert function(1) == 1
    """,
    "raise SystemExit",
)

# Code in messages that is no advice to write it as it stands, or that needs a package.
WORDS = {
    "import",
    "assert",
    "print",
    "without `..`",
    "..",
    "__version__",
    "allow_pickle",
    "from module import name",
    "matplotlib",
    "savefig",
    "numpy",
    "csv",
    "json",
    "numpy.load",
    "yaml.safe_load",
    "mkdir",
    "rename",
    "unlink",
    "write_bytes",
    "logging",
    "threading",
    "tracemalloc",
    "struct",
    "array",
    "standard",
    "flush=True",
    "__init_subclass__",
    ".mro()",
    "dir",
    "len",
}


def sources(entry: dict[str, object], section: str) -> list[str]:
    """Code that breaks each rule of an entry."""
    names = [name.removesuffix("*") for name in entry["names"] if "(" not in name]  # type: ignore[attr-defined]
    if section == "attributes":
        return [f"x.{name}" for name in names]
    return [
        name.removeprefix("builtins.") if name.startswith("builtins.") else f"import {name}\n{name}"
        for name in names
    ]


class WayOutTest(unittest.TestCase):
    def test_what_the_messages_advise_passes_strict_and_runs(self) -> None:
        for program in PROGRAMS:
            self.assertEqual(check(dedent(program)), [])
        sandbox = SandboxProcess()
        self.addCleanup(sandbox.close)
        for program in PROGRAMS:
            result = sandbox.run(program, policy="strict")
            self.assertIsNone(result["error"], program)

    def test_each_piece_of_code_in_a_message_is_in_those_programs(self) -> None:
        together = "".join(PROGRAMS)
        advice = [entry["instead"] for section in ("names", "attributes") for entry in TABLE[section]]
        advice += [entry["instead"] for entry in TABLE["structure"].values()]
        advice += TABLE["dunders"]["instead"].values()
        for text in advice:
            for code in re.findall(r"`([^`]+)`", text):
                with self.subTest(message=text, code=code):
                    self.assertTrue(code in WORDS or code in together)

    def test_each_refusal_says_that_standard_allows_it_or_is_of_what_nothing_can_give(self) -> None:
        strict = load("strict")
        for section in ("names", "attributes"):
            for entry in TABLE[section]:
                if "strict" not in entry["profiles"]:
                    continue
                for source in sources(entry, section):
                    with self.subTest(source=source):
                        violations = check(source)
                        self.assertNotEqual(violations, [])
                        for violation in violations:
                            says_so = violation.message.endswith(PERMITTED_BY_STANDARD)
                            impossible = violation.rule in TABLE["impossible"]
                            in_both = "standard" in entry["profiles"]
                            self.assertEqual(says_so, not impossible and not in_both, violation.message)
                            if says_so:
                                self.assertEqual(check(source, "standard"), [])
        for name in ("__closure__", "__code__", "__globals__", "__mro__", "__subclasses__", "__unknown__"):
            [violation] = check(f"x.{name}")
            self.assertTrue(violation.message.endswith(PERMITTED_BY_STANDARD))
            self.assertEqual(check(f"x.{name}", "standard"), [])
        self.assertTrue(strict.structure["text-as-code"].strict_only)

    def test_what_once_had_no_way_out(self) -> None:
        for code in (
            "import sys\nprint(sys.getsizeof([]))",
            "import os\nprint(os.cpu_count())",
            "import importlib.metadata\nprint(importlib.metadata.version('numpy'))",
            "def f(): pass\nprint(f.__closure__, f.__code__)",
        ):
            self.assertTrue(all(one.message.endswith(PERMITTED_BY_STANDARD) for one in check(code)))
            self.assertEqual(check(code, "standard"), [])
        for code in (
            "from pathlib import PurePath\nprint(PurePath('a') / 'b')",
            "import io, zipfile\nzipfile.ZipFile(io.BytesIO(), 'w').writestr('a', 'b')",
            "import logging.handlers, queue\nlogging.handlers.QueueHandler(queue.Queue())",
            "from logging.handlers import QueueHandler, QueueListener, MemoryHandler",
        ):
            self.assertEqual(check(code), [])

    def test_a_message_speaks_of_the_part_that_is_used(self) -> None:
        for code, told in {
            "import os\nos.environ['HOME']": "the environment is empty",
            "import os as o\nprint(o.path.join('a', 'b'))": "pathlib.PurePath",
            "import sys\nsys.exit(1)": "raise SystemExit",
            "import sys\nsys.getsizeof(x)": "__sizeof__",
            "import os\nos.remove('x')\nos.urandom(1)": "secrets.token_bytes",
        }.items():
            with self.subTest(code=code):
                self.assertIn(told, check(code)[0].message)


class SummaryTest(unittest.TestCase):
    def test_code_in_the_summaries_is_as_they_say(self) -> None:
        strict = " ".join(TABLE["profiles"]["strict"]["summary"])
        for advised in (
            "pathlib.Path('report.html').write_text(text)",
            "sqlite3.connect('name.db')",
            "raise SystemExit",
        ):
            self.assertIn(advised, strict)
            ast.parse(advised)
            self.assertEqual(check(f"import pathlib, sqlite3\n{advised}"), [])
        for refused in ("open()", "io.open()", "gzip.open()", "input()", "sys.exit()"):
            self.assertIn(refused, strict)
            module = refused.partition(".")[0] if "." in refused else "re"
            self.assertNotEqual(check(f"import {module}\n{refused}"), [])
        self.assertNotIn("figure", strict.lower())


if __name__ == "__main__":
    unittest.main()
