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
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from mailbox_server import SECRET
from sandbox import disk, seccomp
from sandbox_process import NOBODY_NEEDS, SandboxProcess, is_alive, nobody_runs_code

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
WHO_CALLS = """
    sched_getaffinity sched_getparam sched_getscheduler sched_rr_get_interval sched_setscheduler sched_setattr
    sched_getattr setpgid get_robust_list move_pages migrate_pages process_madvise pidfd_open
    rt_tgsigqueueinfo rt_sigqueueinfo tkill kcmp capget
""".split()
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
                    if path == "/proc/self/maps": continue  # its own libraries are no secret
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

    def test_scheduling_and_limits_of_others(self) -> None:
        zygote = self.sandbox.zygote_pid()

        def seen() -> tuple:
            return (
                os.getpriority(os.PRIO_PROCESS, zygote),
                os.sched_getaffinity(zygote),
                os.sched_getscheduler(zygote),
                Path(f"/proc/{zygote}/limits").read_text(),
            )

        before = seen()
        self.assert_refused(
            f"""
            import resource
            zygote, group, limits = {zygote}, {os.getpgid(zygote)}, (7, 7)
            for which, who in ((os.PRIO_USER, 0), (os.PRIO_USER, os.getuid()), (os.PRIO_PGRP, 0),
                               (os.PRIO_PGRP, group), (os.PRIO_PROCESS, zygote), (os.PRIO_PROCESS, 1)):
                attempt("priority", os.setpriority, which, who, 19)
                attempt("look", os.getpriority, which, who)
            for pid in (zygote, os.getppid(), 1, 2 ** 32 + zygote):
                attempt("limits", syscall, {number_of("prlimit64")}, pid, resource.RLIMIT_NOFILE, 0, 0)
                attempt("affinity", syscall, {number_of("sched_setaffinity")}, pid, 0, 0)
                for number in {[number_of(name) for name in WHO_CALLS]}:
                    attempt(f"call {{number}}", syscall, number, pid, 0, 0, 0)
            attempt("limits", resource.prlimit, zygote, resource.RLIMIT_NOFILE, limits)
            attempt("affinity", os.sched_setaffinity, zygote, [0])
            attempt("i/o", syscall, {number_of("ioprio_set")}, 3, os.getuid(), 3 << 13)
            attempt("i/o of all", syscall, {number_of("ioprio_get")}, 3, os.getuid())
            """,
            "EPERM",
            "ENOSYS",
        )
        self.assertEqual(seen(), before)

    def test_descriptors_and_memory_of_the_kernel(self) -> None:
        flags = 0x3D0F00  # what a thread is started with
        self.assert_refused(
            f"""
            import array, fcntl, socket
            left, right = socket.socketpair()
            read_end, write_end = os.pipe()
            attempt("descriptors", socket.send_fds, left, [b"x"], [0])
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))
            attempt("message", left.sendmsg, [b"x"], [rights])
            attempt("credentials", left.sendmsg, [b"x"], [(socket.SOL_SOCKET, 2, bytes(12))])
            attempt("receive", right.recvmsg, 1, 100)
            attempt("urgent", left.send, b"x", socket.MSG_OOB)
            attempt("urgent with more", left.send, b"x", socket.MSG_OOB | socket.MSG_DONTWAIT)
            attempt("urgent back", right.recv, 1, socket.MSG_OOB | socket.MSG_DONTWAIT)
            for option in (7, 8, 32, 33, 16, 42):  # the sizes of buffers, by force too; credentials
                attempt(f"set {{option}}", left.setsockopt, socket.SOL_SOCKET, option, 2 ** 24)
            for option in (17, 59, 77, 31):  # credentials, groups, a descriptor of the process, its label
                attempt(f"get {{option}}", left.getsockopt, socket.SOL_SOCKET, option, 64)
            attempt("pipe", fcntl.fcntl, write_end, fcntl.F_SETPIPE_SZ, 2 ** 20)
            # A table of descriptors of its own would have room for as many again.
            attempt("thread", syscall, {number_of("clone")}, {flags & ~0x400}, 0, 0, 0, 0)
            attempt("thread", syscall, {number_of("clone")}, {flags | 0x1000}, 0, 0, 0, 0)
            attempt("range", syscall, {number_of("close_range")}, 100, 101, 2)
            attempt("table", syscall, {number_of("unshare")}, 0x400)
            """,
            "EPERM",
            "ENOSYS",
        )
        result = self.attack(
            """
            import socket
            kept, held = [], 0
            try:
                while True:
                    for one in socket.socketpair():
                        one.setblocking(False); kept.append(one)
                        try:
                            while True: held += one.send(bytes(2048))
                        except BlockingIOError: pass
            except OSError as error: print(errno.errorcode[error.errno], held)
            """
        )
        reason, held = result["output"].split()
        self.assertEqual(reason, "EMFILE")
        self.assertLess(int(held), 32 * 2**20)

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

    def test_one_file_too_large(self) -> None:
        one_file = self.attack("f = open('big', 'wb')\nwhile True: f.write(bytes(2 ** 20))")
        self.assertIn("the sandbox limits the size of a file", one_file["error"])

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


