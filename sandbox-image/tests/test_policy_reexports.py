"""What modules that `strict` allows hold of what it forbids is forbidden there too, whatever it is called."""

import importlib.util
import json
import subprocess
import sys
import unittest
from pathlib import Path

from policy import check

HERE = Path(__file__).parent
PACKAGES = ("numpy", "pandas", "matplotlib", "matplotlib.pyplot", "scipy", "scipy.stats", "sklearn", "sympy")


def reexports() -> dict[str, str]:
    """By dotted name what it is: `{"enum.bltns": "builtins", …}`."""
    installed = [name for name in PACKAGES if importlib.util.find_spec(name.partition(".")[0])]
    told = subprocess.run(
        [sys.executable, str(HERE / "reexports.py"), *installed],
        env={"PYTHONPATH": str(HERE.parent), "MPLBACKEND": "Agg"},
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(told.stdout.splitlines()[-1])
    return found


class ReexportTest(unittest.TestCase):
    def test_each_is_refused(self) -> None:
        found = reexports()
        self.assertGreater(len(found), 100)
        for path, what in found.items():
            module, _, name = path.rpartition(".")
            for code in (f"import {module}\nx = {path}", f"from {module} import {name}\nx = {name}"):
                with self.subTest(code=code, is_in_truth=what):
                    self.assertNotEqual(check(code), [])

    def test_the_plain_ones(self) -> None:
        for code in (
            "import enum\nenum.bltns.open('x')",
            "import enum\n[enum][0].bltns.eval('1')",
            "import tokenize\ntokenize._builtin_open('x')",
            "import traceback\ntraceback.linecache.getline('x', 1)",
            "import gzip\ngzip.GzipFile('x')",
            "from gzip import GzipFile as G\nG('x')",
            "import bz2\nbz2.BZ2File('x')",
            "import lzma\nlzma.LZMAFile('x')",
            "import tarfile\ntarfile.bltn_open('x')",
            "import _pyio\n_pyio.open('x')",
            "import timeit\ntimeit._globals()",
            "import typing\ntyping._eval_type('x', {}, {})",
            "import unittest.mock\nunittest.mock._importer('os')",
        ):
            with self.subTest(code=code):
                self.assertNotEqual(check(code), [])

    def test_namesakes_are_not_taken_for_modules(self) -> None:
        for code in (
            "import numpy as np\nnp.trace(np.eye(2))",
            "import scipy.signal\nscipy.signal.medfilt([1])",
            "import scipy.io\nscipy.io.loadmat('x.mat')",
            "import pandas as pd\npd.io.formats",
            "import http\nhttp.HTTPStatus.OK.code",
            "import time\ntime.time()",
        ):
            with self.subTest(code=code):
                self.assertEqual(check(code), [])


class TypeHintTest(unittest.TestCase):
    def test_text_that_may_be_run_as_a_type(self) -> None:
        for code in (
            "import typing\nC = type('C', B, {'__annotations__': {'x': \"open('f')\"}})",
            "from typing import get_type_hints as g\nT = f('T', {'x': \"open('f')\"})\ng(T)",
            "def f(): pass\nf.__annotations__['x'] = \"eval('1')\"",
            "import inspect\nf.x = \"open('f').read()\"\ninspect.signature(f, eval_str=True)",
        ):
            with self.subTest(code=code):
                self.assertNotEqual(check(code), [])
        for code in (
            "from typing import get_type_hints\nprint(get_type_hints(f), 'open', 'call open() now')",
            "text = \"open('f')\"",
        ):
            with self.subTest(code=code):
                self.assertEqual(check(code), [])


if __name__ == "__main__":
    unittest.main()
