"""Events are found wherever the bytes are cut, whatever ends the lines."""

import pytest

from agent.errors import WireError
from providers.openai.sse import MAX_EVENT_BYTES, EventStream

STREAM = 'data: {"a":"é"}\n\n: keep-alive\n\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\n'.encode()
EVENTS = ['{"a":"é"}'.encode(), b'{"b":2}', b"[DONE]"]


def read(stream: bytes, size: int) -> list[bytes]:
    events = EventStream()
    found = [event for at in range(0, len(stream), size) for event in events.feed(stream[at : at + size])]
    return found + events.end()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_survive_any_cut_and_both_line_ends(newline: bytes, size: int) -> None:
    assert read(STREAM.replace(b"\n", newline), size) == EVENTS


def test_an_event_is_given_as_soon_as_its_empty_line_has_come() -> None:
    events = EventStream()
    assert events.feed(b"data: 1\n") == []
    assert events.feed(b"\n") == [b"1"]


def test_several_data_lines_are_one_event() -> None:
    assert read(b'data: {\ndata: "a":1}\n\n', 100) == [b'{\n"a":1}']


@pytest.mark.parametrize("tail", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n"])
def test_the_last_event_needs_no_empty_line(tail: bytes) -> None:
    assert read(tail, 100) == [b"[DONE]"]


def test_no_data_no_event() -> None:
    assert read(b": a\n\nevent: ping\n\n\n\nretry: 3\n\n", 100) == []


@pytest.mark.parametrize("line", [b"x" * 1000, b"data: " + b"x" * 1000 + b"\n"])
def test_an_event_without_end_is_refused(line: bytes) -> None:
    with pytest.raises(WireError, match="event_size"):
        read(line * (2 * MAX_EVENT_BYTES // 1000), 65536)
