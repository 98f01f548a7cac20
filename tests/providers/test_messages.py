"""Messages of vendors: JSON objects, and what is none."""

import pytest

from agent.errors import WireError
from providers.messages import read_object


def test_an_object_is_read() -> None:
    assert read_object(b'{"type":"done"}') == {"type": "done"}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff", b"<html>"])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        read_object(data)
    assert caught.value.kind == "bad_json"
