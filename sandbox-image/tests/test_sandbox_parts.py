"""Parts of the sandbox program by themselves: bounds that whole runs reach too slowly."""

import errno
import os
import unittest
from unittest.mock import patch

from mailbox_server import Mailbox
from sandbox import jobs, mailbox
from sandbox.channel import BrokenMessage, MessageReader, pack
from sandbox.explain import explain
from sandbox.hidden import HostPaths
from sandbox.output import LONGEST_CHUNK, LONGEST_OUTPUT, LONGEST_STREAM, Output
from sandbox.settings import BadSetting, Settings
from sandbox.values import short_locals, short_repr
from sandbox.watcher import pause_after


class PauseTest(unittest.TestCase):
    def test_grows_with_the_time_waited_up_to_a_second(self) -> None:
        idle = [pause_after(quiet, busy=False, claimed=False) for quiet in (0, 1, 5, 10, 3600)]
        self.assertEqual(idle, [0.005, 0.1, 0.5, 1.0, 1.0])

    def test_stays_short_once_somebody_waits(self) -> None:
        claimed = [pause_after(quiet, busy=False, claimed=True) for quiet in (0, 0.5, 1, 60)]
        self.assertEqual(claimed, [0.005, 0.05, 0.1, 0.1])

    def test_while_a_job_runs_there_is_only_an_end_to_look_for(self) -> None:
        self.assertEqual(pause_after(0, busy=True, claimed=True), 0.5)


