"""Every way around the policy that is known, direct and indirect, is found, at its line, by its rule."""

import unittest
from textwrap import dedent

from policy import check


class PolicyTestCase(unittest.TestCase):
    def assert_violations(self, code: str, *expected: tuple[int, str], profile: str = "strict") -> None:
        found = [(violation.line, violation.rule) for violation in check(dedent(code), profile)]
        self.assertEqual(found, list(expected), code)

    def assert_each(
        self, rule: str, *sources: str, profiles: tuple[str, ...] = ("strict", "standard")
    ) -> None:
        """Each source breaks exactly this rule, once, on its last line."""
        for source in sources:
            for profile in profiles:
                with self.subTest(source=source, profile=profile):
                    code = dedent(source).strip()
                    self.assert_violations(code, (len(code.splitlines()), rule), profile=profile)


class ImportTest(PolicyTestCase):
    def test_the_list_of_the_guide(self) -> None:
        for module, rule in {
            "os": "operating-system",
            "sys": "interpreter",
            "subprocess": "process",
            "shutil": "file-access",
            "socket": "network",
            "ctypes": "native-code",
            "importlib": "dynamic-import",
            "pickle": "deserialization",
            "marshal": "deserialization",
            "shelve": "deserialization",
            "multiprocessing": "process",
            "signal": "process",
            "pty": "process",
            "resource": "operating-system",
            "code": "dynamic-code",
            "builtins": "namespace",
            "requests": "network",
            "tempfile": "file-access",
            "tkinter": "display",
            "glob": "file-access",
        }.items():
            self.assert_each(rule, f"import {module}", f"from {module} import x", profiles=("strict",))

    def test_submodules_and_lists_of_modules(self) -> None:
        self.assert_violations("import json, os, sys", (1, "interpreter"), (1, "operating-system"))
        self.assert_violations("import json\nimport os.path", (2, "operating-system"))
        self.assert_violations("import urllib.request as u", (1, "network"))
        self.assert_violations("from urllib import parse, request", (1, "network"))
        self.assert_violations("from concurrent.futures import ProcessPoolExecutor", (1, "process"))

    def test_a_forbidden_module_is_reported_once_where_it_is_imported(self) -> None:
        self.assert_violations("import os\nos.system('ls')\nprint(os.getcwd())", (1, "operating-system"))

    def test_alias(self) -> None:
        self.assert_each(
            "operating-system", "import os as o", "from os import getcwd as g", profiles=("strict",)
        )

    def test_import_hidden_in_a_block(self) -> None:
        self.assert_each(
            "process",
            "def f():\n    import subprocess",
            "class A:\n    import subprocess",
            "try:\n    pass\nfinally:\n    import subprocess",
            "if False:\n    from subprocess import run",
        )

    def test_underscored_implementation_modules(self) -> None:
        self.assert_each("network", "import _socket")
        self.assert_each("process", "import _posixsubprocess")
        self.assert_each(
            "file-access", "from _io import open", "import _io\n_io.FileIO(3)", profiles=("strict",)
        )
        self.assert_each("operating-system", "import posix", profiles=("strict",))

    def test_wildcards(self) -> None:
        self.assert_each("operating-system", "from os import *", profiles=("strict",))
        self.assert_each("wildcard-import", "from os import *", profiles=("standard",))
        self.assert_each("wildcard-import", "from inspect import *", profiles=("strict",))
        self.assert_each("wildcard-import", "from asyncio import *")
        self.assert_each("process", "from subprocess import *")

    def test_modules_that_other_modules_import(self) -> None:
        self.assert_each(
            "operating-system",
            "import random\nrandom._os.getcwd()",
            "from random import _os",
            "from random import _os as o",
            "import random as r\nq = r\nq._os",
            "import numpy as np\nnp.os.getcwd()",
            "import matplotlib\nmatplotlib.os",
            "import pandas as pd\npd.io.common.os.getcwd()",
            "import random\ngetattr(random, '_os')",
            "import random\ngetattr(random, '_o' + 's').getcwd()",
            "import random\ndef f(r=random):\n    return r._os",
            profiles=("strict",),
        )
        self.assert_each("interpreter", "import json\njson.decoder.sys", profiles=("strict",))
        self.assert_each("namespace", "import codecs\ncodecs.builtins.print(1)", profiles=("strict",))
        self.assert_each("process", "import random\nrandom._os.system('ls')", profiles=("standard",))
        self.assert_each(
            "reexported-module", "import random\n[random][0]\nf(random)._os", profiles=("strict",)
        )
        self.assert_each("native-code", "import numpy as np\nnp.ctypeslib.load_library")

    def test_data_sets_that_are_downloaded(self) -> None:
        self.assert_each(
            "network",
            "import sklearn.datasets as data\ndata.fetch_california_housing()",
            "import seaborn as sns\nsns.load_dataset('iris')",
            "import statsmodels.api as sm\nsm.datasets.get_rdataset('iris')",
        )
        self.assert_violations("from sklearn.datasets import fetch_openml, load_iris", (1, "network"))
        self.assert_violations("from sklearn.datasets import load_iris, make_blobs\nload_iris()")

    def test_every_way_to_import_by_name(self) -> None:
        self.assert_each(
            "dynamic-import",
            "__import__('os')",
            "i = __import__",
            "import importlib",
            "from importlib import import_module",
            "import pkgutil",
            "import runpy",
            "import zipimport",
            profiles=("strict",),
        )


