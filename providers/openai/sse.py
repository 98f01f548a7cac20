"""Server-sent events, as far as chat completions use them. Pure.

WHATWG HTML, "Interpreting an event stream": `data:` lines up to an empty line make one event, lines that
begin with a colon are comments. Event names, ids and retry times mean nothing in this protocol.
"""

from agent.errors import WireError

MAX_EVENT_BYTES = 1024 * 1024
"""Longest event. A token is a few hundred bytes; a whole answer in one piece some tens of kilobytes."""


class EventStream:
    """Bytes in, the events' data out. Line ends are LF or CR LF; chunks may be cut anywhere."""

    __slots__ = ("_data", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes. Raises `WireError` for an event without end."""
        lines = (self._rest + chunk if self._rest else chunk).split(b"\n")
        self._rest = lines.pop()
        events: list[bytes] = []
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
                self._size += len(line)
            elif not line and self._data:
                events.append(self._take())
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise WireError("event_size", f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def end(self) -> list[bytes]:
        """The stream has ended: what it holds. Not every server closes its last event with an empty line."""
        events = self.feed(b"\n")
        if self._data:
            events.append(self._take())
        return events

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return data
