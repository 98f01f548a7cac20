"""Messages that name their event, and those that do not."""

import orjson
import pytest

from agent.errors import WireError
from transports.event_json import read_event


@pytest.mark.parametrize("event", ["media", 7, None, ["media"]])
def test_the_event_is_read_as_it_is(event: object) -> None:
    assert read_event(orjson.dumps({"event": event})) == ({"event": event}, event)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", "malformed_json"),
        (b"", "malformed_json"),
        (b"{}", "unknown_event"),
        (b"[]", "not_an_object"),
        (b"7", "not_an_object"),
        (b'"event"', "not_an_object"),
    ],
)
def test_what_names_none_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        read_event(data)
    assert caught.value.kind == kind
