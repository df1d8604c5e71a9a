"""What a child does, from the fork to its last breath; the other side of `attempt.py`.

    confine ─► tell "ready" ─► wait for the job, tell "taken" ─► policy ─► compile
            ─► tell "begin", run the code
            ─► with tests: put back what the code replaced (pristine.py), tell "code_done", receive tests
               and nonce, run them
            ─► wait for threads, save figures, flush files ─► tell "end" ─► exit

The tests and the nonce that attests them are not in this process while the code runs: the supervisor hands
them over once the code has ended by itself, with exit code 0. `_exit(0)` never gets that far.

The confinement stands before the job is read: no byte of it is parsed in a process that could do harm.
"""

import atexit
import builtins
import contextlib
import errno
import faulthandler
import gc
import importlib.machinery
import io
import itertools
import logging
import math
import multiprocessing
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
from sandbox.pristine import Pristine
from sandbox.source import CODE_FILE, remember

globals()["__builtins__"] = dict(vars(builtins))  # see pristine.py

_exit, _collect, _clock = os._exit, gc.collect, time.perf_counter
_run_exit_functions, _wait_for_threads = atexit._run_exitfuncs, threading._shutdown  # type: ignore[attr-defined]
_THREAD_STACK_BYTES = 1024 * 1024  # address space is limited: eight times as many threads as by default
_NO_POLICY = "none"


@dataclass(frozen=True)
class Settings:
    """`policy_check` False: a job may say the policy "none"; tests of the confinement do.

    `pristine`: the library before any code ran.
    """

    import_path: list[str]
    policy_check: bool
    pristine: Pristine


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
        _exit(0)
    supervisor.sendall(channel.pack({"event": "taken"}))

    confinement.limit_threads(job["others"])
    confinement.limit_file_size(job["largest_input"])
    confinement.limit_cpu(math.ceil(job["timeout"]) * (os.cpu_count() or 1) + 10)
    _look_like_a_fresh_interpreter(settings, folder)
    _open_streams()
    faulthandler.enable(trace_fd, all_threads=False)
    faulthandler.register(signal.SIGUSR1, trace_fd, all_threads=False)

    code = _compile(job, settings, folder)
    if isinstance(code, types.CodeType):
        report, exit_code = _Program(supervisor, job, code, folder, settings.pristine).run()
    else:
        report, exit_code = code, 1
    supervisor.sendall(channel.pack({"event": "end", **report}))
    _exit(exit_code)


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
        "standard_permits": policy.standard_permits(source, job["policy"]),
    }


class _Program:
    """The code of one job, and its tests."""

    def __init__(
        self, supervisor: socket.socket, job: Message, code: types.CodeType, folder: str, pristine: Pristine
    ) -> None:
        self._pristine = pristine
        self._supervisor = supervisor
        self._has_tests: bool = job["has_tests"]
        self._code = code
        self._folder = folder
        self._module = _main_module(job["code"])

    def run(self) -> tuple[Message, int]:
        """The report for the supervisor and the exit code."""
        self._tell(event="begin")
        start = _clock()
        report, exit_code = self._run_code()
        execution_time = _clock() - start

        if exit_code == 0 and self._has_tests:
            report = self._run_tests()
        start = _clock()
        # As at the end of any Python program: waits for threads that are no daemons.
        _wait_for_threads()
        execution_time += _clock() - start

        confinement.use_memory_reserve()  # the code is over: what follows is to succeed
        figures.save_open()
        _run_exit_functions()
        _flush_files()
        self._let_go()
        self._pristine.restore_reporting()
        return {**report, "execution_time": execution_time}, exit_code

    def _run_code(self) -> tuple[Message, int]:
        try:
            exec(self._code, self._module.__dict__)
        except SystemExit as error:
            self._pristine.restore_reporting()
            exit_code = _exit_code(error)
            if exit_code:
                return failure.describe(error, "exception", self._folder), exit_code
        except BaseException as error:
            self._pristine.restore_reporting()
            described = failure.describe(error, "exception", self._folder)
            _call_excepthook(error)
            return described, 1
        return {"error_category": None}, 0

    def _run_tests(self) -> Message:
        self._pristine.restore()
        self._tell(event="code_done")
        answer = channel.receive(self._supervisor)
        if answer is None:
            _exit(1)
        report = verdict.run_tests(answer["tests"], self._module, self._pristine, self._folder)
        return report if report["error_category"] else {**report, "nonce": answer["nonce"]}

    def _let_go(self) -> None:
        """Ends the life of what the code left; each `__del__` finds its globals, as when Python ends."""
        sys.modules.pop("__main__", None)
        del self._module, self._code
        _collect()

    def _tell(self, **message: object) -> None:
        self._supervisor.sendall(channel.pack(message))


def _main_module(source: str) -> types.ModuleType:
    """What `python3 main.py` makes of a file; also the file itself, for who opens `__file__`."""
    with open(CODE_FILE, "w", encoding="utf-8", newline="") as file:
        file.write(source)
    module = types.ModuleType("__main__")
    module.__dict__.update(
        __loader__=importlib.machinery.SourceFileLoader("__main__", CODE_FILE),
        __builtins__=builtins,
        __file__=CODE_FILE,
        __cached__=None,
    )
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    return module


def _look_like_a_fresh_interpreter(settings: Settings, folder: str) -> None:
    sys.argv = [CODE_FILE]
    sys.orig_argv = [sys.executable, CODE_FILE]
    sys.set_int_max_str_digits(0)  # the time limit bounds what long numbers cost
    sys.path[:] = [folder, *settings.import_path]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sandbox", "policy")]:
        del sys.modules[name]  # the code may have modules of these names
    threading.stack_size(_THREAD_STACK_BYTES)
    threading._counter = itertools.count(1).__next__  # type: ignore[attr-defined]  # the zygote had threads
    tempfile.tempdir = None
    settings.pristine.amend()
    _begin_anew()


def _begin_anew() -> None:
    """Draws again what was drawn before the fork and would be the same for all; `random` does it itself."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    multiprocessing.current_process().authkey = os.urandom(32)
    is_whole: bool = sys.version_info >= (3, 13)  # nanoseconds
    logging._startTime = time.time_ns() if is_whole else time.time()  # type: ignore[attr-defined]


def _open_streams() -> None:
    """Opens stdout and stderr without a buffer: in order, and no end of the process loses a word."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw: Any = io.FileIO(number, "w", closefd=False)
        raw.name = f"<{name}>"
        stream: Any = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
        stream.mode = "w"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 – lasts as long as the process


def _call_excepthook(error: BaseException) -> None:
    """Python's own would print what the result tells; one that the code has set does its work."""
    if sys.excepthook is not sys.__excepthook__:
        traceback = error.__traceback__
        with contextlib.suppress(BaseException):
            sys.excepthook(type(error), error, traceback and traceback.tb_next)


def _exit_code(error: SystemExit) -> int:
    """What Python makes of it: an integer is the code, anything else is printed and means 1.

    An integer of more than a byte is not 0 because its lowest byte is: whoever leaves with 256 does not mean
    success. It becomes 255, as what is too large does in Python itself.
    """
    try:
        code = error.code
        if code is None:
            return 0
        if isinstance(code, int):
            number = int.__index__(code)
            return number and (number & 0xFF or 255) if -(2**63) <= number < 2**63 else 255
        print(code, file=sys.stderr)
    except BaseException:  # a property or a __str__ of the code's own
        return 1
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
