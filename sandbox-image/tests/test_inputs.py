"""The files that a sandbox is given: how they come, what an attempt sees of them and may do to them."""

import hashlib
import os
import signal
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from mailbox_server import SECRET, Mailbox
from sandbox import inputs, jobs
from sandbox.inputs import InputError, Inputs
from sandbox_process import NOBODY_NEEDS, SandboxProcess, nobody_runs_code

MIB = 2**20


class InputsTest(unittest.TestCase):
    """What holds wherever the sandbox runs; the classes below run it elsewhere."""

    sandbox: SandboxProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def offer(self, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
        return [self.sandbox.mailbox.offer(name, content) for name, content in files]

    def artifacts(self, result: dict[str, Any]) -> dict[str, bytes]:
        self.assertTrue(result["success"], result["error"])
        return {one["name"]: self.sandbox.artifact(result, one["name"]) for one in result["artifacts"]}

    def test_a_program_reads_its_inputs_by_their_names(self) -> None:
        contents = {
            "sales.csv": b"a,b\n1,2\n",
            "売上 2026.csv": "表\n".encode(),
            'it\'s a "quoted" name.txt': b"quotes",
            "-rf": b"dash",
            " both ends ": b"blanks",
            "$HOME;*?.txt": b"shell",
            "empty": b"",
            "bytes.bin": bytes(range(256)) * 4096,
            "é" * 127: b"as long as a name can be",
        }
        code = f"""
            import hashlib, os
            for name in {[*contents]!r}:
                print(hashlib.sha256(open(name, "rb").read()).hexdigest())
            print(sorted(os.listdir()) == sorted([*{[*contents]!r}, ".tmp", "main.py"]))
            print(os.access("sales.csv", os.W_OK), oct(os.stat("sales.csv").st_mode))
        """
        result = self.sandbox.run(code, inputs=self.offer(*contents.items()))
        digests = [hashlib.sha256(content).hexdigest() for content in contents.values()]
        self.assertEqual(result["output"].splitlines(), [*digests, "True", "True 0o100644"], result)
        self.assertEqual((result["artifacts"], result["artifacts_skipped"]), ([], []))

    def test_each_attempt_starts_from_the_originals(self) -> None:
        given = self.offer(("changed.csv", b"a\n1\n"), ("gone.csv", b"b\n2\n"), ("locked.csv", b"c\n3\n"))
        before = len(self.sandbox.mailbox.fetched)
        destroy = """
            import os
            with open("changed.csv", "w") as file: file.write("destroyed")
            os.remove("gone.csv")
            os.chmod("locked.csv", 0)
            os.chmod(".", 0)
            1 / 0
        """
        failed = self.sandbox.run(destroy, inputs=given)
        self.assertEqual(failed["error"], "ZeroDivisionError: division by zero")
        self.assertEqual([one["name"] for one in failed["artifacts"]], ["changed.csv"])
        show = 'print([open(n).read() for n in ("changed.csv", "gone.csv", "locked.csv")])'
        result = self.sandbox.run(show, inputs=given)
        self.assertEqual(result["output"], "['a\\n1\\n', 'b\\n2\\n', 'c\\n3\\n']\n")
        self.assertEqual(len(self.sandbox.mailbox.fetched), before + 3)
        self.assertEqual(
            self.sandbox.run("import os; print(sorted(os.listdir()))")["output"], "['.tmp', 'main.py']\n"
        )

    def test_an_unchanged_input_is_no_artifact_and_a_changed_one_is(self) -> None:
        for told, code, expected in (
            ("read", "open('in.csv').read()", {}),
            ("touched", "import os; os.utime('in.csv', (1, 1))", {}),
            ("deleted", "import os; os.remove('in.csv')", {}),
            ("closed", "import os; os.chmod('in.csv', 0)", {}),
            ("written as it was", "open('in.csv', 'w').write('a,b\\n1,2\\n')", {}),
            (
                "replaced by an equal file",
                "import os; open('new', 'w').write('a,b\\n1,2\\n'); os.replace('new', 'in.csv')",
                {},
            ),
            ("longer", "open('in.csv', 'a').write('3,4\\n')", {"in.csv": b"a,b\n1,2\n3,4\n"}),
            ("as long", "open('in.csv', 'w').write('a,b\\n1,3\\n')", {"in.csv": b"a,b\n1,3\n"}),
            (
                "as long, and as old",
                "import os; e = os.stat('in.csv'); open('in.csv', 'w').write('a,b\\n1,3\\n');"
                "os.utime('in.csv', ns=(e.st_atime_ns, e.st_mtime_ns))",
                {"in.csv": b"a,b\n1,3\n"},
            ),
            (
                "through a map of its memory",
                "import mmap; f = open('in.csv', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0]; m[0:1] = b'A'",
                {"in.csv": b"A,b\n1,2\n"},
            ),
            ("emptied", "open('in.csv', 'w').close()", {"in.csv": b""}),
            ("renamed", "import os; os.rename('in.csv', 'out.csv')", {"out.csv": b"a,b\n1,2\n"}),
            (
                "moved away",
                "import os; os.mkdir('d'); os.rename('in.csv', 'd/in.csv')",
                {"d/in.csv": b"a,b\n1,2\n"},
            ),
            ("copied", "import shutil; shutil.copy('in.csv', 'out.csv')", {"out.csv": b"a,b\n1,2\n"}),
            ("linked", "import os; os.link('in.csv', 'out.csv')", {"out.csv": b"a,b\n1,2\n"}),
            (
                "made a folder",
                "import os; os.remove('in.csv'); os.mkdir('in.csv'); open('in.csv/x', 'w').close()",
                {"in.csv/x": b""},
            ),
        ):
            with self.subTest(told):
                result = self.sandbox.run(code, inputs=self.offer(("in.csv", b"a,b\n1,2\n")))
                self.assertEqual(self.artifacts(result), expected)
                self.assertEqual(result["artifacts_skipped"], [])

    def test_what_stands_in_the_place_of_an_input_is_not_followed(self) -> None:
        for code, reason in (
            ("os.symlink('other', 'in.csv')", "not a regular file"),
            ("os.symlink('/etc/passwd', 'in.csv')", "not a regular file"),
            ("os.mkfifo('in.csv')", "not a regular file"),
        ):
            with self.subTest(code):
                whole = f"import os; os.remove('in.csv'); {code}; open('other', 'w').write('1234')"
                result = self.sandbox.run(whole, inputs=self.offer(("in.csv", b"1234")))
                self.assertEqual(self.artifacts(result), {"other": b"1234"})
                self.assertEqual(result["artifacts_skipped"], [{"name": "in.csv", "reason": reason}])

    def test_code_finds_no_original(self) -> None:
        self.sandbox.run("1", inputs=self.offer(("secret.csv", b"original of another attempt")))
        result = self.sandbox.run(
            f"""
            import os, socket, urllib.request
            found = []
            for top in ("..", {self.sandbox.work_dir!r}, "/proc/self/fd", f"/proc/{{os.getppid()}}/fd",
                        "/proc/{self.sandbox.process.pid}/fd", "/proc/{self.sandbox.process.pid}/root/tmp"):
                for folder, folders, names in os.walk(top):
                    for name in names:
                        try:
                            with open(os.path.join(folder, name), "rb") as file:
                                found.append((folder, name, file.read(100)))
                        except OSError:
                            pass
            for fd in range(3, 1024):
                try:
                    found.append((fd, os.pread(fd, 100, 0)))
                except OSError:
                    pass
            try:
                urllib.request.urlopen({self.sandbox.mailbox.url!r}).read()
                found.append("the network")
            except OSError:
                pass
            print([one for one in found if "original" in str(one) or one == "the network"])
            print({SECRET!r} in str(vars()) , "original" in open("in.csv").read())
            """,
            inputs=self.offer(("in.csv", b"original of this attempt")),
        )
        self.assertEqual(result["output"].splitlines()[0], "[]", result)


class DiskTest(unittest.TestCase):
    """With and without a file system of its own for each attempt."""

    def test_what_a_program_writes_is_limited_beside_its_inputs(self) -> None:
        machines: list[dict[str, Any]] = [{}, {"without": ("mounts",)}]
        if nobody_runs_code():
            machines.append({"as_nobody": True})
        for machine in machines:
            with self.subTest(machine):
                sandbox = SandboxProcess(**machine)
                self.addCleanup(sandbox.close)
                given = [sandbox.mailbox.offer("large.bin", bytes(100 * MIB))]
                result = sandbox.run(
                    """
                    import time
                    part = bytes(50 * 2 ** 20)
                    with open("large.bin", "ab") as file: file.write(part)
                    for number in range(10):
                        with open(f".{number}", "wb") as file: file.write(part)
                        if number == 3: time.sleep(0.6)  # to be looked at
                        print(number)
                    time.sleep(20)
                    """,
                    inputs=given,
                    timeout=30,
                )
                self.assertRegex(result["error"], "wrote more than 256 MB or 10,000 files|No space left")
                self.assertTrue(result["output"].startswith("0\n1\n2\n3\n"), result["output"])
                changed = {"name": "large.bin", "reason": "larger than 10 MB"}
                self.assertEqual((result["artifacts"], result["artifacts_skipped"]), ([], [changed]))


@unittest.skipUnless(nobody_runs_code(), NOBODY_NEEDS)
class OrdinaryUserTest(InputsTest):
    """Attempts have the supervisor's own uid."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(as_nobody=True)


class WithoutMountsTest(InputsTest):
    """The working folders are counted, as on Fargate."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(without=("mounts",))


@unittest.skipUnless(nobody_runs_code(), NOBODY_NEEDS)
class OrdinaryUserWithoutMountsTest(InputsTest):
    """Nothing but Landlock keeps an attempt from what the supervisor owns."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(as_nobody=True, without=("mounts",))


class FetchTest(unittest.TestCase):
    """How files come to a sandbox."""

    sandbox: SandboxProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()
        cls.mailbox = cls.sandbox.mailbox

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def setUp(self) -> None:
        self.mailbox.fetched.clear()
        self.mailbox.held.clear()

    def test_a_wake_up_has_them_fetched_before_the_job(self) -> None:
        given = [self.mailbox.offer("in.csv", b"1"), self.mailbox.offer("二.csv", b"2")]
        self.mailbox.put_job({"job_id": "wake", "wake": True, "inputs": given})
        self.mailbox.wait_until(lambda: len(self.mailbox.fetched) == 2, "the inputs were not fetched")
        result = self.sandbox.run("print(open('in.csv').read(), open('二.csv').read())", inputs=given)
        self.assertEqual((result["output"], len(self.mailbox.fetched)), ("1 2\n", 2))

    def test_what_failed_at_the_wake_up_is_fetched_for_the_job(self) -> None:
        bad = self.mailbox.offer("in.csv", b"3", 403)
        self.mailbox.put_job({"job_id": "wake", "wake": True, "inputs": [bad]})
        self.mailbox.wait_until(lambda: len(self.mailbox.fetched) == 1, "the input was not fetched")
        good = self.mailbox.offer("in.csv", b"3")
        result = self.sandbox.run("print(open('in.csv').read())", inputs=[good])
        self.assertEqual(result["output"], "3\n", result)

    def test_passing_faults_are_tried_again(self) -> None:
        content = b"x" * 3_000_001
        given = [
            self.mailbox.offer("broken.bin", content, "broken", "broken"),
            self.mailbox.offer("busy.bin", content, 503, 500, 429),
        ]
        code = "print([len(open(name, 'rb').read()) for name in ('broken.bin', 'busy.bin')])"
        result = self.sandbox.run(code, inputs=given)
        self.assertEqual(result["output"], "[3000001, 3000001]\n", result)
        self.assertEqual(len(self.mailbox.fetched), 3 + 4)

    def test_what_cannot_be_fetched_is_no_fault_of_the_program(self) -> None:
        good = self.mailbox.offer("elsewhere.csv", b"1")
        for told, given in {
            r"'in.csv': its server answered 404": self.mailbox.offer("in.csv", b"1", 404),
            r"'in.csv': its server answered 403": self.mailbox.offer("in.csv", b"1", 403),
            r"'in.csv': its server answered 302": self.mailbox.offer("in.csv", b"1", 302),
            r"'in.csv' has 1 bytes and not 2": {**self.mailbox.offer("in.csv", b"1"), "size": 2},
            r"'in.csv' has 2 bytes and not 1": {**self.mailbox.offer("in.csv", b"12"), "size": 1},
            r"another hash": {**self.mailbox.offer("in.csv", b"1"), "etag": "0" * 32},
            r"'in.csv' has no valid URL": {**good, "name": "in.csv", "url": "http://[/"},
        }.items():
            with self.subTest(told):
                result = self.sandbox.run("print('ran')", inputs=[good, given])
                self.assertEqual((result["error_category"], result["output"]), ("sandbox_error", ""))
                self.assertRegex(result["error"], f"an input could not be fetched: .*{told}")
                self.assertNotIn(SECRET, result["error"])
                self.assertNotIn(f"started/{result['job_id']}.json", self.mailbox.names())
        self.assertEqual(self.sandbox.run("print(1)")["output"], "1\n")

    def test_without_a_hash_the_size_is_checked(self) -> None:
        given = {**self.mailbox.offer("in.csv", b"12"), "etag": None}
        self.assertEqual(self.sandbox.run("print(open('in.csv').read())", inputs=[given])["output"], "12\n")

    def test_bad_jobs_are_refused_in_words(self) -> None:
        good = self.mailbox.offer("in.csv", b"1")
        for told, given in {
            "at most 20 files": [{**good, "name": f"{number}"} for number in range(21)],
            "two inputs have the same name": [good, good],
            "at most 250 MB": [{**good, "name": f"{number}", "size": 100 * MIB} for number in range(3)],
            "http or https URL: 'in.csv'": [{**good, "url": "file:///etc/passwd"}],
            "a plain name": [{**good, "name": "../x"}],
        }.items():
            with self.subTest(told):
                result = self.sandbox.run("print(1)", inputs=given)
                self.assertEqual(result["error_category"], "sandbox_error")
                self.assertIn(told, result["error"])
        self.assertEqual(self.mailbox.fetched, [])

    def test_the_time_limit_begins_when_the_files_are_there(self) -> None:
        given = self.mailbox.offer("in.csv", b"12", "held")
        code = "import time\nprint(open('in.csv').read())\ntime.sleep(0.6)"  # long enough to be told of
        job_id = self.sandbox.submit(code, inputs=[given])
        self.mailbox.wait_until(lambda: self.mailbox.fetched != [], "the input was not fetched")
        polls = self.mailbox.polls
        self.mailbox.wait_until(lambda: self.mailbox.polls > polls + 1, "the sandbox asks for nothing")
        self.assertNotIn(f"started/{job_id}.json", self.mailbox.names())
        self.mailbox.held.set()
        result = self.sandbox.result_of(job_id)
        self.assertEqual((result["error"], result["output"]), (None, "12\n"))
        self.assertIn(f"started/{job_id}.json", self.mailbox.names())

    def test_an_attempt_that_is_lost_before_its_job_is_replaced_with_its_inputs(self) -> None:
        self.sandbox.ready()
        self.sandbox.kill_zygote()
        given = self.mailbox.offer("in.csv", b"12")
        result = self.sandbox.run("print(open('in.csv').read())", inputs=[given])
        self.assertEqual((result["error"], result["output"]), (None, "12\n"))

    def test_twenty_files_at_once(self) -> None:
        given = [self.mailbox.offer(f"{number}.txt", f"{number}".encode()) for number in range(20)]
        code = "print(sum(int(open(f'{number}.txt').read()) for number in range(20)))"
        self.assertEqual(self.sandbox.run(code, inputs=given)["output"], "190\n")

    def test_a_large_file_takes_no_memory_of_the_supervisor(self) -> None:
        content = bytes(range(256)) * (100 * MIB // 256)
        given = self.mailbox.offer("large.bin", content)
        self.sandbox.run("print(open('small').read())", inputs=[self.mailbox.offer("small", b"1")])
        before = self.peak_memory()
        code = "import hashlib; print(hashlib.file_digest(open('large.bin', 'rb'), 'sha256').hexdigest())"
        result = self.sandbox.run(code, inputs=[given], timeout=30)
        self.assertEqual(result["output"], f"{hashlib.sha256(content).hexdigest()}\n", result)
        self.assertLess(self.peak_memory() - before, 4 * MIB)

    def test_nothing_is_left_of_a_sandbox_that_ends_while_it_fetches(self) -> None:
        for number, exit_code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
            with self.subTest(number):
                sandbox = SandboxProcess()
                self.addCleanup(sandbox.close)
                sandbox.ready()
                before = _files(sandbox.work_dir)
                given = sandbox.mailbox.offer("in.bin", b"x" * MIB, "held")
                sandbox.submit("print(1)", inputs=[given])
                sandbox.mailbox.wait_until(
                    lambda box=sandbox: box.mailbox.fetched != [], "nothing was fetched"
                )
                os.kill(sandbox.process.pid, number)
                self.assertEqual(sandbox.process.wait(10), exit_code)
                self.assertLessEqual(_files(sandbox.work_dir), before)
                sandbox.mailbox.held.set()

    def peak_memory(self) -> int:
        with open(f"/proc/{self.sandbox.process.pid}/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def _files(folder: str) -> set[Path]:
    return {path for path in Path(folder).rglob("*") if path.is_file()}


class PatienceTest(unittest.TestCase):
    """What takes longer than a test may, with a shorter patience."""

    def setUp(self) -> None:
        self.mailbox = Mailbox()
        self.addCleanup(self.mailbox.close)
        self.inputs = Inputs("/tmp")

    def ask(self, *faults: int | str, content: bytes = b"12", **changes: Any) -> list[inputs.Original]:
        return self.inputs.originals(
            [jobs.Input(**{**self.mailbox.offer("in", content, *faults), **changes})]
        )

    def test_a_server_that_stays_in_trouble_is_given_up(self) -> None:
        with mock.patch("sandbox.mailbox.RETRY_SECONDS", 0.4), self.assertRaises(InputError) as caught:
            self.ask(503, 503, 503, 503)
        self.assertEqual(str(caught.exception), "'in': its server answered 503")

    def test_a_server_that_never_sends_the_whole_is_given_up(self) -> None:
        with mock.patch("sandbox.mailbox.RETRY_SECONDS", 0.4), self.assertRaises(InputError) as caught:
            self.ask("broken", "broken", "broken", "broken")
        self.assertEqual(str(caught.exception), "'in': 1 of its 2 bytes came")

    def test_a_server_that_cannot_be_reached_is_given_up(self) -> None:
        with mock.patch("sandbox.mailbox.RETRY_SECONDS", 0.0), self.assertRaises(InputError) as caught:
            self.ask(url="http://127.0.0.1:1/x")
        self.assertEqual(str(caught.exception), "'in': its server cannot be reached: ConnectionRefusedError")

    def test_what_does_not_come_in_time_is_not_waited_for(self) -> None:
        with mock.patch("sandbox.inputs.LONGEST_SECONDS", 0.2), self.assertRaises(InputError) as caught:
            self.ask("held")
        self.assertEqual(str(caught.exception), "'in' did not come within 0.2 s")
        self.mailbox.held.set()

    def test_a_full_disk_is_told(self) -> None:
        with mock.patch.object(self.inputs, "_folder", "/dev/null"), self.assertRaises(InputError) as caught:
            self.ask()
        self.assertEqual(str(caught.exception), "'in' cannot be kept: Not a directory")

    def test_originals_that_a_job_does_not_name_are_closed(self) -> None:
        first = self.ask(content=b"first")[0]
        again = self.ask(content=b"second")[0]
        self.assertEqual((first.file.closed, again.file.closed), (True, False))


if __name__ == "__main__":
    unittest.main()
