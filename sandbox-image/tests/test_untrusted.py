"""Whatever a child writes on its descriptors, the supervisor reads it, and its result keeps to the contract.

Each property is tried with inputs of a seeded generator, which needs nothing, and with those of hypothesis
where it is installed (CI does).
"""

import json
import math
import os
import random
import re
import socket
import struct
import unittest
from typing import Any

import schema
from sandbox import result
from sandbox.artifacts import Harvest
from sandbox.attempt import Attempt, Ending
from sandbox.channel import BrokenMessage, MessageReader
from sandbox.contract import DOCUMENTS
from sandbox.disk import Disk
from sandbox.jobs import Job
from sandbox.zygote_process import Abilities, ZygoteLost, ZygoteProcess

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError:
    hypothesis = None

JOB = Job("job", "x = 1\ny = 2\n", "assert x", 60.0, "none")
MEMORY = 2**28
EVENTS = ("ready", "taken", "begin", "code_done", "finishing", "end", "ended", "up", "", "x")
CATEGORIES = (
    "syntax_error",
    "policy_violation",
    "exception",
    "test_failure",
    "memory",
    "timeout",
    "sandbox_error",
)
FIELDS = (
    "event",
    "isolation",
    "refused",
    "error_category",
    "error",
    "error_line",
    "traceback",
    "locals",
    "violations",
)
FIELDS += ("execution_time", "nonce", "line", "rule", "message", "job_id", "success", "status", "")
# As they are written: not all of it is JSON, and much is at the edge of what Python reads or holds.
RAW_VALUES = [
    "9" * 5000,
    "-" + "9" * 5000,
    "1e999",
    "NaN",
    "-Infinity",
    "1" * 400 + ".5",
    "0.0",
    "-0",
    "true",
    "null",
]
RAW_VALUES += [
    '"\\ud800"',
    '"\\u0000"',
    '"' + "x" * 20_000 + '"',
    '"' + "😀" * 3000 + '"',
    "[" * 9000 + "]" * 9000,
]
RAW_VALUES += [
    '{"a":' * 4000 + "1" + "}" * 4000,
    "[]",
    "{}",
    '""',
    "1",
    "2",
    "3",
    "99999999999999999999",
    "{",
    "\x00",
]
TRACES = [
    b'  File "main.py", line ',
    b"9" * 5000,
    b"1",
    b"0",
    b" in ",
    b"\xff\xfe",
    b"f",
    b"\n",
    b"x" * 70_000,
    b"-1",
]


class NoDisk(Disk):
    """Nothing is written here."""

    def __init__(self) -> None:
        self._mounts = False

    def make(self, folder: str) -> None:
        """Makes nothing."""


def zygote_on(control: socket.socket) -> Any:
    """A hold on a zygote of which only the socket is there."""
    zygote = ZygoteProcess.__new__(ZygoteProcess)
    zygote.control = control
    zygote.import_path = []
    zygote.abilities = Abilities("3", [], 2**24, has_own_uid=True)
    return zygote


def run_with(channel: list[bytes], output: bytes, trace: bytes, status: int) -> tuple[Ending, dict[str, Any]]:
    """The ending and the result of an attempt whose child writes exactly that and then ends with `status`."""
    control, zygote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child: list[int] = []

    def order(message: dict[str, Any], fds: list[int] | None = None) -> None:
        if message["do"] == "fork":
            child.extend(os.dup(fd) for fd in fds or [])

    zygote = zygote_on(control)
    zygote.order = order
    attempt = Attempt(zygote, NoDisk(), "/nonexistent")
    try:
        for fd, pieces in zip(child, ([output], channel, [trace]), strict=True):
            os.set_blocking(fd, False)
            try:
                for piece in pieces:
                    os.write(fd, piece)
            except BlockingIOError:
                pass  # more than fits without a reader: the beginning does
        os.close(child[1])
        zygote_end.send(json.dumps({"event": "ended", "status": status, "peak_bytes": 2**25}).encode())
        ending = attempt.run(JOB, lambda _: None)
    finally:
        attempt.close()
        control.close()
        zygote_end.close()
        os.close(child[0])
        os.close(child[2])
    return ending, result.build(JOB, ending, Harvest(), MEMORY)


class Contract(unittest.TestCase):
    def assert_keeps_to_it(self, document: dict[str, Any]) -> None:
        """What a result must be, whoever wrote its parts."""
        sent = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        self.assertEqual(schema.problems(DOCUMENTS["result"], json.loads(sent)), [])
        self.assertEqual(document["success"], document["error_category"] is None)
        self.assertIn(document["error_line"], (None, 1, 2))
        self.assertTrue(math.isfinite(document["execution_time"]))
        self.assertLess(len(sent), 8 * 2**20)
        self.assertFalse(document["success"] and JOB.tests is not None, "tests passed without the nonce")


def packed(text: str) -> bytes:
    body = text.encode("utf-8", "surrogatepass")
    return struct.pack("!I", len(body)) + body


def status_of(kind: int, number: int) -> int:
    """A status of os.wait: ended by an exit code or by a signal, with or without a core."""
    return (number & 0xFF) << 8 if kind == 0 else (number % 126) + 1 | (0x80 if kind == 2 else 0)


