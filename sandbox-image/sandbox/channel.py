"""Messages between supervisor and child: JSON objects, each after its length in four bytes."""

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]

HARNESS_BROKEN = 70  # exit code of a child in which the harness itself failed
LONGEST_MESSAGE = 4 * 1024 * 1024
_LENGTH = struct.Struct("!I")
_encode, _decode = json.JSONEncoder().encode, json.JSONDecoder().decode  # not those that code can reach


class BrokenMessage(Exception):
    """What arrived is not a message: the sender is not the harness any more."""


def pack(message: Message) -> bytes:
    """The bytes of a message: JSON in ASCII, in which even half a surrogate pair arrives as it was."""
    body = _encode(message).encode()
    return _LENGTH.pack(len(body)) + body


def receive(sock: socket.socket) -> Message | None:
    """Waits for one message on a blocking socket; None when the other side has closed it."""
    head = _receive_exactly(sock, _LENGTH.size)
    if head is None:
        return None
    body = _receive_exactly(sock, _LENGTH.unpack(head)[0])
    return None if body is None else _decode(body.decode())


def _receive_exactly(sock: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        part = sock.recv(size - len(received))
        if not part:
            return None
        received += part
    return bytes(received)


class MessageReader:
    """Puts messages together from the pieces that arrive; bounded, because the sender is untrusted."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields the messages that `data` completes; raises BrokenMessage after those that precede it."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            size = _LENGTH.unpack_from(self._buffer)[0]
            if size > LONGEST_MESSAGE:
                raise BrokenMessage(f"a message of {size} bytes")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _parse(body)


def _parse(body: bytes) -> Message:
    try:
        message = _decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise BrokenMessage("not JSON") from error
    if not isinstance(message, dict):
        raise BrokenMessage("not an object")
    return message
