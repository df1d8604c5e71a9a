"""What crosses the sandbox's edge is described once, in contract.json.

That each upload of all other tests is as it says is seen to by their mailbox.
"""

import dataclasses
import json
import unittest
from typing import Any

import schema
from mailbox_server import Mailbox
from sandbox import jobs, mailbox
from sandbox.contract import DOCUMENTS, LIMITS
from sandbox.output import Output
from sandbox_process import SandboxProcess

POLICIES = frozenset({"strict", "standard"})
INPUT = {"name": "ä b.csv", "size": 1, "etag": "0" * 32, "url": "https://x/y?z"}
JOB = {"job_id": "e_1-1", "code": "print(1)", "tests": None, "timeout": 5, "policy": "strict"}


class SchemaTest(unittest.TestCase):
    """The validator of the tests itself."""

    def test_tells_what_is_wrong_and_where(self) -> None:
        result = DOCUMENTS["result"]
        good = json.loads(json.dumps(_RESULT))
        self.assertEqual(schema.problems(result, good), [])
        for changes in (
            {"unknown": 1},
            {"success": 1},
            {"error_line": True},
            {"error": "x" * (LIMITS["error"] + 1)},
            {"execution_time": -1},
            {"locals": {"": "x"}},
            {"locals": {str(n): "" for n in range(LIMITS["locals"] + 1)}},
            {"error_category": "no_code"},
            {"job_id": "e_1-1\n"},
            {"violations": [{"line": 0, "rule": "", "message": ""}]},
            {"artifacts": [{"name": "../x", "size": 1, "content_type": "a/b"}]},
            {"artifacts": [{"name": "x\x00", "size": 1, "content_type": "a/b"}]},
            {"artifacts": [{"name": "x", "size": 1}]},
        ):
            with self.subTest(changes=changes):
                self.assertNotEqual(schema.problems(result, {**good, **changes}), [])


class JobsTest(unittest.TestCase):
    def test_a_job_has_the_fields_that_are_read(self) -> None:
        self.assertEqual(schema.problems(DOCUMENTS["job"], JOB), [])
        self.assertEqual(jobs.parse(JOB, POLICIES), jobs.Job(**{**JOB, "timeout": 5.0}))
        fields = {field.name for field in dataclasses.fields(jobs.Job)}
        self.assertEqual(fields, set(DOCUMENTS["job"]["properties"]))

    def test_what_the_contract_refuses_is_refused_and_what_it_allows_is_taken(self) -> None:
        for changes in (
            {"code": "x" * (LIMITS["code"] + 1)},
            {"code": None},
            {"tests": "x" * (LIMITS["tests"] + 1)},
            {"timeout": 0},
            {"timeout": LIMITS["timeout"] + 1},
            {"timeout": "5"},
            {"policy": "none"},
            {"job_id": "../x"},
            {"job_id": "x" * 129},
            {"tests": "assert True"},
            {"code": "\N{GRINNING FACE}" * LIMITS["code"]},
            {"inputs": []},
            {"inputs": None},
            {"inputs": {}},
            {"inputs": [INPUT]},
            {"inputs": [{**INPUT, "name": f"{number}"} for number in range(LIMITS["inputs"])]},
            {"inputs": [{**INPUT, "name": f"{number}"} for number in range(LIMITS["inputs"] + 1)]},
            {"inputs": ["in.csv"]},
            *({"inputs": [{**INPUT, **changes}]} for changes in _INPUT_CHANGES),
            *({"inputs": [{name: INPUT[name] for name in INPUT if name != missing}]} for missing in INPUT),
        ):
            job = {**JOB, **changes}
            with self.subTest(changes=str(changes)[:60]):
                if schema.problems(DOCUMENTS["job"], job):
                    self.assertRaises(jobs.BadJob, jobs.parse, job, POLICIES)
                else:
                    self.assertIsInstance(jobs.parse(job, POLICIES), jobs.Job)

    def test_inputs_are_refused_that_no_schema_can_tell(self) -> None:
        for inputs in (
            [INPUT, INPUT],
            [{**INPUT, "name": "表" * 86}],
            [{**INPUT, "name": f"{number}", "size": LIMITS["inputBytes"]} for number in range(3)],
        ):
            with self.subTest(inputs=str(inputs)[:60]):
                self.assertRaises(jobs.BadJob, jobs.parse, {**JOB, "inputs": inputs}, POLICIES)

    def test_words_to_the_sandbox(self) -> None:
        wake, end = {"job_id": "wake", "wake": True}, {"job_id": "exit", "exit": True}
        self.assertEqual(schema.problems(DOCUMENTS["wake"], wake), [])
        self.assertEqual(schema.problems(DOCUMENTS["exit"], end), [])
        self.assertIsInstance(jobs.parse(wake, POLICIES), jobs.WakeJob)
        with_inputs = {**wake, "inputs": [INPUT]}
        self.assertEqual(schema.problems(DOCUMENTS["wake"], with_inputs), [])
        self.assertEqual(jobs.parse(with_inputs, POLICIES), jobs.WakeJob("wake", (jobs.Input(**INPUT),)))
        self.assertIsInstance(jobs.parse(end, POLICIES), jobs.ExitJob)

    def test_a_manifest_has_the_fields_that_are_read(self) -> None:
        server = Mailbox()
        self.addCleanup(server.close)
        document = json.loads(server.answer_get("/manifest", None, None)[2])
        self.assertEqual(schema.problems(DOCUMENTS["manifest"], document), [])
        self.assertEqual(mailbox.fetch_manifest(server.manifest_url).job_url, document["job_url"])
        for name in DOCUMENTS["manifest"]["required"]:
            with self.subTest(without=name), self.assertRaises(mailbox.MailboxError):
                rest = {other: value for other, value in document.items() if other != name}
                mailbox.parse_manifest(json.dumps(rest).encode())