class SeededTest(Contract):
    """The same cases in every run."""

    CASES = 400

    def value(self, source: random.Random, depth: int = 0) -> str:
        kind = source.randrange(8 if depth < 3 else 6)
        if kind == 6:
            return "[" + ",".join(self.value(source, depth + 1) for _ in range(source.randrange(40))) + "]"
        if kind == 7:
            return self.message(source, depth + 1)
        if kind == 5:
            return json.dumps("".join(chr(source.randrange(0x11_0000)) for _ in range(source.randrange(300))))
        return source.choice(RAW_VALUES)

    def message(self, source: random.Random, depth: int = 0) -> str:
        parts = [f'"event": {json.dumps(source.choice(EVENTS))}'] if source.random() < 0.8 else []
        parts += (
            [f'"error_category": {json.dumps(source.choice(CATEGORIES))}'] if source.random() < 0.6 else []
        )
        for _ in range(source.randrange(6)):
            parts.append(f"{json.dumps(source.choice(FIELDS))}: {self.value(source, depth)}")
        return "{" + ", ".join(parts) + "}"

    def channel(self, source: random.Random) -> list[bytes]:
        """Honest beginnings, then anything."""
        begun = (
            [packed(json.dumps({"event": event})) for event in ("taken", "begin")]
            if source.random() < 0.7
            else []
        )
        pieces = []
        for _ in range(source.randrange(8)):
            kind = source.randrange(10)
            if kind == 0:
                pieces.append(source.randbytes(source.randrange(64)))
            elif kind == 1:
                pieces.append(struct.pack("!I", source.choice([0, 1, 2**22, 2**22 + 1, 2**32 - 1])))
            else:
                pieces.append(packed(self.message(source)))
        return begun + pieces

    def trace(self, source: random.Random) -> bytes:
        return b"".join(source.choice(TRACES) for _ in range(source.randrange(12)))

    def test_any_bytes_on_every_descriptor(self) -> None:
        for seed in range(self.CASES):
            source = random.Random(seed)
            with self.subTest(seed):
                _, document = run_with(
                    self.channel(source),
                    source.randbytes(source.randrange(300)) * source.randrange(300),
                    self.trace(source),
                    status_of(source.randrange(3), source.randrange(256)),
                )
                self.assert_keeps_to_it(document)

    def test_any_answer_of_the_zygote_is_read_or_its_end(self) -> None:
        for said in (
            b"\xff",
            b"{",
            b"[" * 10_000,
            b"9" * 5000,
            b"[]",
            b'{"status": "x"}',
            b'{"status": -1}',
            b"null",
        ):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                theirs.send(said)
                with self.subTest(said[:20]), self.assertRaises(ZygoteLost):
                    ZygoteProcess.hear_end(zygote_on(ours))


class KnownCasesTest(Contract):
    def test_what_ended_a_supervisor_once(self) -> None:
        began = [packed('{"event": "taken"}'), packed('{"event": "begin"}')]
        trace = b'  File "main.py", line ' + b"9" * 5000 + b" in x\n"
        ending, document = run_with(began, b"", trace, 6)
        self.assertTrue(ending.begun)
        self.assertEqual((document["signal"], document["error_line"]), ("SIGABRT", None))
        self.assert_keeps_to_it(document)

    def test_messages_before_a_broken_one_count(self) -> None:
        began = packed('{"event": "taken"}') + packed('{"event": "begin"}')
        ending, document = run_with([began + b"\xff" * 9], b"", b"", 9)
        self.assertTrue(ending.taken and ending.begun)
        self.assertIn("the sandbox's own channel", document["error"])
        reader = MessageReader().feed(packed("{}") + packed("[]"))
        self.assertEqual(next(reader), {})
        self.assertRaises(BrokenMessage, next, reader)

    def test_harness_that_was_broken_is_told_in_words(self) -> None:
        began = [packed('{"event": "taken"}'), packed('{"event": "begin"}')]
        _, document = run_with(began, b"", b"", status_of(0, 70))
        self.assertRegex(document["error"], "the program broke what runs it")
        self.assertFalse(re.search("70|Traceback", document["error"]))


if hypothesis:
    json_values = st.recursive(
        st.sampled_from(RAW_VALUES)
        | st.integers().map(str)
        | st.floats().map(lambda number: json.dumps(number))
        | st.text(st.characters(exclude_categories=()), max_size=400).map(json.dumps),
        lambda inner: st.lists(inner, max_size=8).map(lambda items: "[" + ",".join(items) + "]")
        | st.lists(st.tuples(st.sampled_from(FIELDS), inner), max_size=8).map(
            lambda pairs: "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"
        ),
        max_leaves=12,
    )
    messages = st.builds(
        lambda event, category, fields: (
            "{"
            + ",".join(
                f"{json.dumps(n)}:{v}" for n, v in [("event", event), ("error_category", category), *fields]
            )
            + "}"
        ),
        st.sampled_from(EVENTS).map(json.dumps) | json_values,
        st.sampled_from(CATEGORIES).map(json.dumps) | json_values,
        st.lists(st.tuples(st.sampled_from(FIELDS), json_values), max_size=6),
    )
    pieces = st.binary(max_size=64) | messages.map(packed)
    traces = st.lists(st.sampled_from(TRACES) | st.binary(max_size=40), max_size=12).map(b"".join)

    class HypothesisTest(Contract):
        @hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)
        @hypothesis.given(
            begun=st.booleans(),
            channel=st.lists(pieces, max_size=8),
            output=st.binary(max_size=2000),
            trace=traces,
            kind=st.integers(0, 2),
            number=st.integers(0, 255),
        )
        def test_any_bytes_on_every_descriptor(
            self, begun: bool, channel: list[bytes], output: bytes, trace: bytes, kind: int, number: int
        ) -> None:
            first = [packed('{"event": "taken"}'), packed('{"event": "begin"}')] if begun else []
            _, document = run_with(first + channel, output, trace, status_of(kind, number))
            self.assert_keeps_to_it(document)

else:

    @unittest.skip("hypothesis is not installed: pip install hypothesis")
    class HypothesisTest(unittest.TestCase):
        def test_any_bytes_on_every_descriptor(self) -> None:
            """Only where hypothesis is."""


if __name__ == "__main__":
    unittest.main()
