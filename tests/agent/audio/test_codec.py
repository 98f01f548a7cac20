"""Payload and linear audio, against the tables of ITU-T G.711 worked out anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audio.codec import make_decoder, make_encoder
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear

ALL = [PCMU_8K, PCMA_8K, G722_16K, linear(8_000), linear(24_000)]
SPEECH = (8_000 * np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000)).astype("<i2").tobytes()


def mu_law(code: int) -> int:
    """G.711 table 2a, scaled to 16 bits."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def a_law(code: int) -> int:
    """G.711 table 1a, scaled to 16 bits."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    magnitude = (mantissa << 4) + 8 if exponent == 0 else (mantissa << 4) + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


@pytest.mark.parametrize(("audio", "table"), [(PCMU_8K, mu_law), (PCMA_8K, a_law)])
def test_all_codes_of_g711_decode_as_the_standard_says(audio: AudioFormat, table: object) -> None:
    assert callable(table)
    pcm = make_decoder(audio).decode(bytes(range(256)))
    assert np.frombuffer(pcm, "<i2").tolist() == [table(code) for code in range(256)]


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K])
def test_g711_codes_come_back_as_they_were(audio: AudioFormat) -> None:
    codes = bytes(range(256))
    decoded = make_decoder(audio).decode(codes)
    again = make_decoder(audio).decode(make_encoder(audio).encode(decoded))
    assert again == decoded


@pytest.mark.parametrize(("audio", "loss"), [(PCMU_8K, 1 / 16), (PCMA_8K, 1 / 16)])
def test_g711_is_as_close_as_its_steps(audio: AudioFormat, loss: float) -> None:
    samples = np.arange(-32_000, 32_000, 7, dtype="<i2")
    decoded = np.frombuffer(make_decoder(audio).decode(make_encoder(audio).encode(samples.tobytes())), "<i2")
    assert np.all(np.abs(decoded.astype(int) - samples) <= np.abs(samples) * loss + 16)


@pytest.mark.parametrize("audio", ALL)
def test_sizes_are_those_of_the_format(audio: AudioFormat) -> None:
    pcm = bytes(audio.rate_hz // 50 * 2)
    payload = make_encoder(audio).encode(pcm)
    assert len(payload) == audio.frame_bytes
    assert audio.duration_ms(len(payload)) == 20.0
    assert len(make_decoder(audio).decode(payload)) == len(pcm)


@pytest.mark.parametrize("audio", ALL)
@given(size=st.integers(0, 50))
def test_half_a_sample_is_dropped_and_no_length_is_refused(audio: AudioFormat, size: int) -> None:
    make_encoder(audio).encode(b"\x01" * size)
    assert len(make_decoder(audio).decode(b"\x01" * size)) % 2 == 0


def test_g722_gives_back_what_it_was_given() -> None:
    decoded = make_decoder(G722_16K).decode(make_encoder(G722_16K).encode(SPEECH))
    heard, given_ = np.frombuffer(decoded, "<i2").astype(float), np.frombuffer(SPEECH, "<i2").astype(float)
    delay = int(np.argmax(np.correlate(heard[:2_000], given_[:1_000])))
    error = heard[delay + 500 : delay + 9_500] - given_[500:9_500]
    assert 10 * np.log10(np.mean(given_**2) / np.mean(error**2)) > 25


@pytest.mark.parametrize("step", [2, 6, 322, 666])
def test_g722_in_pieces_of_any_length_is_the_same_stream(step: int) -> None:
    # Resamplers give odd numbers of samples and G.722 takes pairs: dropping the odd ones clicks.
    encoder, decoder = make_encoder(G722_16K), make_decoder(G722_16K)
    whole = make_encoder(G722_16K).encode(SPEECH)
    assert b"".join(encoder.encode(SPEECH[at : at + step]) for at in range(0, len(SPEECH), step)) == whole
    pieces = b"".join(decoder.decode(whole[at : at + step]) for at in range(0, len(whole), step))
    assert pieces == make_decoder(G722_16K).decode(whole)


def test_each_direction_has_its_own_state() -> None:
    first, second = make_decoder(G722_16K), make_decoder(G722_16K)
    payload = make_encoder(G722_16K).encode(SPEECH)
    first.decode(payload)
    assert second.decode(payload[:160]) == make_decoder(G722_16K).decode(payload[:160])
