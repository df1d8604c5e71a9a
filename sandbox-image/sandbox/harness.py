"""What a child does, from the fork to its last breath; the other side of `attempt.py`.

    confine ─► tell "ready" ─► wait for the job, tell "taken" ─► policy ─► compile
            ─► tell "begin", run the code
            ─► with tests: tell "code_done", receive tests and nonce, run them
            ─► wait for threads, save figures, flush files ─► tell "end" ─► exit

The tests and the nonce that attests them are not in this process while the code runs: the supervisor hands
them over once the code has ended by itself. `sys.exit(0)` or `os._exit(0)` never get that far.

The confinement stands before the job is read: no byte of it is parsed in a process that could do harm.
"""

import atexit
import builtins
import errno
import faulthandler
import gc
import io
import math
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import policy

from sandbox import channel, confinement, failure, figures, verdict
from sandbox.channel import Message
from sandbox.source import CODE_FILE, remember

_THREAD_STACK_BYTES = 1024 * 1024  # address space is limited: eight times as many threads as by default
_NO_POLICY = "none"


@dataclass(frozen=True)
class Settings:
    """`policy_check` False: a job may say the policy "none"; tests of the confinement do."""

    import_path: list[str]
    policy_check: bool


def run(
    supervisor: socket.socket, trace_fd: int, rules: confinement.Confinement, settings: Settings, folder: str
) -> NoReturn:
    """Lives the life of a child; see above. Never returns."""
    isolation: dict[str, str] = {}
    try:
        confinement.enter(rules, folder, trace_fd + 1, isolation)
        refused = None
    except (confinement.Refused, OSError) as error:
        refused = str(error)
    supervisor.sendall(channel.pack({"event": "ready", "isolation": isolation, "refused": refused}))
    job = channel.receive(supervisor)
    if job is None or refused is not None:
        os._exit(0)
    supervisor.sendall(channel.pack({"event": "taken"}))

    confinement.limit_cpu(math.ceil(job["timeout"]) * (os.cpu_count() or 1) + 10)
    _look_like_a_fresh_interpreter(settings, folder)
    stdout = _open_streams()
    faulthandler.enable(trace_fd, all_threads=False)
    faulthandler.register(signal.SIGUSR1, trace_fd, all_threads=False)

    code = _compile(job, settings, folder)
    if isinstance(code, types.CodeType):
        report, exit_code = _Program(supervisor, job, code, folder).run()
    else:
        report, exit_code = code, 1
    gc.collect()
    _flush(stdout)
    supervisor.sendall(channel.pack({"event": "end", **report}))
    os._exit(exit_code)


def _compile(job: Message, settings: Settings, folder: str) -> types.CodeType | Message:
    """The compiled code, or the report of what the compiler or the policy has against it."""
    source: str = job["code"]
    remember(CODE_FILE, source)
    try:
        checked = settings.policy_check or job["policy"] != _NO_POLICY
        violations = policy.check(source, job["policy"]) if checked else []
        if not violations:
            return compile(source, CODE_FILE, "exec", dont_inherit=True)
    except SyntaxError as error:
        return failure.describe(error, "syntax_error", folder)
    except (ValueError, MemoryError, RecursionError, OverflowError) as error:
        confinement.use_memory_reserve()
        return {
            "error_category": "syntax_error",
            "error": f"SyntaxError: Python cannot compile this code: {str(error) or type(error).__name__}",
        }
    told = "; ".join(f"line {one.line}: {one.message}" for one in violations)
    return {
        "error_category": "policy_violation",
        "error": f"PolicyViolation: {told}",
        "error_line": violations[0].line,
        "violations": [asdict(one) for one in violations],
    }


class _Program:
    """The code of one job, and its tests."""

    def __init__(self, supervisor: socket.socket, job: Message, code: types.CodeType, folder: str) -> None:
        self._supervisor = supervisor
        self._has_tests: bool = job["has_tests"]
        self._code = code
        self._folder = folder

    def run(self) -> tuple[Message, int]:
        """The report for the supervisor and the exit code."""
        module = types.ModuleType("__main__")
        module.__dict__.update(__file__=CODE_FILE, __builtins__=builtins)
        sys.modules["__main__"] = module
        report: Message = {"error_category": None}
        exit_code, reached_its_end = 0, False

        self._tell(event="begin")
        start = time.perf_counter()
        try:
            exec(self._code, module.__dict__)
            reached_its_end = True
        except SystemExit as error:
            exit_code = _exit_code(error)
            if exit_code:
                report = failure.describe(error, "exception", self._folder)
        except BaseException as error:
            exit_code = 1
            report = failure.describe(error, "exception", self._folder)
        execution_time = time.perf_counter() - start

        if reached_its_end and self._has_tests:
            report = self._run_tests(module.__dict__)
        start = time.perf_counter()
        # As at the end of any Python program: waits for threads that are no daemons.
        threading._shutdown()  # type: ignore[attr-defined]
        execution_time += time.perf_counter() - start

        confinement.use_memory_reserve()  # the code is over: what follows is to succeed
        figures.save_open()
        atexit._run_exitfuncs()
        _flush_files()
        module.__dict__.clear()
        return {**report, "execution_time": execution_time}, exit_code

    def _run_tests(self, namespace: dict[str, Any]) -> Message:
        self._tell(event="code_done")
        answer = channel.receive(self._supervisor)
        if answer is None:
            os._exit(1)
        try:
            verdict.run_tests(answer["tests"], namespace)
        except BaseException as error:
            return failure.describe(error, "test_failure", self._folder)
        return {"error_category": None, "nonce": answer["nonce"]}

    def _tell(self, **message: object) -> None:
        self._supervisor.sendall(channel.pack(message))


def _look_like_a_fresh_interpreter(settings: Settings, folder: str) -> None:
    sys.argv = [CODE_FILE]
    sys.path[:] = [folder, *settings.import_path]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sandbox", "policy")]:
        del sys.modules[name]  # the code may have modules of these names
    threading.stack_size(_THREAD_STACK_BYTES)
    tempfile.tempdir = None
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # or each attempt would draw the same numbers


def _open_streams() -> io.TextIOWrapper:
    """Gives stdout and stderr one buffer, flushed at each line: what they say stays in order."""
    output = io.BufferedWriter(io.FileIO(1, "w", closefd=False), 65536)
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(
            output, "utf-8", "backslashreplace", line_buffering=True, write_through=True
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 – lasts as long as the process
    return stream


def _exit_code(error: SystemExit) -> int:
    """What Python itself makes of it: a text is printed and means 1."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _flush_files() -> None:
    """Files that the code left open get their last bytes.

    Not left to their destructors: in a cycle of references these may close the file below a text first.
    """
    left = gc.get_objects()
    for kinds in ((io.TextIOWrapper,), (io.BufferedWriter, io.BufferedRandom)):  # text goes into the latter
        for stream in left:
            if type(stream) in kinds:
                _flush(stream)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except ValueError:
        pass  # the code closed it
    except OSError as error:
        if error.errno != errno.EBADF:  # EBADF: the code closed the descriptor itself
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