class BuiltinTest(PolicyTestCase):
    def test_direct_calls(self) -> None:
        for call, rule in {
            "eval('1')": "dynamic-code",
            "exec('x = 1')": "dynamic-code",
            "compile('1', 'f', 'eval')": "dynamic-code",
            "globals()['x']": "namespace",
            "locals()": "namespace",
            "vars()": "namespace",
            "input('name? ')": "interaction",
            "breakpoint()": "interaction",
        }.items():
            self.assert_each(rule, call, profiles=("strict",))
        self.assert_each(
            "interaction", "input('name? ')", "breakpoint()", "import getpass\ngetpass.getpass()"
        )
        self.assert_each("file-access", "open('data.txt')", profiles=("strict",))

    def test_used_as_values(self) -> None:
        self.assert_each(
            "dynamic-code",
            "e = eval",
            "list(map(eval, ['1']))",
            "f = [eval]",
            "f = {'run': exec}",
            "def f(run=eval): return run('1')",
            "f = lambda run=eval: run('1')",
            "[run('1') for run in [eval]]",
            "class A:\n    run = eval",
            "class A(metaclass=eval): pass",
            "x = y if z else eval",
            "print(f'{eval(\"1\")}')",
            "assert eval",
            "with eval as e: pass",
            "eval.__call__('1')",
            "(lambda: eval)()('1')",
            "async def f():\n    await eval('1')",
            "match 1:\n    case _ if eval('1'): pass",
            "x: int = eval('1')",
            "(e := eval)('1')",
            "type('T', (), {'run': eval})",
            "from functools import partial\npartial(eval, '1')()",
            "import functools\nfunctools.reduce(eval, [])",
            profiles=("strict",),
        )
        self.assert_violations("@eval\ndef f(): pass", (1, "dynamic-code"))
        self.assert_each("file-access", "f = open", "with open('f') as f: pass", profiles=("strict",))

    def test_an_alias_is_found_where_it_is_made(self) -> None:
        self.assert_violations("x = 1\ne = eval\ne('1')", (2, "dynamic-code"))

    def test_names_that_are_not_certainly_bound_are_still_the_built_in_function(self) -> None:
        self.assert_each(
            "dynamic-code",
            "if False:\n    eval = None\neval('1')",
            "for eval in []:\n    pass\neval('1')",
            "try:\n    eval = 1 / 0\nexcept ZeroDivisionError:\n    pass\neval('1')",
            "eval = print\ndel eval\neval('1')",
            "[eval for eval in []]\neval('1')",
            "[0 for x in [] if (eval := x)]\neval('1')",
            "def f():\n    eval = print\neval('1')",
            "class A:\n    eval = print\neval('1')",
            "class A:\n    eval = print\n    def f(self):\n        return eval('1')",
            "def f():\n    global eval\n    return eval('1')",
            "def f(eval=eval): return eval('1')",
            "eval = eval",
            profiles=("strict",),
        )
        self.assert_violations("eval('1')\neval = print", (1, "dynamic-code"))
        self.assert_violations("def f():\n    return eval('1')\nf()\ndef eval(x): pass", (2, "dynamic-code"))

    def test_builtins_by_other_names(self) -> None:
        self.assert_each(
            "namespace",
            "__builtins__['eval']('1')",
            "__builtins__.eval('1')",
            "b = __builtins__",
            "import builtins",
            "from builtins import *",
            "__loader__.load_module('os')",
            "__spec__.loader",
            profiles=("strict",),
        )
        self.assert_each("dynamic-code", "from builtins import eval as e", profiles=("strict",))

    def test_look_alike_letters_are_the_same_name_to_python(self) -> None:
        self.assert_each("dynamic-code", "ｅｖａｌ('1')", "𝐞𝐱𝐞𝐜('1')", profiles=("strict",))
        self.assert_each("dunder-attribute", "().__class__.__ｓubclasses__()", profiles=("strict",))

    def test_text_that_is_run_as_code(self) -> None:
        self.assert_each("text-as-code", "import timeit\ntimeit.timeit('import os')", profiles=("strict",))
        self.assert_each(
            "text-as-code", "import timeit\ntimeit.timeit(f, setup=f'import {x}')", profiles=("strict",)
        )
        self.assert_each(
            "dynamic-code",
            "import cProfile\ncProfile.run('f()')",
            "import doctest",
            "import code",
            profiles=("strict",),
        )
        self.assert_each("dynamic-code", "def f(x: 'eval(1)'): pass", profiles=("strict",))
        self.assert_each(
            "dynamic-code", "x: list['eval(1)'] = []", "def f() -> 'exec(1)': pass", profiles=("strict",)
        )


