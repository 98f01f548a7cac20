"""Messages to the recogniser's process."""

import io

from providers.embedded.messages import AUDIO, CLOSE, HEAD_BYTES, MAX_BODY_BYTES, pack, read, unpack_head


def test_what_is_packed_is_read_again() -> None:
    stream = io.BytesIO(pack(AUDIO, 7, b"\x01\x02") + pack(CLOSE, 2**32 - 1))
    assert read(stream) == (AUDIO, 7, b"\x01\x02")
    assert read(stream) == (CLOSE, 2**32 - 1, b"")
    assert read(stream) is None


def test_the_head_tells_the_length_of_the_body() -> None:
    assert unpack_head(pack(AUDIO, 3, b"abc")[:HEAD_BYTES]) == (AUDIO, 3, 3)


def test_a_stream_that_breaks_off_or_lies_about_its_length_ends() -> None:
    whole = pack(AUDIO, 1, b"abcd")
    assert all(read(io.BytesIO(whole[:size])) is None for size in range(len(whole)))
    lie = pack(AUDIO, 1)[:-4] + (MAX_BODY_BYTES + 1).to_bytes(4, "big")
    assert read(io.BytesIO(lie + b"x" * 10)) is None