class OutputTest(unittest.TestCase):
    def output_of(self, *pieces: bytes) -> Output:
        output = Output()
        for piece in pieces:
            output.add(piece)
        return output

    def test_bounds(self) -> None:
        for size in (
            0,
            1,
            LONGEST_OUTPUT // 2,
            LONGEST_OUTPUT - 100,
            LONGEST_OUTPUT - 99,
            LONGEST_OUTPUT,
            5 * LONGEST_OUTPUT,
        ):
            with self.subTest(size):
                data = bytes(97 + n % 26 for n in range(26)) * (size // 26 + 1)
                text, truncated = self.output_of(
                    *(data[:size][n : n + 70_000] for n in range(0, size, 70_000))
                ).text()
                self.assertEqual(truncated, size > LONGEST_OUTPUT - 100)
                self.assertLessEqual(len(text.encode()), LONGEST_OUTPUT)
                if truncated:
                    head, _, rest = text.partition("\n… ")
                    number, _, tail = rest.partition(" bytes left out …\n")
                    self.assertEqual(len(head) + int(number) + len(tail), size)
                    self.assertTrue(data.startswith(head.encode()) and data[:size].endswith(tail.encode()))
                else:
                    self.assertEqual(text.encode(), data[:size])

    def test_bytes_that_grow_as_text_stay_in_bounds(self) -> None:
        text, truncated = self.output_of(b"\xff" * (LONGEST_OUTPUT - 200)).text()
        self.assertTrue(truncated)
        self.assertLessEqual(len(text.encode()), LONGEST_OUTPUT)

    def test_characters_cut_in_two_by_a_read(self) -> None:
        output = self.output_of(b"\xe2\x82", b"\xac!")
        self.assertEqual((output.next_chunk(), output.text()), ("€!", ("€!", False)))

    def test_stream_is_bounded(self) -> None:
        output = self.output_of(b"x" * 10 * LONGEST_STREAM)
        chunks = []
        while chunk := output.next_chunk():
            chunks.append(chunk)
        self.assertEqual(sum(map(len, chunks)), LONGEST_STREAM)
        self.assertEqual(max(map(len, chunks)), LONGEST_CHUNK)


class ValuesTest(unittest.TestCase):
    def test_short_values_look_as_in_python(self) -> None:
        for value in (
            1,
            -2.5,
            None,
            "a'b",
            b"x",
            [1, [2, (3,)]],
            {"a": {1}},
            set(),
            (),
            {},
            [],
            frozenset({1}),
            range(3),
        ):
            self.assertEqual(short_repr(value), repr(value))

    def test_huge_values_are_never_written_out(self) -> None:
        class Angry:
            def __repr__(self) -> str:
                raise SystemError

        endless: list = []
        endless.append(endless)
        for value in (
            "x" * 10**7,
            b"x" * 10**7,
            [0] * 10**6,
            dict.fromkeys(range(10**5)),
            10**5000,
            Angry(),
            endless,
        ):
            self.assertLessEqual(len(short_repr(value)), 200)
        self.assertEqual(short_repr([0] * 12), "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, … 2 more]")

    def test_locals_leave_out_what_explains_nothing(self) -> None:
        shown = short_locals({"x": 1, "__name__": "m", "os": os, "f": len, "C": int, "@compare": 1, "_y": 2})
        self.assertEqual(shown, {"x": "1", "_y": "2"})
        self.assertEqual(len(short_locals({f"x{n}": n for n in range(100)})), 20)


class HostPathsTest(unittest.TestCase):
    SAID = (
        'File "/home/ann/.venv/lib/python3.11/site-packages/pandas/core/frame.py", line 1; '
        "in /srv/data/sandbox-x/7/out.csv of /srv/data/sandbox-x/7, "
        "/home/ann/project/sandbox-image/sandbox/a.py; "
        "/usr/share/x, /root/item stay"
    )
    SHOWN = (
        'File "pandas/core/frame.py", line 1; in ./out.csv of ., sandbox/a.py; /usr/share/x, /root/item stay'
    )

    def paths(self) -> HostPaths:
        installed = "/home/ann/.venv/lib/python3.11/site-packages"
        return HostPaths("/srv/data/sandbox-x/7", "/home/ann/project/sandbox-image", [installed])

    def test_texts(self) -> None:
        self.assertEqual(self.paths().hide(self.SAID), self.SHOWN)
        self.assertEqual(self.paths().hide("'/srv/data/sandb…"), "'…")
        self.assertEqual(self.paths().hide("\ud800 /srv"), "\ud800 /srv")

    def test_bytes_in_any_pieces(self) -> None:
        data = self.SAID.encode()
        for size in (1, 2, 3, 7, 50, len(data)):
            paths = self.paths()
            pieces = [paths.feed(data[at : at + size]) for at in range(0, len(data), size)]
            self.assertEqual((b"".join(pieces) + paths.flush()).decode(), self.SHOWN)


class ExplainTest(unittest.TestCase):
    def test_full_disk(self) -> None:
        self.assertIn(
            "256 MB and 10,000 files", str(explain(OSError(errno.ENOSPC, "No space left on device")))
        )

    def test_error_that_cannot_say_what_it_is(self) -> None:
        class Odd(Exception):
            def __str__(self) -> str:
                raise SystemExit(0)

        error = Odd()
        error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
        self.assertIn("256 MB", str(explain(error)))


class SettingsTest(unittest.TestCase):
    def memory_of(self, value: str) -> int:
        with patch.dict(os.environ, {"SANDBOX_MEMORY_MB": value}):
            return Settings.take_from_environment().memory_bytes // 2**20

    def test_memory(self) -> None:
        self.assertEqual([self.memory_of(value) for value in ("", "128", "16384")], [1024, 128, 16384])
        for value in ("0", "127", "16385", "-1", "1.5", "many", "9" * 5000, "\u0663\u0660\u0660", "1_000"):
            with self.assertRaisesRegex(BadSetting, "SANDBOX_MEMORY_MB .* from 128 to 16384"):
                self.memory_of(value)


class ChannelTest(unittest.TestCase):
    def test_messages_arrive_whole_in_any_pieces(self) -> None:
        sent = [{"text": "ä€😀\ud800"}, {"n": 1}]
        data = b"".join(map(pack, sent))
        reader = MessageReader()
        self.assertEqual([one for n in range(len(data)) for one in reader.feed(data[n : n + 1])], sent)

    def test_nonsense_is_refused(self) -> None:
        for data in (b"\xff" * 8, b"\0\0\0\2[]", b"\0\0\0\1{", b"\0\1\0\0" + b"[" * 65536):
            self.assertRaises(BrokenMessage, list, MessageReader().feed(data))


class JobsTest(unittest.TestCase):
    POLICIES = frozenset({"strict"})

    def test_names_that_lead_elsewhere_are_refused(self) -> None:
        for job_id in ("", "../x", "a/b", "a\n", 3, None, "x" * 200):
            with self.assertRaises(jobs.BadJob) as caught:
                jobs.parse({"job_id": job_id, "exit": True}, self.POLICIES)
            self.assertIsNone(caught.exception.job_id)
        for document in (None, [], "job"):
            self.assertRaises(jobs.BadJob, jobs.parse, document, self.POLICIES)

    def test_time_limits(self) -> None:
        for timeout in (0, -1, float("nan"), float("inf"), "5", None, 10**6):
            document = {"job_id": "a", "code": "", "timeout": timeout, "policy": "strict"}
            self.assertRaises(jobs.BadJob, jobs.parse, document, self.POLICIES)


class MailboxTest(unittest.TestCase):
    def setUp(self) -> None:
        self.mailbox = Mailbox()
        self.addCleanup(self.mailbox.close)
        self.manifest = mailbox.fetch_manifest(self.mailbox.manifest_url)

    def test_job_is_handed_out_when_it_changes(self) -> None:
        found = mailbox.Jobs(self.manifest)
        self.assertIsNone(found.look())
        self.mailbox.put_job({"job_id": "1"})
        self.assertEqual((found.look(), found.look()), ({"job_id": "1"}, None))
        self.mailbox.put_job({"job_id": "2"})
        self.assertEqual(found.look(), {"job_id": "2"})

    def test_uploads_larger_than_allowed_or_refused_fail_at_once(self) -> None:
        uploads = mailbox.Uploads(self.manifest)
        with self.assertRaisesRegex(mailbox.MailboxError, "more than the mailbox takes"):
            uploads.put("big", bytes(self.manifest.largest_upload + 1), "x/y")
        self.manifest.upload_fields["policy"] = "expired"
        with self.assertRaisesRegex(mailbox.MailboxError, "answered 403"):
            uploads.put("small", b"", "x/y")

    def test_connection_that_was_closed_meanwhile_is_opened_again(self) -> None:
        uploads = mailbox.Uploads(self.manifest)
        uploads.put("one", b"1", "text/plain")
        self.mailbox.drop_connections()
        uploads.put("two", b"2", "text/plain", tries_for=0)
        self.assertEqual(self.mailbox.uploads, [("one", b"1", "text/plain"), ("two", b"2", "text/plain")])


if __name__ == "__main__":
    unittest.main()
