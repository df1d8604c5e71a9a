"""The layers that confine an attempt: what is told of them, that honest code works, what unconfined means."""

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest

from sandbox import confinement, readable, seccomp
from sandbox_process import NOBODY_NEEDS, ROOT, SandboxProcess, can_be_nobody, is_alive, nobody_runs_code

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
        self.assertEqual((environment["HOME"], environment["TMPDIR"]), (".", "./.tmp"))  # as it is shown

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
            "open('/nowhere/x.csv')": "in its working folder only: use a relative path",
            "import os; os.mkdir('/data')": "in its working folder only: use a relative path",
            "from pathlib import Path; Path('../../../nowhere/x').read_text()": "in its working folder only",
            "import os; os.rename('x', '/nowhere/x')": "in its working folder only",
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

    def test_a_missing_file_of_the_working_folder_is_not_the_sandbox_s_doing(self) -> None:
        for code in ("open('x.csv')", "import os; open(os.path.abspath('x.csv'))", "open('a/../x.csv')"):
            with self.subTest(code):
                result = self.sandbox.run(code)
                self.assertRegex(result["error"], r"^FileNotFoundError: .*x\.csv'$")

    def test_what_multiprocessing_has_for_threads_works(self) -> None:
        result = self.sandbox.run(
            """
            import multiprocessing as mp
            import multiprocessing.dummy
            from multiprocessing.pool import ThreadPool

            with ThreadPool(3) as pool, multiprocessing.dummy.Pool(2) as other:
                print(pool.map(abs, [-1, -2]), other.map(len, ["ab"]), mp.cpu_count() > 0)
            queue = mp.Queue()
            queue.put("x")
            with mp.Lock(), mp.RLock(), mp.Semaphore(2), mp.Condition():
                print(queue.get(), mp.Event().is_set())
            """
        )
        self.assertEqual(result["output"], "[1, 2] [2] True\nx False\n", result)


@unittest.skipUnless(nobody_runs_code(), NOBODY_NEEDS)
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

    def test_folder_that_the_program_closed_is_read_and_removed(self) -> None:
        for nobody in (False, True) if can_be_nobody() else (False,):
            sandbox = SandboxProcess(as_nobody=nobody, without=("mounts",), SANDBOX_CONFINEMENT="unconfined")
            self.addCleanup(sandbox.close)
            result = sandbox.run("import os\nopen('a', 'w').close()\nos.chmod('.', 0)")
            self.assertIn("a", [one["name"] for one in result["artifacts"]], result)
            self.assertTrue(sandbox.run("print(1)")["success"])

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
            "rules = confinement.prepare(confinement.look_around([]), True, 2 ** 28, base)\n"
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


@unittest.skipUnless(can_be_nobody(), "needs root, and a Python that every user can read")
class MissingLandlockTest(unittest.TestCase):
    """A kernel without Landlock: an ordinary user runs nothing; of what root runs nothing stays."""

    def test_as_an_ordinary_user_nothing_is_run(self) -> None:
        sandbox = SandboxProcess(as_nobody=True, without=("landlock",))
        self.addCleanup(sandbox.close)
        self.assertTrue(
            sandbox.ready()["isolation"]["landlock"].startswith("off: this kernel has no Landlock")
        )
        result = sandbox.run("print('GOT')")
        self.assertEqual((result["error_category"], result["output"]), ("sandbox_error", ""))
        self.assertRegex(result["error"], "no Landlock.*files of user 65534.*SANDBOX=unconfined")

    def test_an_ordinary_user_may_insist(self) -> None:
        sandbox = SandboxProcess(as_nobody=True, without=("landlock",), SANDBOX_CONFINEMENT="unconfined")
        self.addCleanup(sandbox.close)
        self.assertTrue(sandbox.run("print(1)")["success"])

    def test_as_root_nothing_stays_in_folders_that_all_may_write_to(self) -> None:
        shared = tempfile.mkdtemp(prefix="sandbox-shared-")
        self.addCleanup(shutil.rmtree, shared)
        os.chmod(shared, 0o1777)
        kept = f"{shared}/of-another"
        with open(kept, "w", encoding="ascii") as file:
            file.write("stays")
        sandbox = SandboxProcess(for_all=True, without=("landlock",))
        self.addCleanup(sandbox.close)
        result = sandbox.run(
            f"""
            import os
            for folder in ("/tmp", "/var/tmp", "/dev/shm", {shared!r}):
                try:
                    os.makedirs(f"{{folder}}/left-{{os.getpid()}}/deep/deeper", 0o700)
                    with open(f"{{folder}}/left-{{os.getpid()}}/deep/file", "w") as file: file.write("x")
                    with open(f"{{folder}}/.left-{{os.getpid()}}", "w") as file: file.write("x")
                    os.symlink({kept!r}, f"{{folder}}/link-{{os.getpid()}}")
                    print(f"{{folder}}/left-{{os.getpid()}}", f"{{folder}}/.left-{{os.getpid()}}",
                          f"{{folder}}/link-{{os.getpid()}}")
                except OSError: pass  # closed to it, or read-only for all
            """
        )
        made = result["output"].split()
        self.assertGreaterEqual(len(made), 3, result)
        self.assertEqual([path for path in made if os.path.lexists(path)], [])
        self.assertEqual(os.listdir(shared), ["of-another"])


