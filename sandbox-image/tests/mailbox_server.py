"""A mailbox for tests: an HTTP server that takes presigned GETs and POSTs as S3 would, in memory."""

import contextlib
import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import schema
from sandbox.contract import DOCUMENTS

WAIT_SECONDS = 20.0
PREFIX = "mailbox/box/"
SECRET = "presigned-and-secret"


class Mailbox:
    """Holds what was uploaded, in order of arrival. `refuse` makes the server answer 503 while it is set;
    `token_expired` as S3 when the session of the role that signed the URLs is over; `holds` has it hold
    an answer back that would say nothing new, as long as it is asked to (S3 does not). `close` raises
    AssertionError if a document was uploaded that is not as the contract says.

    `fetched` names the inputs that were asked for, each time they were.
    """

    def __init__(self, expires_in: float = 3600.0) -> None:
        self.uploads: list[tuple[str, bytes, str]] = []
        self.polls = 0
        self.waiting_polls = 0
        self.refuse = False
        self.holds = False
        self.token_expired = False
        self.delay_uploads = 0.0
        self.fetched: list[str] = []
        self.held = threading.Event()
        self._inputs: dict[str, tuple[bytes, list[int | str]]] = {}
        self._broken: list[str] = []
        self._expires_at = time.time() + expires_in
        self._job: bytes | None = None
        self._changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"mailbox": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def manifest_url(self) -> str:
        return f"{self.url}/manifest?signature={SECRET}"

    def put_job(self, job: dict[str, Any]) -> None:
        with self._changed:
            self._job = json.dumps(job).encode()
            self._changed.notify_all()

    def offer(self, name: str, content: bytes, *faults: int | str) -> dict[str, Any]:
        """An input for a job. Each fault is what one request for it gets instead: a status, "broken" half of
        the content and the end of the connection, "held" half of it until `held` is set.
        """
        path = f"/inputs/{len(self._inputs)}"
        self._inputs[path] = content, list(faults)
        etag = hashlib.md5(content).hexdigest()
        return {"name": name, "size": len(content), "etag": etag, "url": f"{self.url}{path}?s={SECRET}"}

    def names(self) -> list[str]:
        with self._changed:
            return [name for name, _, _ in self.uploads]

    def wait_for(self, name: str, seconds: float = WAIT_SECONDS) -> bytes:
        """The content uploaded as `name`; waits until it is there."""
        self.wait_until(lambda: self.find(name) is not None, f"{name} was not uploaded", seconds)
        return self.find(name) or b""

    def wait_until(self, found: Callable[[], bool], problem: str, seconds: float = WAIT_SECONDS) -> None:
        """Returns when `found` is true; asks it after each upload and poll."""
        give_up_at = time.monotonic() + seconds
        with self._changed:
            while not found():
                if not self._changed.wait(give_up_at - time.monotonic()):
                    raise AssertionError(f"{problem} within {seconds:g} s; there is {self.names()}")

    def find(self, name: str) -> bytes | None:
        with self._changed:
            return next((body for found, body, _ in self.uploads if found == name), None)

    def drop_connections(self) -> None:
        """Closes the connections that are kept alive, as servers do with idle ones."""
        self._server.drop_connections()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        broken, self._broken = self._broken, []
        if broken:
            raise AssertionError("\n".join(["uploads that are not as contract.json says:", *broken]))

    def answer_get(self, path: str, etag: str | None, prefer: str | None) -> tuple[int, str, bytes]:
        with self._changed:
            if path.startswith("/manifest"):
                return 200, "", json.dumps(self._manifest()).encode()
            self.polls += 1
            self._changed.notify_all()
            if self.token_expired:
                return 400, "", b"<Error><Code>ExpiredToken</Code></Error>"
            if self.holds and prefer:
                self.waiting_polls += 1
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._tag() not in ("", etag), int(prefer.removeprefix("wait="))
                )
                self.waiting_polls -= 1
            if self._job is None:
                return 404, "", b""
            tag = self._tag()
            return (304, tag, b"") if etag == tag else (200, tag, self._job)

    def answer_input(self, path: str) -> tuple[bytes, int | str]:
        """The content and the fault, 200 if there is none."""
        with self._changed:
            self.fetched.append(path)
            content, faults = self._inputs[path]
            fault = faults.pop(0) if faults else 200
            self._changed.notify_all()
        return content, fault

    def _tag(self) -> str:
        return "" if self._job is None else hashlib.md5(self._job).hexdigest()

    def answer_post(self, content_type: str, body: bytes) -> int:
        time.sleep(self.delay_uploads)
        fields, data = _parse_form(content_type, body)
        if fields.get("policy") != SECRET or not fields["key"].startswith(PREFIX):
            return 403
        name = fields["key"].removeprefix(PREFIX)
        with self._changed:
            self._broken += [f"{name}: {problem}" for problem in _problems(name, data)]
            self.uploads.append((name, data, fields["Content-Type"]))
            self._changed.notify_all()
        return 204

    def _manifest(self) -> dict[str, Any]:
        return {
            "sandbox_id": "box",
            "expires_at": datetime.fromtimestamp(self._expires_at, UTC).isoformat(),
            "job_url": f"{self.url}/job.json?signature={SECRET}",
            "upload": {
                "url": f"{self.url}/bucket",
                "fields": {"policy": SECRET, "key": f"{PREFIX}${{filename}}"},
                "prefix": PREFIX,
                "max_bytes": 16 * 1024 * 1024,
            },
        }


def _problems(name: str, data: bytes) -> list[str]:
    kind = name.removesuffix(".json").partition("/")[0]
    document = DOCUMENTS.get("result" if kind == "results" else kind)
    return schema.problems(document, json.loads(data)) if document else []


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.append(connection)
        return connection, address

    def drop_connections(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):  # closed by the client
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # the sandbox was killed while it asked
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    mailbox: Mailbox
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path.startswith("/inputs/"):
            return self._answer_input(self.path.partition("?")[0])
        if self.mailbox.refuse:
            return self._answer(503)
        asked = self.headers.get("If-None-Match"), self.headers.get("Prefer")
        self._answer(*self.mailbox.answer_get(self.path, *asked))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(
            503 if self.mailbox.refuse else self.mailbox.answer_post(self.headers["Content-Type"], body)
        )

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def _answer_input(self, path: str) -> None:
        content, fault = self.mailbox.answer_input(path)
        if isinstance(fault, int):
            return self._answer(fault, body=content, location=f"/inputs/0?s={SECRET}")
        self.wfile.write(f"HTTP/1.1 200 X\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        self.wfile.write(content[: len(content) // 2])
        if fault == "held":
            self.mailbox.held.wait(WAIT_SECONDS)
            self.wfile.write(content[len(content) // 2 :])
        self.close_connection = True

    def _answer(self, status: int, etag: str = "", body: bytes = b"", location: str = "") -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n" + (
            f"ETag: {etag}\r\n" if etag else ""
        )
        head += f"Location: {location}\r\n" if location and 300 <= status < 400 else ""
        self.wfile.write(f"{head}\r\n".encode() + body)


def _parse_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields before the file, and the file, which must be last."""
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    fields: dict[str, str] = {}
    for part in body.split(boundary)[1:-1]:
        head, _, value = part[2:-2].partition(b"\r\n\r\n")
        name = head.decode().partition('name="')[2].partition('"')[0]
        if name == "file":
            return fields, value
        fields[name] = value.decode()
    raise ValueError("no file")
