"""What a program writes: the beginning and the end are kept, and the beginning is streamed while it runs."""

import codecs

from sandbox.contract import LIMITS

LONGEST_OUTPUT = LIMITS["output"]  # bytes of UTF-8, the mark of the cut included
LONGEST_CHUNK = LIMITS["chunk"]  # characters
LONGEST_STREAM = 200_000  # characters
_MARK_BYTES = 100
_HALF = (LONGEST_OUTPUT - _MARK_BYTES) // 2


class Output:
    """Takes gigabytes, keeps at most about three times `LONGEST_OUTPUT`."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._size = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._to_stream = ""
        self._streamed = 0

    def add(self, data: bytes) -> None:
        """Takes the next bytes, whatever they are."""
        self._size += len(data)
        if self._streamed < LONGEST_STREAM:
            text = self._decoder.decode(data)[: LONGEST_STREAM - self._streamed]
            self._to_stream += text
            self._streamed += len(text)
        room = _HALF - len(self._head)
        self._head += data[: max(room, 0)]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * _HALF:
            del self._tail[:-_HALF]

    def next_chunk(self) -> str:
        """Text that came since the last chunk, at most `LONGEST_CHUNK` characters; empty if none."""
        chunk, self._to_stream = self._to_stream[:LONGEST_CHUNK], self._to_stream[LONGEST_CHUNK:]
        return chunk

    def text(self) -> tuple[str, bool]:
        """All of it, or head and tail with a mark between them; and whether something was left out."""
        if self._size <= 2 * _HALF:
            text = (self._head + self._tail).decode("utf-8", "replace")
            if len(text.encode()) <= LONGEST_OUTPUT:
                return text, False
        # Cut again as text: a byte that is no UTF-8 becomes a character of three.
        head = _as_utf8(self._head)[:_HALF].decode("utf-8", "ignore")
        tail = _as_utf8(self._tail[-_HALF:])[-_HALF:].decode("utf-8", "ignore")
        left_out = self._size - len(self._head) - min(len(self._tail), _HALF)
        return f"{head}\n… {left_out} bytes left out …\n{tail}", True


def _as_utf8(data: bytearray) -> bytes:
    return data.decode("utf-8", "replace").encode()