class ReadableTest(unittest.TestCase):
    """What of a search path is granted: what is installed, and of somebody's project what can be imported."""

    def setUp(self) -> None:
        self.project = os.path.realpath(tempfile.mkdtemp(prefix="project-"))
        self.addCleanup(shutil.rmtree, self.project)
        os.chmod(self.project, 0o755)
        names = """
            .env .git/config secrets.json main_module.py clean/__init__.py clean/data/words.txt
            dirty/__init__.py dirty/part.py dirty/.env dirty/inner/__init__.py dirty/inner/x.py
            bare/module.py notes/diary.txt not-a-name/x.py
        """
        for name in names.split():
            path = f"{self.project}/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write("value = 1\n")
        os.symlink(f"{self.project}/notes", f"{self.project}/linked")

    def granted(self) -> set[str]:
        found = readable.find([*sys.path, self.project]).granted
        return {path.removeprefix(f"{self.project}/") for path in found if path.startswith(self.project)}

    def test_of_a_project_only_what_can_be_imported(self) -> None:
        self.assertEqual(
            self.granted(),
            {
                "main_module.py", "clean", "bare", "dirty/__init__.py", "dirty/part.py", "dirty/inner",
            },
        )  # fmt: skip

    def test_what_is_installed_is_granted_whole(self) -> None:
        installed = f"{self.project}/lib/python3.11/site-packages"
        os.makedirs(installed)
        self.assertIn(installed, readable.find([installed]).granted)

    def test_project_on_the_path_is_imported_and_its_secrets_are_not_read(self) -> None:
        for as_nobody in (False, True) if nobody_runs_code() else (False,):
            sandbox = SandboxProcess(as_nobody=as_nobody, PYTHONPATH=self.project)
            self.addCleanup(sandbox.close)
            if not sandbox.ready()["isolation"]["landlock"].startswith("on"):
                self.skipTest("this kernel has no Landlock: what all may read can be read")
            result = sandbox.run(
                f"""
                import os
                import main_module, clean, bare.module, dirty, dirty.part, dirty.inner.x
                for path in (".env", ".git/config", "secrets.json", "dirty/.env", "notes/diary.txt",
                             "linked/diary.txt", "not-a-name/x.py", "", ".git", "notes"):
                    path = os.path.join({self.project!r}, path)
                    try: print("GOT", os.listdir(path) if os.path.isdir(path) else open(path).read())
                    except PermissionError: pass
                print(clean.value, dirty.part.value)
                """
            )
            self.assertEqual((result["error"], result["output"]), (None, "1 1\n"))


class ThreadsTest(unittest.TestCase):
    def test_same_number_for_everyone(self) -> None:
        code = """
            import threading, time
            stop, count = threading.Event(), 1
            try:
                while True:
                    threading.Thread(target=stop.wait, daemon=True).start(); count += 1
            except RuntimeError: print(count, flush=True)
            import os; os._exit(0)
        """
        runs = [{}, {"without": ("mounts",)}]
        if nobody_runs_code():
            runs += [{"as_nobody": True}, {"as_nobody": True, "without": ("mounts",)}]
        for options in runs:
            with self.subTest(options):
                sandbox = SandboxProcess(**options)
                self.addCleanup(sandbox.close)
                self.assertEqual(sandbox.run(code)["output"], f"{confinement.MOST_THREADS}\n")


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
