"""The layers that confine an attempt: what is told of them, that honest code works, what unconfined means."""

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import unittest

from sandbox import seccomp
from sandbox_process import ROOT, SandboxProcess, can_be_nobody, is_alive

LAYERS = {"uid", "rlimits", "no_new_privs", "landlock", "seccomp", "disk"}
HIDE_LIBSECCOMP = """
import ctypes, json, sys
real = ctypes.CDLL
def without(name, *arguments, **options):
    if name and "seccomp" in name:
        raise OSError("not found")
    return real(name, *arguments, **options)
ctypes.CDLL = without
"""


class HonestCodeTest(unittest.TestCase):
    """What ordinary programs do must work, as root and as anybody else."""

    as_nobody = False

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(as_nobody=cls.as_nobody)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def assert_works(self, code: str) -> None:
        result = self.sandbox.run(code, timeout=20)
        self.assertTrue(result["success"], f"{result['error']}\n{result['traceback']}\n{result['output']}")

    def test_isolation_is_told(self) -> None:
        isolation = self.sandbox.ready()["isolation"]
        self.assertEqual(set(isolation), LAYERS)
        self.assertEqual(isolation["seccomp"], "on")
        self.assertEqual(isolation["no_new_privs"], "on")
        is_root = os.geteuid() == 0 and not self.as_nobody
        self.assertEqual(isolation["uid"].startswith("separate ("), is_root, isolation)

    def test_standard_library(self) -> None:
        self.assert_works(
            """
            import json, re, math, random, datetime, time, statistics, decimal, hashlib, uuid, secrets
            import platform
            json.dumps({"a": [1, 2.5]}); re.findall("a+", "caaat"); random.random(); uuid.uuid4()
            secrets.token_hex()
            time.sleep(0.001); datetime.datetime.now(); platform.platform(); platform.machine()
            import locale, calendar, csv, io, gzip, zipfile, zlib, bz2, lzma, pickle, struct, base64
            import xml.etree.ElementTree
            zipfile.ZipFile("z.zip", "w").writestr("a", "b")
            import ctypes, email, http, html.parser, urllib.parse, unicodedata, logging, argparse, doctest
            logging.warning("hello")
            """
        )

    def test_files_and_temporary_files(self) -> None:
        self.assert_works(
            """
            import os, pathlib, shutil, tempfile
            os.makedirs("a/b"); pathlib.Path("a/b/c.txt").write_text("text")
            shutil.copy("a/b/c.txt", "copy.txt"); shutil.copytree("a", "d")
            shutil.move("copy.txt", "moved.txt")
            os.rename("moved.txt", "renamed.txt"); os.symlink("renamed.txt", "link")
            os.chmod("renamed.txt", 0o600)
            os.truncate(os.open("renamed.txt", os.O_RDWR), 2); assert open("renamed.txt").read() == "te"
            with tempfile.NamedTemporaryFile() as f, tempfile.TemporaryFile() as g:
                assert f.write(b"x") == g.write(b"y") == 1
            tempfile.TemporaryDirectory().cleanup()
            assert tempfile.gettempdir().startswith(os.getcwd())
            shutil.make_archive("archive", "zip", "a"); shutil.rmtree("d")
            assert sorted(os.listdir("a")) == ["b"]
            assert list(pathlib.Path().rglob("*.txt"))
            import mmap
            with open("m", "w+b") as f:
                f.write(b"0" * 4096); f.flush(); mmap.mmap(f.fileno(), 4096)[0:1]
            """
        )

    def test_threads_events_and_asyncio(self) -> None:
        self.assert_works(
            """
            import asyncio, queue, signal, threading, os
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(40) as pool:
                assert sum(pool.map(lambda n: n * n, range(1000))) == 332833500
            async def main():
                await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(100)))
                return await asyncio.to_thread(lambda: 1)
            assert asyncio.run(main()) == 1
            done = []
            signal.signal(signal.SIGALRM, lambda *_: done.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
            signal.signal(signal.SIGUSR2, lambda *_: done.append(2)); os.kill(os.getpid(), signal.SIGUSR2)
            signal.raise_signal(signal.SIGUSR2)
            assert done == [1, 2, 2]
            """
        )

    def test_sqlite_and_zoneinfo(self) -> None:
        self.assert_works(
            """
            import sqlite3, datetime, zoneinfo
            database = sqlite3.connect("data.sqlite")
            database.execute("pragma journal_mode=wal"); database.execute("create table t (x)")
            with database: database.executemany("insert into t values (?)", [(n,) for n in range(1000)])
            assert database.execute("select sum(x) from t order by 1").fetchone() == (499500,)
            try:
                datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
            except zoneinfo.ZoneInfoNotFoundError:
                pass  # no time zones on this machine
            """
        )

    def test_numpy_and_pandas(self) -> None:
        if "pandas" not in self.sandbox.ready()["packages"]:
            self.skipTest("pandas is not installed")
        self.assert_works(
            """
            import numpy as np, pandas as pd
            a = np.random.rand(300, 300); np.linalg.inv(a) @ a; np.save("a.npy", a)
            np.load("a.npy", mmap_mode="r").sum()
            days = pd.date_range("2024-01-01", periods=1000, tz="UTC")
            frame = pd.DataFrame({"x": range(1000), "day": days})
            frame.to_csv("f.csv"); pd.read_csv("f.csv").groupby("x").sum(numeric_only=True); frame.describe()
            frame.to_json("f.json"); print(frame.resample("D", on="day").x.mean().head())
            """
        )

    def test_environment_is_clean(self) -> None:
        result = self.sandbox.run("import os, json; print(json.dumps(dict(os.environ)))")
        environment = json.loads(result["output"])
        self.assertLessEqual(
            set(environment) - {"LC_CTYPE"},
            {
                "PATH",
                "HOME",
                "USER",
                "LOGNAME",
                "LANG",
                "TMPDIR",
                "MPLBACKEND",
                "MPLCONFIGDIR",
                "OMP_NUM_THREADS",
            }
            | {"OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "JOBLIB_MULTIPROCESSING"},
        )
        self.assertTrue(environment["HOME"].startswith(self.sandbox.work_dir))

    def test_what_is_forbidden_is_explained(self) -> None:
        landlock = self.sandbox.ready()["isolation"]["landlock"].startswith("on")
        for code, told in {
            "import socket; socket.create_connection(('127.0.0.1', 1))": "the sandbox has no network",
            "from urllib import request; request.urlopen('http://127.0.0.1:1')": "the sandbox has no network",
            "from urllib import request; request.urlopen('http://example.org')": "the sandbox has no network",
            "import os; os.fork()": "the sandbox runs one process",
            "import subprocess; subprocess.run(['ls'])": "the sandbox runs one process",
            "import multiprocessing as m; m.Process(target=print).start()": "the sandbox runs one process",
            "import multiprocessing as m; m.Pool(2)": "the sandbox runs one process",
            "import os; os.kill(1, 0)": "signal itself only",
            "open('/etc/passwd')": "in its working folder only",
            "open('/tmp/x', 'w')": "in its working folder only",
            "input('your name: ')": "the program has no input",
            "x = [open(f'{n}', 'w') for n in range(1000)]": "limits the number of open files",
            "import os; os.chroot('.')": "does not allow this system call",
        }.items():
            if "/etc/passwd" in code and not landlock:
                continue  # everybody may read it
            with self.subTest(code):
                result = self.sandbox.run(code)
                self.assertEqual(result["error_category"], "exception")
                self.assertIn(told, result["error"])


@unittest.skipUnless(can_be_nobody(), "needs root, and a Python that every user can read")
class HonestCodeAsNobodyTest(HonestCodeTest):
    as_nobody = True


class SecretsTest(unittest.TestCase):
    def test_supervisor_wipes_its_environment(self) -> None:
        sandbox = SandboxProcess()
        self.addCleanup(sandbox.close)
        sandbox.ready()
        for pid, secret in ((sandbox.process.pid, b"presigned"), (sandbox.zygote_pid(), b"MANIFEST")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    self.assertNotIn(secret, file.read())
            except PermissionError:
                self.skipTest("only root with all capabilities can read the environment: as it should be")


class UnconfinedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(SANDBOX_CONFINEMENT="unconfined")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def test_says_so(self) -> None:
        isolation = self.sandbox.ready()["isolation"]
        self.assertEqual(set(isolation), LAYERS)
        for layer in ("uid", "landlock", "seccomp"):
            self.assertEqual(isolation[layer], "off: SANDBOX=unconfined")
        self.assertEqual(isolation["rlimits"], "on")

    def test_programs_and_sockets_work(self) -> None:
        result = self.sandbox.run(
            "import subprocess, socket\nsocket.socket()\nsubprocess.run(['echo', 'hello'])"
        )
        self.assertEqual(result["output"], "hello\n")

    def test_nothing_survives_whatever_it_forks(self) -> None:
        daemon = """
            import os, time
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.setsid(); print(os.getpid(), flush=True); time.sleep(60)
                os._exit(0)
            os.wait(); time.sleep(0.1)
        """
        for name, ending, category in (
            ("end", "", None),
            ("time-out", "\n            while True: pass", "timeout"),
        ):
            with self.subTest(name):
                result = self.sandbox.run(daemon + ending, timeout=0.6)
                self.assertEqual(result["error_category"], category, result["error"])
                self.assertFalse(is_alive(int(result["output"])))

    def test_fork_bomb_ends_with_its_time(self) -> None:
        code = "import os, time\nfor _ in range(5): os.fork()\ntime.sleep(60)"
        self.assertEqual(self.sandbox.run(code, timeout=0.4)["error_category"], "timeout")
        self.assertTrue(self.sandbox.run("print(1)")["success"])

    def test_limits_stay(self) -> None:
        self.assertEqual(self.sandbox.run("bytearray(10 ** 10)")["error_category"], "memory")


class DescribeOptionTest(unittest.TestCase):
    def test_prints_the_isolation_in_force_and_what_programs_find(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", "--describe"], cwd=ROOT, capture_output=True, check=True
        )
        described = json.loads(done.stdout)
        self.assertEqual(set(described), {"isolation", "python", "packages"})
        self.assertEqual(set(described["isolation"]), LAYERS)
        self.assertEqual(described["isolation"]["seccomp"], "on")
        self.assertEqual(described["python"], platform.python_version())
        found = importlib.util.find_spec("numpy")
        self.assertEqual(described["packages"].get("numpy"), found and importlib.metadata.version("numpy"))


class MissingFilterTest(unittest.TestCase):
    def test_without_libseccomp_the_filter_says_what_to_install(self) -> None:
        code = (
            HIDE_LIBSECCOMP
            + "from sandbox import seccomp\n"
            + "try: seccomp.build(True)\n"
            + "except seccomp.Unavailable as e: print(e)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        self.assertIn("apt-get install libseccomp2", done.stdout)

    def test_without_a_filter_nothing_is_run(self) -> None:
        code = HIDE_LIBSECCOMP + (
            "import os, tempfile\n"
            "from sandbox import confinement\n"
            "base = tempfile.mkdtemp(); os.chmod(base, 0o711); states = {}\n"
            "rules = confinement.prepare(True, 2 ** 28, [], base)\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    try: confinement.enter(rules, base + '/1', 3, states)\n"
            "    except confinement.Refused as e: print('refused:', e, states['seccomp'], flush=True)\n"
            "    os._exit(0)\n"
            "os.waitpid(pid, 0)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        self.assertIn("refused: off: libseccomp is missing", done.stdout)
        self.assertIn("SANDBOX=unconfined", done.stdout)


class FilterTest(unittest.TestCase):
    def test_groups_do_not_overlap_and_name_real_calls(self) -> None:
        groups = [seccomp.ALLOWED, seccomp.DENIED, seccomp.METADATA]
        names = [name for group in groups for name in group]
        self.assertEqual(len(names), len(set(names)))
        library = ctypes.CDLL("libseccomp.so.2")
        known = [name for name in names if library.seccomp_syscall_resolve_name(name.encode()) != -1]
        self.assertGreater(len(known), len(names) - 20, set(names) - set(known))


if __name__ == "__main__":
    unittest.main()
