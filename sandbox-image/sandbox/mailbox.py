"""The mailbox over HTTP: jobs by presigned GET, everything else by presigned POST. Standard library only."""

import http.client
import json
import secrets
import ssl
import time
import urllib.parse
from dataclasses import dataclass
from datetime import datetime
from typing import Any

REQUEST_SECONDS = 10.0
LOOK_SECONDS = 1
RETRY_SECONDS = 60.0


class MailboxError(Exception):
    """The mailbox cannot be used; the message holds no URL."""


class MailboxLost(Exception):
    """There will be no more jobs: the manifest or its URLs have expired, or the mailbox cannot be reached."""


@dataclass(frozen=True)
class Manifest:
    """Where a sandbox finds its jobs and puts what leaves it. `expires_at` is a time of time.time()."""

    sandbox_id: str
    expires_at: float
    job_url: str
    upload_url: str
    upload_fields: dict[str, str]
    prefix: str
    largest_upload: int


@dataclass(frozen=True)
class Answer:
    """What a server said; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One kept-alive connection to the server of a URL; not for several threads at once."""

    def __init__(self, url: str) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._connection: http.client.HTTPConnection | None = None

    def request(self, method: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Raises OSError or HTTPException.

        A connection that the server has closed while it was idle is opened again once.
        """
        if self._connection is not None:
            try:
                return self._exchange(self._connection, method, body, headers)
            except ConnectionError:
                pass  # closed while it was idle
        self._connection = connect(self._url)
        return self._exchange(self._connection, method, body, headers)

    def close(self) -> None:
        """Closes it; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        try:
            connection.request(method, target(self._url), body, headers)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, response.read())
        except BaseException:
            self.close()
            raise


def connect(url: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    """A connection to the server of a URL, not yet open; raises ValueError for a bad port."""
    host, port = url.hostname or "", url.port
    if url.scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=REQUEST_SECONDS, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)


def target(url: urllib.parse.SplitResult) -> str:
    """What of a URL is told to its server."""
    return urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))


def may_pass(status: int) -> bool:
    """Whether a request that was answered so may succeed when it is made again."""
    return status >= 500 or status in (408, 429)


class Patience:
    """Trying again for so many seconds, after pauses that grow."""

    def __init__(self, seconds: float) -> None:
        self._give_up_at = time.monotonic() + seconds
        self._pause = 0.1

    def wait(self) -> bool:
        """Waits until the next try; does not, and is False, if that would come too late."""
        if time.monotonic() + self._pause > self._give_up_at:
            return False
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, 5.0)
        return True


def fetch_manifest(url: str) -> Manifest:
    """Reads the manifest, trying again for a minute; raises MailboxError."""
    connection = Connection(url)
    patience = Patience(RETRY_SECONDS)
    while True:
        try:
            answer = connection.request("GET", None, {})
            if answer.status == 200:
                connection.close()
                return parse_manifest(answer.body)
            problem = f"the manifest's server answered {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"the manifest's server cannot be reached: {type(error).__name__}"
        if not patience.wait():
            raise MailboxError(problem)


def parse_manifest(body: bytes) -> Manifest:
    """Checks a manifest; raises MailboxError."""
    try:
        document = json.loads(body)
        upload = document["upload"]
        return Manifest(
            sandbox_id=str(document["sandbox_id"]),
            expires_at=datetime.fromisoformat(document["expires_at"]).timestamp(),
            job_url=str(document["job_url"]),
            upload_url=str(upload["url"]),
            upload_fields={str(name): str(value) for name, value in upload["fields"].items()},
            prefix=str(upload["prefix"]),
            largest_upload=int(upload["max_bytes"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MailboxError("the manifest is not valid") from error


class Jobs:
    """Looks for the job; for one thread."""

    def __init__(self, manifest: Manifest) -> None:
        self._connection = Connection(manifest.job_url)
        self._etag = ""

    def look(self) -> Any | None:
        """The job's document if new since the last look, else None; raises MailboxError, MailboxLost.

        A server that can holds its answer back for up to LOOK_SECONDS while there is nothing new; S3 cannot.
        """
        headers = {"Prefer": f"wait={LOOK_SECONDS}"}
        if self._etag:
            headers["If-None-Match"] = self._etag
        try:
            answer = self._connection.request("GET", None, headers)
        except (OSError, http.client.HTTPException) as error:
            raise MailboxError(f"the mailbox cannot be reached: {type(error).__name__}") from error
        if answer.status in (304, 403, 404):  # S3 says 403 where there is no right to list
            return None
        if answer.status == 400:  # ExpiredToken: a URL ends with the session of the role that signed it
            raise MailboxLost("the right to read the mailbox has expired")
        if answer.status != 200:
            raise MailboxError(f"the mailbox answered {answer.status}")
        self._etag = answer.headers.get("etag", "")
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise MailboxError("the job is not JSON") from error


class Uploads:
    """Puts files into the mailbox; for one thread."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._connection = Connection(manifest.upload_url)

    def put_json(self, name: str, document: dict[str, Any], tries_for: float = RETRY_SECONDS) -> None:
        """Uploads a document as `name` below the prefix; raises MailboxError."""
        body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
        self.put(name, body, "application/json", tries_for)

    def put(self, name: str, body: bytes, content_type: str, tries_for: float = RETRY_SECONDS) -> None:
        """Uploads a file, trying again for so many seconds; raises MailboxError."""
        if len(body) > self._manifest.largest_upload:
            raise MailboxError(f"{len(body)} bytes are more than the mailbox takes")
        key = self._manifest.prefix + name
        fields = {**self._manifest.upload_fields, "key": key, "Content-Type": content_type}
        form, form_type = _multipart(fields, body, content_type)
        patience = Patience(tries_for)
        while True:
            try:
                status = self._connection.request("POST", form, {"Content-Type": form_type}).status
                problem = f"the mailbox answered {status} to an upload"
            except (OSError, http.client.HTTPException) as error:
                status, problem = 0, f"the mailbox cannot be reached: {type(error).__name__}"
            if 200 <= status < 300:
                return
            if (status and not may_pass(status)) or not patience.wait():
                raise MailboxError(problem)


def _multipart(fields: dict[str, str], body: bytes, content_type: str) -> tuple[bytes, str]:
    boundary = f"sandbox-{secrets.token_hex(16)}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    form = b"".join(["".join(parts).encode(), head.encode(), body, tail.encode()])
    return form, f"multipart/form-data; boundary={boundary}"