class UploadsTest(unittest.TestCase):
    """Texts are counted in characters on both sides; one may take two units of UTF-16, or four bytes."""

    def run_program(self, code: str) -> dict[str, Any]:
        sandbox = SandboxProcess()
        self.addCleanup(sandbox.close)
        return sandbox.run(code)

    def test_an_unknown_field_is_an_error(self) -> None:
        server = Mailbox()
        uploads = mailbox.Uploads(mailbox.fetch_manifest(server.manifest_url))
        uploads.put_json("started/e_1-1.json", {"job_id": "e_1-1", "news": True})
        with self.assertRaisesRegex(AssertionError, "started/e_1-1.json: .* unknown field 'news'"):
            server.close()

    def test_the_largest_piece_of_output_is_as_the_contract_says(self) -> None:
        output = Output()
        output.add(("😀" * 3 * LIMITS["chunk"]).encode())
        pieces = [output.next_chunk() for _ in range(4)]
        self.assertEqual("".join(pieces), "😀" * 3 * LIMITS["chunk"])
        for number, text in enumerate(filter(None, pieces), 1):
            document = {"job_id": "e_1-1", "chunk": number, "text": text}
            self.assertEqual(schema.problems(DOCUMENTS["output"], document), [])

    def test_the_largest_result_is_as_the_contract_says(self) -> None:
        result = self.run_program(
            f"""
            import os
            def fail():
                {"; ".join(f"{chr(0x20000 + n) * 250} = '😀' * 1000" for n in range(30))}
                raise ValueError("😀\\n" * 10_000)
            for n in range(100):
                open(f"{{n:03}}" + "😀" * 60, "w").close()
                open(f"{{n:03}}" + "\\n" * 200, "w").close()
            print("😀" * 400_000)
            fail()
            """
        )
        self.assertEqual(
            (
                len(result["error"]),
                len(result["locals"]),
                len(result["artifacts"]),
                result["output_truncated"],
            ),
            (LIMITS["error"], LIMITS["locals"], LIMITS["files"], True),
        )
        self.assertEqual(len(result["artifacts_skipped"]), LIMITS["skipped"])


_RESULT = {
    "job_id": "e_1-1",
    "success": True,
    "error_category": None,
    "error": None,
    "error_line": None,
    "traceback": None,
    "locals": {"x": "1"},
    "violations": [{"line": 1, "rule": "name", "message": "no"}],
    "standard_permits": True,
    "output": "",
    "output_truncated": False,
    "execution_time": 0.1,
    "exit_code": 0,
    "signal": None,
    "peak_memory_bytes": 1,
    "artifacts": [{"name": "a/ä b.csv", "size": 1, "content_type": "text/csv"}],
    "artifacts_skipped": [{"name": "x", "reason": "larger than 10 MB"}],
}

_INPUT_CHANGES: list[dict[str, Any]] = [
    *(
        {"name": name}
        for name in (
            "", ".", "..", ".hidden", "../x", "a/b", "a\\b", "/etc/passwd", "main.py", "a\nb", "a\0", "a\x7f",
            "\ud800", "x" * 200, "x" * 201, None, 1,
            "Main.py", "main.pyc", "a.b", "-rf", " ", "${filename}", "表.csv", "\N{GRINNING FACE}" * 60,
        )
    ),
    *({"size": size} for size in (0, -1, 1.5, "1", None, True, 100 * 2**20, 100 * 2**20 + 1)),
    *({"etag": etag} for etag in (None, "", "0" * 31, "A" * 32, 0)),
    *({"url": url} for url in ("http://127.0.0.1:1/x", "ftp://x/y", "file:///x", "//x/y", "", None, "http://")),
]  # fmt: skip

if __name__ == "__main__":
    unittest.main()
