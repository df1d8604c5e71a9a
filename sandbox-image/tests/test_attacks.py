"""Attacks, one a test: code that tries to get out, to see what is not its own, or to use up the machine.

Each is run with the policy check off, so that the confinement alone stands in the way; and run twice where
the tests are run by root: with a supervisor that is root and with one that is nobody.
"""

import ctypes
import os
import platform
import socket
import tempfile
import textwrap
import threading
import unittest

from mailbox_server import SECRET
from sandbox import seccomp
from sandbox_process import SandboxProcess, can_be_nobody, is_alive

# Says for each attempt of an attack how it ended; `syscall` is what no library stands in front of.
PRELUDE = """\
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)

def attempt(name, attack, *arguments):
    try:
        result = attack(*arguments)
    except BaseException as error:
        number = getattr(error, "errno", None)
        print(name, errno.errorcode.get(number, type(error).__name__))
    else:
        print(name, "GOT", repr(result)[:80])

def syscall(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

"""
LIBSECCOMP = ctypes.CDLL("libseccomp.so.2")


def number_of(name: str) -> int:
    """The number of a system call on this machine, negative if there is none."""
    return LIBSECCOMP.seccomp_syscall_resolve_name(name.encode())


class AttackTest(unittest.TestCase):
    as_nobody = False

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(as_nobody=cls.as_nobody)
        cls.supervisor = cls.sandbox.process.pid
        cls.landlock = cls.sandbox.ready()["isolation"]["landlock"].startswith("on")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def attack(self, code: str, **job: object) -> dict:
        """Runs an attack; afterwards the sandbox must be as good as before."""
        result = self.sandbox.run(PRELUDE + textwrap.dedent(code), **job)
        self.assertTrue(is_alive(self.supervisor))
        self.assertNotIn(SECRET, str(result))
        return result

    def assert_refused(self, code: str, *errors: str) -> None:
        """Every attempt must have ended in one of these errors."""
        result = self.attack(code)
        self.assertTrue(result["success"], result["error"])
        self.assertNotEqual(result["output"], "")
        for line in result["output"].splitlines():
            self.assertIn(line.rpartition(" ")[2], errors, result["output"])

    def test_network(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.assert_refused(
                f"""
                import socket
                address = ("127.0.0.1", {server.getsockname()[1]})
                attempt("tcp", socket.create_connection, address)
                attempt("tcp6", socket.socket, socket.AF_INET6)
                attempt("udp", socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
                attempt("raw", socket.socket, socket.AF_INET, socket.SOCK_RAW)
                attempt("netlink", socket.socket, socket.AF_NETLINK, socket.SOCK_RAW)
                attempt("packet", socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
                attempt("name", socket.getaddrinfo, "example.org", 80)
                attempt("server", socket.create_server, ("", 0))
                """,
                "EPERM",
                "gaierror",
                "-3",
                "EAI_AGAIN",
            )

    def test_unix_sockets(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(f"\0sandbox-attack-{os.getpid()}")
            server.setblocking(False)
            self.assert_refused(
                f"""
                import socket
                address = "\\0sandbox-attack-{os.getpid()}"
                attempt("unix", socket.socket, socket.AF_UNIX)
                attempt("datagram pair", socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
                left, right = socket.socketpair()
                attempt("connect", left.connect, address)
                attempt("bind", left.bind, address)
                attempt("send", left.sendto, b"x", address)
                """,
                "EPERM",
                "ENOSYS",
                "EISCONN",
                "EOPNOTSUPP",
            )
            self.assertRaises(BlockingIOError, server.recv, 1)

    def test_files_outside_the_working_folder(self) -> None:
        if not self.landlock:
            self.skipTest("this kernel has no Landlock: world-readable files can be read")
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as other:
            os.chmod(other.name, 0o666)
            self.assert_refused(
                f"""
                import pathlib
                other = {other.name!r}
                for path in ("/etc/passwd", "/etc/hostname", "/proc/version", "/proc/self/status", "/run",
                             "/sys/kernel", "/", "/home", "/root", "/tmp", "/var/log", "/dev/kmsg",
                             "/dev/mem", other, {__file__!r}):
                    attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path).read())
                attempt("write", open, other, "w")
                attempt("append", open, other, "a")
                attempt("remove", os.remove, other)
                attempt("rename", os.rename, other, "mine")
                attempt("link", os.link, other, "mine")
                attempt("new", open, "/tmp/new", "w")
                attempt("folder", os.mkdir, "/tmp/new-folder")
                attempt("shared memory", open, "/dev/shm/x", "w")
                os.symlink(other, "symlink"); attempt("symlink", open, "symlink")
                os.symlink("/", "root"); attempt("symlink to /", open, "root/etc/passwd")
                attempt("up", open, "../../../../../../../../etc/passwd")
                attempt("own library", open, os.__file__, "a")
                """,
                "EACCES",
                "EXDEV",
                "EPERM",
                "FileNotFoundError",
                "ENOENT",
            )

    def test_modes_and_times_of_files_outside(self) -> None:
        with tempfile.NamedTemporaryFile() as other:
            if self.as_nobody:
                os.chown(other.name, 65534, 65534)
            os.chmod(other.name, 0o644)
            os.utime(other.name, (1, 1))
            self.attack(
                f"""
                other = {other.name!r}
                attempt("chmod", os.chmod, other, 0o777)
                attempt("utime", os.utime, other)
                attempt("truncate", os.truncate, other, 0)
                attempt("chown", os.chown, other, os.getuid(), os.getgid())
                """
            )
            after = os.stat(other.name)
            self.assertEqual((after.st_mode & 0o777, after.st_mtime), (0o644, 1))

    def test_folders_of_other_sandboxes(self) -> None:
        other = SandboxProcess(as_nobody=self.as_nobody)
        self.addCleanup(other.close)
        job_id = other.submit(
            "import os, time\nopen('secret', 'w').write('x')\nprint(os.getcwd())\ntime.sleep(60)", timeout=60
        )
        other.mailbox.wait_for(f"output/{job_id}/1.json")
        result = self.attack(
            f"""
            for top, folders, files in os.walk({other.work_dir!r}):
                print("GOT", top, files)
            attempt("list", os.listdir, {other.work_dir!r})
            """
        )
        self.assertEqual(result["output"], "list EACCES\n")

    def test_secrets_of_the_supervisor(self) -> None:
        result = self.attack(
            f"""
            import gc
            for pid in ("self", os.getppid(), {self.supervisor}, {self.sandbox.zygote_pid()}, 1):
                for name in ("environ", "mem", "maps", "cmdline", "fd", "cwd/x", "root/etc/passwd", "task"):
                    path = f"/proc/{{pid}}/{{name}}"
                    is_folder = name in ("fd", "task")
                    attempt(path, lambda: os.listdir(path) if is_folder else open(path, "rb").read(100))
            for pid in (os.getppid(), {self.supervisor}):
                attempt("exe", os.readlink, f"/proc/{{pid}}/exe")
            texts = [one for one in gc.get_objects() if type(one) is dict]
            print("NAMES", [name for one in texts for name in one if "MANIFEST" in str(name)])
            """
        )
        lines = result["output"].splitlines()
        self.assertEqual(lines.pop(), "NAMES []")
        if self.landlock:
            for line in lines:
                self.assertIn(line.rpartition(" ")[2], ("EACCES", "EPERM", "ENOENT"), line)

    def test_process_list(self) -> None:
        if not self.landlock:
            self.skipTest("this kernel has no Landlock: /proc can be listed")
        self.assert_refused(
            'attempt("ps", os.listdir, "/proc"); attempt("stat", open, "/proc/1/stat")', "EACCES"
        )

    def test_signals_to_others(self) -> None:
        zygote = self.sandbox.zygote_pid()
        victim = threading.get_native_id()
        self.assert_refused(
            f"""
            import fcntl, resource, signal, socket
            for pid in (os.getppid(), {self.supervisor}, {zygote}, {victim}, 1, 0, -1, -{self.supervisor}):
                attempt(f"kill {{pid}}", os.kill, pid, signal.SIGKILL)
                attempt(f"tgkill {{pid}}", syscall, {number_of("tgkill")}, pid, pid, 9)
                attempt(f"tkill {{pid}}", syscall, {number_of("tkill")}, pid, 9)
                attempt(f"sigqueue {{pid}}", syscall, {number_of("rt_sigqueueinfo")}, pid, 9, 0)
                attempt(f"pidfd {{pid}}", os.pidfd_open, max(pid, 1))
            attempt("group", os.killpg, os.getpgid(os.getppid()), 9)
            left, right = socket.socketpair()
            attempt("owner", fcntl.fcntl, left, fcntl.F_SETOWN, {self.supervisor})
            attempt("owner signal", fcntl.fcntl, left, 10, 9)
            attempt("owner by ioctl", fcntl.ioctl, left, 0x8901, ({self.supervisor}).to_bytes(4, "little"))
            attempt("limits", resource.prlimit, {self.supervisor}, resource.RLIMIT_NOFILE, (0, 0))
            attempt("priority", os.setpriority, os.PRIO_PROCESS, {self.supervisor}, 19)
            attempt("affinity", os.sched_setaffinity, {self.supervisor}, [0])
            """,
            "EPERM",
            "ENOSYS",
        )
        self.assertTrue(is_alive(zygote))

    def test_other_programs(self) -> None:
        self.assert_refused(
            f"""
            import subprocess
            attempt("execv", os.execv, sys.executable, ["python3", "-c", "print('GOT it')"])
            attempt("run", subprocess.run, ["/bin/sh", "-c", "echo GOT it"])
            attempt("vfork", lambda: subprocess.run(["/bin/echo", "GOT"], close_fds=False))
            attempt("spawn", os.posix_spawn, "/bin/echo", ["echo", "GOT it"], {{}})
            attempt("execveat", syscall, {number_of("execveat")}, -1, 0, 0, 0, 0)
            attempt("memfd", os.memfd_create, "program")
            attempt("system", lambda: os.system("echo GOT it") and 1 / 0)
            """,
            "EPERM",
            "ZeroDivisionError",
        )

    def test_fork_bomb(self) -> None:
        result = self.attack("while True:\n    os.fork()")
        self.assertEqual(result["error_category"], "exception")
        self.assertIn("the sandbox runs one process", result["error"])
        flags = (17, 0x4000 | 0x100 | 17, 0x10000000 | 17, 0x20000000 | 17, 0x40000000 | 17)
        self.assert_refused(
            f"""
            for flags in {flags}:
                attempt(hex(flags), syscall, {number_of("clone")}, flags, 0, 0, 0, 0)
            attempt("clone3", syscall, {number_of("clone3")}, 0, 0)
            """,
            "EPERM",
            "ENOSYS",
        )

    def test_thread_bomb(self) -> None:
        result = self.attack(
            """
            import threading, time
            while True:
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            """
        )
        self.assertEqual(result["error_category"], "exception")
        self.assertIn("limits memory and the number of threads", result["error"])

    def test_memory_bomb(self) -> None:
        self.assertEqual(
            self.attack("x = []\nwhile True: x.append(bytearray(2 ** 20))")["error_category"], "memory"
        )
        mapped = self.attack("import mmap\nx = [mmap.mmap(-1, 2 ** 26) for _ in range(1000)]")
        self.assertEqual(mapped["error_category"], "memory", mapped["error"])
        raised = self.attack(
            """
            import resource
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            attempt("raise", resource.setrlimit, resource.RLIMIT_AS, unlimited)
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            x = bytearray(400 * 2 ** 20)
            """
        )
        self.assertEqual((raised["error_category"], raised["output"]), ("memory", "raise ValueError\n"))

    def test_gigabyte_of_output_is_cut(self) -> None:
        result = self.attack("for _ in range(2 ** 10): os.write(2, bytes(2 ** 20))", timeout=20)
        self.assertTrue(result["output_truncated"])
        self.assertLessEqual(len(result["output"].encode()), 2**20)

    def test_full_disk(self) -> None:
        one_file = self.attack("f = open('big', 'wb')\nwhile True: f.write(bytes(2 ** 20))")
        self.assertIn("the sandbox limits the size of a file", one_file["error"])
        many_files = self.attack(
            """
            import itertools, time
            for number in itertools.count():
                try:
                    with open(f"{number}", "wb") as file:
                        os.posix_fallocate(file.fileno(), 0, 60 * 2 ** 20)
                except OSError as error:
                    print(error); time.sleep(60)
                time.sleep(0.02)
            """,
            timeout=20,
        )
        self.assertIn("wrote more than 256 MB", many_files["error"])

    def test_flood_of_files(self) -> None:
        result = self.attack("n = 0\nwhile True:\n    os.mkdir(f'{n}'); n += 1", timeout=20)
        self.assertIn("10,000 files", result["error"])

    def test_survivors_of_the_time_limit(self) -> None:
        result = self.attack(
            """
            import signal, threading
            print(os.getpid(), flush=True)
            def spin():
                while True: pass
            for _ in range(5):
                threading.Thread(target=spin).start()
            signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals()); spin()
            """,
            timeout=0.4,
        )
        self.assertEqual(result["error_category"], "timeout")
        self.assertFalse(is_alive(int(result["output"])))

    def test_time_limit_cannot_be_put_off(self) -> None:
        forged = ("begin", "ready", "taken", "code_done", "finishing", "end", "timeout", "wait", "")
        for tests in (None, "assert True", "# " + "😀" * 50_000):  # the last fills what a socket holds
            with self.subTest(str(tests)[:20]):
                result = self.attack(
                    f"""
                    import json, struct, time
                    while True:
                        for event in {forged}:
                            body = json.dumps({{"event": event, "timeout": 1e9}}).encode()
                            os.write(3, struct.pack("!I", len(body)) + body)
                            time.sleep(0.01)
                    """,
                    timeout=0.3,
                    tests=tests,
                )
                self.assertEqual(result["error_category"], "timeout")
                self.assertLess(result["execution_time"], 5)  # each way to put it off gained 10 s

    def test_nothing_on_any_descriptor_ends_the_supervisor(self) -> None:
        for code in (
            """os.write(4, b'  File "main.py", line ' + b"9" * 5000 + b" in x\\n"); os.abort()""",
            """os.write(3, bytes(64)); os.abort()""",
            """os.write(3, b"\\0\\0\\x27\\x10" + b"[" * 10_000)""",
            """for fd in range(3, 8): os.write(fd, b"\\xff" * 60_000)""",
            """for fd in range(8):\n    try: os.close(fd)\n    except OSError: pass\n""",
            """os.close(3); raise KeyError(1)""",
        ):
            with self.subTest(code):
                result = self.attack(code)
                self.assertNotIn("sandbox_error", str(result["error_category"]), result["error"])
                self.assertNotRegex(
                    f"{result['output']}{result['error']}", r"harness|zygote|Traceback|\b70\b"
                )

    def test_code_that_breaks_its_channel_at_once_is_run_once(self) -> None:
        result = self.attack(
            "print('ran', flush=True); os.write(3, b'\\xff' * 9); import time; time.sleep(60)"
        )
        self.assertEqual(result["output"], "ran\n")
        self.assertIn("the sandbox's own channel", result["error"])

    def test_debugging_other_processes(self) -> None:
        self.assert_refused(
            f"""
            for pid in (os.getppid(), {self.supervisor}, os.getpid()):
                attempt("attach", syscall, {number_of("ptrace")}, 16, pid, 0, 0)
                attempt("seize", syscall, {number_of("ptrace")}, 0x4206, pid, 0, 0)
                attempt("read", syscall, {number_of("process_vm_readv")}, pid, 0, 0, 0, 0, 0)
                attempt("write", syscall, {number_of("process_vm_writev")}, pid, 0, 0, 0, 0, 0)
            attempt("traceme", syscall, {number_of("ptrace")}, 0, 0, 0, 0)
            """,
            "EPERM",
        )

    def test_every_denied_system_call(self) -> None:
        numbers = {name: number_of(name) for name in seccomp.DENIED if number_of(name) >= 0}
        self.assertGreater(len(numbers), 70)
        self.assert_refused(
            f"for name, number in {numbers}.items(): attempt(name, syscall, number, -1, -1, -1, -1, -1, -1)",
            "EPERM",
        )

    def test_namespaces_mounts_and_roots(self) -> None:
        self.assert_refused(
            f"""
            import ctypes
            for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x04000000, 0x08000000, 0x02000000):
                attempt(hex(flag), syscall, {number_of("unshare")}, flag)
            attempt("mount", lambda: libc.mount(b"none", b".", b"tmpfs", 0, None) and 1 / 0)
            attempt("chroot", os.chroot, ".")
            attempt("setuid", os.setuid, 0)
            attempt("setgroups", os.setgroups, [0])
            attempt("device", os.mknod, "device", 0o60600, os.makedev(8, 0))
            """,
            "EPERM",
            "EACCES",
            "ZeroDivisionError",
        )

    def test_more_filters_and_weaker_process_settings(self) -> None:
        prctl = number_of("prctl")
        self.assert_refused(
            f"""
            attempt("seccomp", syscall, {prctl}, 22, 2, 0, 0, 0)
            attempt("death signal", syscall, {prctl}, 1, 0, 0, 0, 0)
            attempt("dumpable", syscall, {prctl}, 4, 1, 0, 0, 0)
            attempt("ptracer", syscall, {prctl}, 0x59616d61, -1, 0, 0, 0)
            attempt("capabilities", syscall, {prctl}, 47, 2, 0, 0, 0)
            attempt("tty", syscall, {number_of("ioctl")}, 0, 0x5412, 0)
            attempt("openat2", syscall, {number_of("openat2")}, -100, 0, 0, 0)
            """,
            "ENOSYS",
        )

    @unittest.skipUnless(platform.machine() == "x86_64", "x32 and i386 are modes of x86-64")
    def test_system_calls_of_other_architectures(self) -> None:
        x32 = self.attack("syscall(0x40000000 | 41, 2, 1, 0)")
        self.assertEqual(x32["signal"], "SIGSYS", x32)
        i386 = self.attack(
            """
            import mmap
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            # push rbx; mov eax, getpid; int 0x80; pop rbx; ret
            page.write(b"\\x53\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\x5b\\xc3")
            print("GOT", ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
            """
        )
        self.assertEqual((i386["signal"], i386["output"]), ("SIGSYS", ""), i386)
        self.assertIn("another architecture", i386["error"])

    def test_links_that_change_while_the_folder_is_measured(self) -> None:
        result = self.attack(
            """
            import time
            os.mkdir("real"); os.symlink("/", "link"); end = time.monotonic() + 0.7
            while time.monotonic() < end:
                os.rename("real", "swap"); os.rename("link", "real"); os.rename("real", "link")
                os.rename("swap", "real")
            """
        )
        self.assertTrue(result["success"], result["error"])
        self.assertEqual(result["artifacts"], [])
        self.assertEqual(result["artifacts_skipped"], [{"name": "link", "reason": "not a regular file"}])


@unittest.skipUnless(can_be_nobody(), "needs root, and a Python that every user can read")
class AttackOnNobodyTest(AttackTest):
    """The same attacks on a supervisor without privileges."""

    as_nobody = True


if __name__ == "__main__":
    unittest.main()