class AttributeTest(PolicyTestCase):
    def test_dunders_that_lead_into_the_interpreter(self) -> None:
        self.assert_each(
            "dunder-attribute",
            "().__class__.__base__",
            "''.__class__.__mro__",
            "object.__subclasses__()",
            "type.__subclasses__(object)",
            "print.__self__",
            "(lambda: 0).__code__",
            "def f(): pass\nf.__globals__",
            "def f(): pass\nf.__closure__",
            "def f(): pass\nf.__code__ = 1",
            "import math\nmath.__loader__",
            "import math\nmath.__spec__",
            "import math\nmath.__dict__",
            "type.__dict__",
            "().__class__.__dict__",
            "x.__unheard_of__",
            "super().__reduce_ex__(2)",
            "del x.__bases__",
            "match f:\n    case object(__globals__=g): pass",
            profiles=("strict",),
        )
        self.assert_violations(
            "x = 1\n().__class__.__bases__[0].__subclasses__()",
            (2, "dunder-attribute"),
            (2, "dunder-attribute"),
        )

    def test_imported_dunders(self) -> None:
        self.assert_each(
            "dunder-attribute",
            "from random import __builtins__",
            "from random import __loader__ as x",
            profiles=("strict",),
        )

    def test_attributes_named_by_text(self) -> None:
        self.assert_each(
            "dunder-attribute",
            "getattr(x, '__globals__')",
            "getattr(x, '__glo' + 'bals__')",
            "getattr(x, f'__{\"globals\"}__')",
            "getattr(x, ''.join(['__glo', 'bals__']))",
            "getattr(x, '__slabolg__'[::-1])",
            "getattr(x, '__unheard_of__', None)",
            "setattr(x, '__code__', y)",
            "delattr(x, '__code__')",
            "object.__getattribute__(x, '__globals__')",
            "object.__getattribute__(x, '__dict__')",
            "type.__getattribute__(x, '__subclasses__')",
            "import operator\noperator.attrgetter('__class__.__base__')(x)",
            "from operator import attrgetter as a\na('name', '__globals__')",
            "from operator import methodcaller\nmethodcaller('__subclasses__')",
            "import math\ngetattr(math, '__dict__')",
            "g = getattr\ng(x, '__globals__')",
            profiles=("strict",),
        )
        self.assert_each(
            "introspection", "getattr(e, 'tb_frame')", "setattr(e, 'f_back', 1)", profiles=("strict",)
        )

    def test_computed_names_on_modules_with_forbidden_parts(self) -> None:
        self.assert_each("computed-attribute", "import os\ngetattr(os, 'sys' + x)", profiles=("standard",))
        self.assert_each(
            "computed-attribute", "import asyncio, inspect\ngetattr(inspect, name)", profiles=("strict",)
        )
        self.assert_each("process", "import os\ngetattr(os, 'sys' + 'tem')('ls')", profiles=("standard",))

    def test_text_that_is_a_forbidden_name(self) -> None:
        self.assert_each(
            "attribute-in-text",
            "x['__builtins__']",
            "x['__imp' 'ort__']",
            "x['__imp' + 'ort__']",
            "from functools import reduce\nreduce(getattr, '__class__.__base__'.split('.'), x)",
            "name = b'__globals__'.decode()",
            "f.__annotations__ = {'x': \"__import__('os').system('ls')\"}",
            "frame.query('@x.__globals__[y]')",
            "list(map(getattr, [f], ['__globals__']))",
            profiles=("strict",),
        )

    def test_formats_that_walk_attributes(self) -> None:
        self.assert_each(
            "attribute-in-text",
            "'{0.__class__}'.format(x)",
            "'{0.__init__.__globals__}'.format(x)",
            "'{x.__globals__[secret]}'.format_map(y)",
            "'{0[__builtins__]}'.format(x)",
            "str.format('{.__code__}', f)",
            "f'{{0.__globals__}}'.format(x)",
            "t = '{0.__glo' + 'bals__}'",
            "'{0:{1.__globals__}}'.format(x, y)",
            "'{0.gi_frame}'.format(x)",
            profiles=("strict",),
        )
        self.assert_each("dunder-attribute", "print(f'{x.__globals__}')", profiles=("strict",))

    def test_frames_and_code_objects(self) -> None:
        self.assert_each(
            "introspection",
            "import inspect\ninspect.currentframe()",
            "(x for x in y).gi_frame",
            "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
            "frame.f_globals",
            "frame.f_back",
            "coroutine.cr_frame",
            profiles=("strict",),
        )
        self.assert_each("introspection", "import gc\ngc.get_objects()")
        self.assert_each("dynamic-code", "import types\ntypes.CodeType(1)", profiles=("strict",))

    def test_files_and_native_code_behind_harmless_names(self) -> None:
        self.assert_each(
            "file-access", "license._Printer__filenames = ['/etc/passwd']", "license()", profiles=("strict",)
        )
        self.assert_each("native-code", "connection.enable_load_extension(True)", "from numpy import f2py")

    def test_unpickling(self) -> None:
        self.assert_each(
            "deserialization", "import pandas as pd\npd.read_pickle('f')", "import dill", profiles=("strict",)
        )
        self.assert_each(
            "pickled-arrays", "import numpy as np\nnp.load('f.npy', allow_pickle=True)", profiles=("strict",)
        )


