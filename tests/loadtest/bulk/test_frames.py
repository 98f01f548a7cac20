import pytest

from agent.errors import WireError
from loadtest.bulk.frames import PING, TEXT, FrameParser, ServerFrame, client_frame
from tests.loadtest.bulk.wire import frames


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_client_frame_is_masked_and_says_its_length(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    assert frames(client_frame(payload)) == [(TEXT, payload)]


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def test_server_frames_come_out_whole_however_the_bytes_are_cut() -> None:
    sent = [
        ServerFrame(TEXT, b"x" * 125),
        ServerFrame(PING, b""),
        ServerFrame(TEXT, b"y" * 300),
        ServerFrame(TEXT, b"z" * 70_000),
    ]
    data = b"".join(server_frame(frame.payload, frame.opcode) for frame in sent)
    for size in (1, 3, 129, 4096, len(data)):
        parser = FrameParser()
        found = [each for at in range(0, len(data), size) for each in parser.feed(data[at : at + size])]
        assert found == sent


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x01a",  # the first part of a split message
        b"\xc1\x01a",  # compressed
        b"\x81\x81\0\0\0\0a",  # masked
        b"\x81\x7f" + (1 << 21).to_bytes(8, "big"),
    ],
)
def test_what_our_servers_never_send_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="frame"):
        FrameParser().feed(data)
