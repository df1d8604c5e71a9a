"""The nursery: sandboxes that are forks of one template, what they share, and what they must not."""

import json
import os
import signal
import socket
import sys
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from mailbox_server import SECRET
from nursery_process import Nursery
from sandbox_process import ROOT, SandboxProcess, is_alive

DRAWS = """
    import json, logging, multiprocessing, os, random, secrets, tempfile, uuid
    drawn = [random.random(), random.Random().random(), uuid.uuid4().hex, uuid.uuid1().hex,
             secrets.token_hex(), os.urandom(8).hex(), os.getpid(),
             os.path.basename(tempfile.mkdtemp()), logging._startTime,
             multiprocessing.current_process().authkey.hex()]
    try:
        import numpy
        drawn += [numpy.random.random(), numpy.random.default_rng().random()]
    except ImportError: pass
    print(json.dumps(drawn))
"""
STATE = """
    import json, os, signal, threading, resource, sys
    print(json.dumps({
        "environment": dict(os.environ) | {"HOME": "", "TMPDIR": "", "MPLCONFIGDIR": ""},
        "descriptors": [fd for fd in range(300) if is_open(fd)],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "umask": os.umask(0o077), "threads": [one.name for one in threading.enumerate()],
        "session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "limits": [resource.getrlimit(kind) for kind in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE)],
        "recursion": depth(), "modules": sorted(name for name in sys.modules if name.startswith("sandbox")),
    }))
"""
HELPERS = """
    import os
    def is_open(fd):
        try: os.fstat(fd)
        except OSError: return False
        return True
    def depth():
        frame, count = __import__("sys")._getframe(), 0
        while frame: frame, count = frame.f_back, count + 1
        return count
"""