class StandardProfileTest(PolicyTestCase):
    def assert_standard(self, rule: str, *sources: str) -> None:
        self.assert_each(rule, *sources, profiles=("standard",))

    def test_starting_programs(self) -> None:
        self.assert_standard(
            "process",
            "import os\nos.system('ls')",
            "import os as o\no.popen('ls')",
            "from os import system",
            "from os import execv as e",
            "import os\nos.execvp('ls', [])",
            "import os\nos.fork()",
            "import os\nos.kill(1, 9)",
            "import os\nos.posix_spawn('ls', [], {})",
            "import os\nrun = os.system",
            "import os\no = os\no.system('ls')",
            "import os, json\na, b = os, json\na.system('ls')",
            "import os\nfor m in (os,):\n    m.system('ls')",
            "import os\n[m.system('ls') for m in [os]]",
            "import os\n[os][0].system('ls')",
            "import asyncio\nasyncio.get_event_loop().subprocess_shell(x, 'ls')",
            "import os\n{'a': os}['a'].system('ls')",
            "import os\n(os if x else y).system('ls')",
            "import os\n(x or os).system('ls')",
            "import os\n(o := os).system('ls')",
            "import json as o\nimport os as o\no.system('ls')",
            "import os\nos.path.os.system('ls')",
            "def f():\n    import os\n    return lambda: os.system('ls')",
            "def f():\n    global o\n    import os as o\nf()\no.system('ls')",
            "def f(o):\n    def g():\n        nonlocal o\n        import os as o\n    g()\n    o.fork()",
        )

    def test_a_module_does_not_leave_its_name(self) -> None:
        for source in (
            "l = [os]\nl[0].system('ls')",
            "d = {'a': os}\nd['a'].system('ls')",
            "s = {os}",
            "t = 1, os",
            "l.append(os)",
            "l += [os]",
            "l[0] = os",
            "x.m = os",
            "class A:\n    m = os",
            "class A:\n    import os as m",
            "def f(m): m.system('ls')\nf(os)",
            "f(m=os)",
            "f(*[os])",
            "f(**{'m': os})",
            "def f(m=os): pass",
            "def f(*, m=os): pass",
            "f = lambda m=os: m",
            "f = lambda: os",
            "def f(): return os",
            "def f(): yield os",
            "def f(): yield from [os]",
            "async def f(): await os",
            "[os for _ in x]",
            "(os for _ in x)",
            "{1: os for _ in x}",
            "[m.system('ls') for m in f([os])]",
            "for m in f(os): pass",
            "a, *b = 1, os",
            "f(o := os)",
            "f(os if x else y)",
            "f(x or os)",
            "match os:\n    case m: m.system('ls')",
            "vars(os)['system']('ls')",
            "os.__getattribute__('system')('ls')",
            "object.__getattribute__(os, 'system')('ls')",
            "os.__dict__['system']('ls')",
            "os.__dict__.get('system')('ls')",
            "import sys\nf(sys.modules['os'])",
            "os.__dict__[name]",
            "import inspect\ninspect.getmembers(os)",
            "from operator import attrgetter\nattrgetter('system')(os)",
            "from functools import partial\npartial(getattr, os)('system')('ls')",
            "list(map(getattr, [os], ['system']))",
            "f(os.path.os)",
            "import importlib\nf(importlib.import_module('os'))",
        ):
            with self.subTest(source=source):
                found = {violation.rule for violation in check(f"import os\n{source}", "standard")}
                self.assertIn("module-as-value", found)
        for profile in ("strict", "standard"):
            self.assert_violations(
                "import gc\nl = [gc]\nl[0].get_objects()", (2, "module-as-value"), profile=profile
            )

    def test_a_module_that_is_found_by_its_name(self) -> None:
        self.assert_standard(
            "process",
            "import os\nglobals()['os'].system('ls')",
            "import os\nglobals().get('os').system('ls')",
            "import os\nlocals()['os'].system('ls')",
            "import os\ngetattr(os, 'system')('ls')",
            "import sys\nsys.modules['os'].system('ls')",
            "import sys\nsys.modules['subprocess'].run('ls')",
            "def f(): pass\nf.__globals__['os'].system('ls')",
            "self.os.system('ls')",
            "found['os'].system('ls')",
            "f(x)._os.system('ls')",
            "from pandas.io.common import *\nos.system('ls')",
            "__import__('os').system('ls')",
            "__import__('subprocess')",
            "__import__(name='os').system('ls')",
            "__builtins__.__import__('os').system('ls')",
            "__builtins__['__import__']('os').system('ls')",
            "import pkgutil\npkgutil.resolve_name('os:system')('ls')",
            "import importlib\nimportlib.import_module(name='os').system('ls')",
            "import importlib\nimportlib.import_module('os').system('ls')",
            "import importlib\nimportlib.import_module('subprocess')",
            "from importlib import import_module as i\ni('os').system('ls')",
            "import posix\nposix.system('ls')",
            "import concurrent.futures\nconcurrent.futures.process",
            "import multiprocessing.pool\nmultiprocessing.pool.Pool()",
            "from functools import partial\nimport os\npartial(os.system, 'ls')()",
            "import os\nlist(map(os.system, ['ls']))",
        )
        self.assert_standard(
            "network",
            "import urllib\nurllib.request.urlopen(x)",
            "import urllib\nu = urllib\nu.request",
            "import logging.handlers\nlogging.handlers.SocketHandler('h', 1)",
        )
        self.assert_standard(
            "native-code", "import numpy as np\nnp.ctypeslib", "import numpy as np\nnp.x.ctypes"
        )

    def test_text_that_is_run_is_judged_by_what_it_says(self) -> None:
        self.assert_standard(
            "process",
            "import os\neval(\"os.system('ls')\")",
            "exec('import subprocess')",
            "import timeit\ntimeit.timeit('import subprocess')",
            "compile('import subprocess', 'f', 'exec')",
            "exec(\"exec('import subprocess')\")",
        )

    def test_what_an_alias_may_stand_for_does_not_depend_on_order(self) -> None:
        self.assert_violations(
            "def f():\n    o.system('ls')\nimport os as o\nf()", (2, "process"), profile="standard"
        )

    def test_files_outside_the_working_folder(self) -> None:
        self.assert_standard(
            "path-outside-folder",
            "open('/etc/passwd')",
            "open(file='/etc/passwd')",
            "open('../secret.txt')",
            "open('data/../../secret.txt')",
            "open(r'C:\\secret.txt')",
            "open('~/secret.txt')",
            "open('/etc/' + name)",
            "open(f'/etc/{name}')",
            "from pathlib import Path\nPath('/etc/passwd').read_text()",
            "import os\nos.listdir('/')",
            "import os\nos.listdir('..')",
            "import shutil\nshutil.copy('a.txt', '/tmp/b.txt')",
            "import glob\nglob.glob('/etc/*')",
            "import io\nio.open('/etc/passwd')",
            "import sqlite3\nsqlite3.connect('/tmp/x.db')",
            "import pandas as pd\npd.read_csv('/data/x.csv')",
            "import matplotlib.pyplot as plt\nplt.savefig('/tmp/x.png')",
        )

    def test_addresses_instead_of_files(self) -> None:
        self.assert_standard("network", "import pandas as pd\npd.read_csv('https://example.com/x.csv')")