class DiskAttackTest(unittest.TestCase):
    """More than an attempt may write, in ways that a look at the folder's names does not see."""

    as_nobody = False
    without: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(as_nobody=cls.as_nobody, without=cls.without)
        cls.has_mounts = cls.sandbox.ready()["isolation"]["disk"].startswith("on")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def assert_stopped(self, code: str) -> None:
        """The attempt ends for what it wrote, and the next one finds a fresh folder."""
        wait = "\nimport time; time.sleep(60)"  # what stands there is to be seen, not what comes next
        result = self.sandbox.run(textwrap.dedent(code) + wait, timeout=60)
        self.assertEqual(result["error_category"], "exception", result["error"])
        self.assertRegex(result["error"], "wrote more than 256 MB or 10,000 files", result)
        after = self.sandbox.run("import os; print(sorted(os.listdir()), os.listdir('.tmp'))")
        self.assertEqual(after["output"], "['.tmp', 'main.py'] []\n")

    def test_it_is_told_how_the_disk_is_bounded(self) -> None:
        if "mounts" in self.without:
            self.assertFalse(self.has_mounts)

    def test_burst_of_reserved_files(self) -> None:
        self.assert_stopped(
            """
            import os
            for number in range(40):
                with open(f"{number}", "wb") as file:
                    try: os.posix_fallocate(file.fileno(), 0, 60 * 2 ** 20)
                    except OSError as error: print(error); break
            """
        )

    def test_flood_of_folders(self) -> None:
        self.assert_stopped(
            """
            import os
            try:
                for number in range(1_000_000): os.mkdir(f"{number}")
            except OSError as error: print(error)
            """
        )

    def test_files_in_many_folders(self) -> None:
        self.assert_stopped(
            """
            import os
            try:
                for number in range(400):
                    os.mkdir(f"{number}")
                    with open(f"{number}/file", "wb") as file: file.write(bytes(2 ** 20))
            except OSError as error: print(error)
            """
        )

    def test_folders_that_cannot_be_read(self) -> None:
        self.assert_stopped(
            """
            import os
            try:
                for number in range(300):
                    os.mkdir(f"{number}", 0o300)
                    with open(f"{number}/file", "wb") as file: file.write(bytes(2 ** 20))
                    os.chmod(f"{number}", 0)
            except OSError as error: print(error)
            """
        )

    def test_files_that_have_no_name_any_more(self) -> None:
        if not self.has_mounts:
            self.skipTest("on a shared file system four times as much may pass, which takes long to write")
        self.assert_stopped(
            """
            import mmap, os
            kept = []
            try:
                for number in range(6):
                    with open("file", "w+b") as file:
                        file.write(bytes(60 * 2 ** 20)); file.flush()
                        kept.append(mmap.mmap(file.fileno(), 4096))
                    os.unlink("file")
            except OSError as error: print(error)
            """
        )

    def test_nothing_stays_on_the_disk(self) -> None:
        self.sandbox.run("open('large', 'wb').write(bytes(50 * 2 ** 20)); import os; os._exit(0)")
        self.sandbox.run("print(1)")
        base = next(name for name in os.listdir(self.work()) if name.startswith("sandbox-"))
        for folder, folders, files in os.walk(f"{self.work()}/{base}"):
            # What the libraries keep for all attempts, and none of these may write.
            folders[:] = [name for name in folders if name not in (".cache", ".config")]
            self.assertEqual(files, [], folder)

    def work(self) -> str:
        """Where the sandbox has its folder, seen by root from outside."""
        return f"{self.sandbox.work_dir}/work" if self.as_nobody else self.sandbox.work_dir


class DiskAttackWithoutMountsTest(DiskAttackTest):
    without = ("mounts",)


@unittest.skipUnless(nobody_runs_code(), NOBODY_NEEDS)
class DiskAttackOnNobodyTest(DiskAttackTest):
    as_nobody = True


@unittest.skipUnless(nobody_runs_code(), NOBODY_NEEDS)
class DiskAttackOnNobodyWithoutMountsTest(DiskAttackTest):
    as_nobody = True
    without = ("mounts",)


class UsageTest(unittest.TestCase):
    """On a file system that is shared, what others write is not held against an attempt; far more is."""

    def test_growth_of_a_shared_file_system(self) -> None:
        block = 4096
        with tempfile.TemporaryDirectory() as folder:
            for megabytes, stopped in ((0, False), (500, False), (1000, False), (1030, True)):
                before, after = (
                    SimpleNamespace(f_blocks=2**30, f_bfree=free, f_frsize=block, f_files=0, f_ffree=0)
                    for free in (2**29, 2**29 - megabytes * 2**20 // block)
                )
                with patch.object(disk.os, "statvfs", side_effect=[before, after]):
                    self.assertEqual(disk.Usage(folder, False).is_too_large(), stopped, megabytes)

    def test_growth_of_a_small_file_system_is_the_attempt_s(self) -> None:
        before, after = (
            SimpleNamespace(f_blocks=2**17, f_bfree=free, f_frsize=4096, f_files=10**6, f_ffree=inodes)
            for free, inodes in ((2**17, 10**6), (2**17, 10**6 - 10_001))
        )
        with patch.object(disk.os, "statvfs", side_effect=[before, after]):
            self.assertTrue(disk.Usage("/tmp", False).is_too_large())

    def test_what_an_attempt_was_given_has_room_of_its_own(self) -> None:
        sizes = [2**20 + 1, 1, 0]
        with tempfile.TemporaryDirectory() as folder, patch.object(disk, "LARGEST_FOLDER", 2**20):
            for number, size in enumerate(sizes):
                with open(f"{folder}/{number}", "wb") as file:
                    file.write(bytes(size))
            self.assertFalse(disk.Usage(folder, False, sizes).is_too_large())
            self.assertTrue(disk.Usage(folder, False, sizes[1:]).is_too_large())
            with patch.object(disk, "MOST_ENTRIES", 0):
                self.assertFalse(disk.Usage(folder, False, sizes).is_too_large())
                self.assertTrue(disk.Usage(folder, False, [*sizes[:1], 2**20]).is_too_large())


@unittest.skipUnless(nobody_runs_code(), NOBODY_NEEDS)
class AttackOnNobodyTest(AttackTest):
    """The same attacks on a supervisor without privileges."""

    as_nobody = True


if __name__ == "__main__":
    unittest.main()