class NurseryTest(unittest.TestCase):
    def setUp(self) -> None:
        options = {"cwd": ROOT, "env": {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}}
        self.nursery = Nursery([sys.executable, "-m", "sandbox"], **options)
        self.addCleanup(self.nursery.end)

    def sandbox(self, **options: str) -> SandboxProcess:
        sandbox = SandboxProcess(nursery=self.nursery, **options)
        self.addCleanup(sandbox.close)
        return sandbox

    def processes_of(self, sandbox: SandboxProcess) -> dict[str, int]:
        """Process id by name."""
        sandbox.ready()
        zygote = sandbox.zygote_pid()
        wait_until(lambda: len(children_of(zygote)) == 1)  # the next attempt is prepared
        attempt = int(children_of(zygote)[0])
        wait_until(lambda: name_of(attempt) == "sandbox-attempt")  # it has begun to be one
        return {name_of(pid): pid for pid in (sandbox.process.pid, zygote, attempt)}

    def test_each_sandbox_is_processes_of_its_own(self) -> None:
        parts = [self.processes_of(self.sandbox()) for _ in range(2)]
        for part in parts:
            self.assertEqual(set(part), {"sandbox", "sandbox-zygote", "sandbox-attempt"})
            for pid in part.values():
                self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(len({pid for part in parts for pid in part.values()}), 6)
        self.assertEqual(name_of(self.nursery.process.pid), "sandbox-nursery")

    def test_what_must_differ_differs(self) -> None:
        runs = [self.sandbox().run(DRAWS) for _ in range(3)]
        drawn = [json.loads(run["output"]) for run in runs]
        for values in zip(*drawn, strict=True):
            self.assertEqual(len(set(values)), 3, values)

    def test_hashes_are_seeded_alike(self) -> None:
        """If this ever fails, the documentation says more than is so."""
        self.assertEqual(len({self.sandbox().run("print(hash('text'))")["output"] for _ in range(2)}), 1)

    def test_a_program_finds_what_it_finds_in_a_sandbox_that_was_started(self) -> None:
        started = SandboxProcess()
        self.addCleanup(started.close)
        self.sandbox().ready()  # an earlier one leaves nothing behind either
        found = [sandbox.run(HELPERS + STATE)["output"] for sandbox in (self.sandbox(), started)]
        self.assertEqual(json.loads(found[0]), json.loads(found[1]))

    def test_no_secret_is_in_the_template_or_a_zygote(self) -> None:
        sandbox = self.sandbox()
        self.assertEqual(sandbox.run("print('a secret of the program ' * 2)")["exit_code"], 0)
        parts = self.processes_of(sandbox)
        for secret in (SECRET, "a secret of the program"):
            try:
                self.assertTrue(is_in_memory(parts["sandbox"], secret), "the supervisor has it")
            except PermissionError:
                self.skipTest("only root with all capabilities can read the memory of others")
            for pid in (self.nursery.process.pid, parts["sandbox-zygote"], parts["sandbox-attempt"]):
                self.assertFalse(is_in_memory(pid, secret), name_of(pid))

    def test_exit_code_and_log_are_told(self) -> None:
        sandbox, killed, bad = self.sandbox(), self.sandbox(), self.sandbox(SANDBOX_MEMORY_MB="many")
        sandbox.run("print(1)")
        killed.ready()
        killed.process.kill()
        sandbox.process.send_signal(signal.SIGTERM)
        self.assertEqual([one.process.wait(10) for one in (sandbox, killed, bad)], [0, -signal.SIGKILL, 1])
        messages = [line["message"] for line in sandbox.close()]
        self.assertEqual(messages[:2] + messages[-1:], ["ready", "job started", "told to end"])
        self.assertIn("SANDBOX_MEMORY_MB", bad.close()[0]["message"])

    def test_it_ends_when_its_launcher_closes_the_connection(self) -> None:
        sandbox = self.sandbox()
        job = sandbox.submit("print('begun', flush=True)\nwhile True: pass", timeout=60)
        sandbox.mailbox.wait_for(f"output/{job}/1.json")
        sandbox.process.connection.shutdown(socket.SHUT_WR)
        self.assertEqual(sandbox.process.wait(10), 0)
        self.assertEqual(os.listdir(sandbox.work_dir), [])

    def test_who_asks_and_goes_away_gets_nothing(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.nursery.socket)
        self.assertTrue(self.sandbox().run("print(1)")["success"])
        wait_until(lambda: len(children_of(self.nursery.process.pid)) == 1)

    def test_a_killed_template_takes_nothing_with_it(self) -> None:
        running, other = self.sandbox(), self.sandbox()
        job = running.submit("import time\nprint('begun', flush=True)\ntime.sleep(0.5)\nprint('done')")
        running.mailbox.wait_for(f"output/{job}/1.json")
        self.nursery.process.kill()
        self.nursery.process.wait()
        self.assertEqual(running.result_of(job)["output"], "begun\ndone\n")
        os.kill(running.zygote_pid(), signal.SIGKILL)  # its next one is started by exec
        self.assertEqual(running.run("print(2)")["output"], "2\n")
        # The end of each is seen: no other process holds its connection.
        other.ready()
        os.kill(other.process.pid, signal.SIGKILL)
        other.process._reader.join(10)
        self.assertFalse(other.process._reader.is_alive())
        running.process.connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: not is_alive(running.process.pid))
        self.assertEqual(os.listdir(running.work_dir), [])
        for sandbox in (running, other):
            sandbox.process.returncode = 0  # nobody has seen it

    def test_the_template_removes_its_folder_when_it_ends(self) -> None:
        for how in ("input", "signal"):
            with self.subTest(how):
                nursery = Nursery([sys.executable, "-m", "sandbox"], cwd=ROOT)
                self.assertEqual(os.stat(nursery.socket).st_mode & 0o777, 0o700)
                if how == "signal":
                    nursery.process.terminate()
                self.assertEqual(nursery.end(), 0)
                self.assertFalse(os.path.exists(nursery.folder))

    def test_many_at_once(self) -> None:
        sandboxes = [self.sandbox() for _ in range(12)]
        jobs = [sandbox.submit(f"print({number})") for number, sandbox in enumerate(sandboxes)]
        for number, (sandbox, job) in enumerate(zip(sandboxes, jobs, strict=True)):
            self.assertEqual(sandbox.result_of(job)["output"], f"{number}\n")


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def is_in_memory(pid: int, text: str) -> bool:
    """Whether a text is anywhere in the memory that a process may write to."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if rights.startswith("rw"):
                first, last = (int(number, 16) for number in place.split("-"))
                memory.seek(first)
                if text.encode() in memory.read(last - first):
                    return True
    return False


def wait_until(found: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not found():
        if time.monotonic() > give_up_at:
            raise AssertionError("not within 10 s")
        time.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