class MessageTest(unittest.TestCase):
    def test_a_message_says_what_is_wrong_and_what_to_use_instead(self) -> None:
        expected = {
            "input()": "`input` is not allowed: it would wait forever, there is no user; "
            "put sample values into the code",
            "open('x')": "`open` is not allowed: write text with "
            "`pathlib.Path('name.txt').write_text(text)`, "
            "read it with `pathlib.Path('name.txt').read_text()`, and use `io.StringIO` where a file object "
            "is wanted (policy `standard` allows it)",
            "import os\nprint(os.cpu_count())": "`os` is not allowed: write the number of threads into "
            "the code, such as `max_workers=4` (policy `standard` allows it)",
            "import threading, multiprocessing": "`multiprocessing` is not allowed: processes cannot be "
            "started; use plain functions, `threading` or `concurrent.futures.ThreadPoolExecutor`",
            "import random as r\nr._os.system('ls')": "`os.system` is not allowed: no other program can be "
            "started; do the work in Python itself",
            "x.__subclasses__()": "`__subclasses__` is not allowed: collect subclasses in a list of your own "
            "in `__init_subclass__` (policy `standard` allows it)",
        }
        for code, message in expected.items():
            self.assertEqual([violation.message for violation in check(code)], [message])

    def test_names_from_the_code_are_cut_in_messages(self) -> None:
        [violation] = check(f"x.__{'a' * 5_000}__")
        self.assertLess(len(violation.message), 300)

    def test_text_that_cannot_be_parsed_is_a_syntax_error(self) -> None:
        for code in ("x = (", "x = 1\0", "x = '\ud800'", "x = " + "-" * 300 + "1", "1 + " * 20_000 + "1"):
            with self.subTest(code=code[:20]), self.assertRaises(SyntaxError):
                check(code)

    def test_an_unknown_profile_is_an_error_that_names_the_known_ones(self) -> None:
        with self.assertRaisesRegex(ValueError, "strict, standard"):
            check("1", "lenient")


if __name__ == "__main__":
    unittest.main()
