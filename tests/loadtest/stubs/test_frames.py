import pytest

from agent.errors import WireError
from loadtest.stubs import frames
from loadtest.stubs.frames import Frame, FrameReader, encode


def test_frames_come_out_whole_however_the_bytes_are_cut() -> None:
    sent = [Frame(frames.AUDIO, 1, b"abc"), Frame(frames.DONE, 2, b""), Frame(frames.SPEECH, 3, b"x" * 500)]
    data = b"".join(encode(*frame) for frame in sent)
    for size in (1, 2, 7, 9, 100, len(data)):
        reader = FrameReader()
        found = [frame for at in range(0, len(data), size) for frame in reader.feed(data[at : at + size])]
        assert found == sent


def test_a_size_that_no_frame_has_is_refused_before_it_is_waited_for() -> None:
    header = encode(frames.AUDIO, 0)[:5] + (frames.MAX_BODY_BYTES + 1).to_bytes(4, "big")
    with pytest.raises(WireError, match="stub frame"):
        FrameReader().feed(header)
