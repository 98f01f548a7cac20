"""Which way round the bytes of L16 are."""

import math
from array import array

import pytest

from transports.telnyx.byte_order import ByteOrder
from transports.telnyx.options import ByteOrderChoice

FRAME = 320


def tone(amplitude: float, start: int = 0) -> bytes:
    """20 ms of a 440 Hz tone at 16 kHz, little-endian."""
    return array(
        "h",
        [round(amplitude * math.sin(2 * math.pi * 440 * (start + i) / 16000)) for i in range(FRAME)],
    ).tobytes()


def swapped(audio: bytes) -> bytes:
    samples = array("h", audio)
    samples.byteswap()
    return samples.tobytes()


@pytest.mark.parametrize("amplitude", [9000.0, 300.0, 3.0])
def test_little_endian_is_found_and_nothing_is_turned(amplitude: float) -> None:
    order = ByteOrder(ByteOrderChoice.DETECT, 16000)
    for i in range(40):
        frame = tone(amplitude, i * FRAME)
        assert order.read(frame) == frame
    assert order.write(b"\x01\x02") == b"\x01\x02"


@pytest.mark.parametrize("amplitude", [9000.0, 300.0, 3.0])
def test_big_endian_is_found_from_the_first_frame(amplitude: float) -> None:
    order = ByteOrder(ByteOrderChoice.DETECT, 16000)
    for i in range(40):
        frame = tone(amplitude, i * FRAME)
        assert order.read(swapped(frame)) == frame
    assert order.write(b"\x01\x02") == b"\x02\x01"


def test_digital_silence_decides_nothing() -> None:
    order = ByteOrder(ByteOrderChoice.DETECT, 16000)
    for _ in range(100):
        order.read(bytes(2 * FRAME))
    frame = tone(300.0)
    assert order.read(swapped(frame)) == frame


def test_after_half_a_second_the_decision_stands() -> None:
    order = ByteOrder(ByteOrderChoice.DETECT, 16000)
    for i in range(25):
        order.read(tone(3000.0, i * FRAME))
    for i in range(100):
        order.read(swapped(tone(9000.0, i * FRAME)))
    assert not order.swapped


def test_a_configured_order_is_kept() -> None:
    order = ByteOrder(ByteOrderChoice.BIG, 16000)
    for i in range(40):
        order.read(tone(9000.0, i * FRAME))
    assert order.swapped
