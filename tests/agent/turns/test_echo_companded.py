"""What was played may be kept as G.711: the same answers from half the memory."""

import numpy as np
import pytest

from agent.audio.codec import make_decoder, make_encoder
from agent.audio.formats import PCMA_8K, PCMU_8K, AudioFormat
from agent.turns.echo import EchoGuard


def babble(duration_ms: int, seed: int) -> bytes:
    """Noise that swells four times a second, as PCM16 at 8 kHz."""
    count = duration_ms * 8
    noise = np.random.default_rng(seed).normal(0.0, 3_000.0, count)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(count) / 8_000)
    return bytes((noise * swell).astype("<i2").tobytes())


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K])
@pytest.mark.parametrize(("heard", "echo"), [("ours", True), ("theirs", False)])
def test_an_echo_is_told_from_a_caller_just_as_well(audio: AudioFormat, heard: str, echo: bool) -> None:
    payload = make_encoder(audio).encode(babble(1_000, 1))
    decoder = make_decoder(audio)
    linear, companded = EchoGuard(), EchoGuard()
    for at in range(0, len(payload), 800):
        part, at_ms = payload[at : at + 800], 5_000.0 + at / 8
        linear.played(decoder.decode(part), at_ms)
        companded.played(part, at_ms, decoder)
    for guard in (linear, companded):
        guard.cleared(5_733.0)
    sound = decoder.decode(payload) if heard == "ours" else babble(1_000, 2)
    for number in range(20, 32):
        frame = sound[number * 320 : number * 320 + 320]
        for guard in (linear, companded):
            # 100 ms late and 6 dB down.
            softer = (np.frombuffer(frame, "<i2") // 2).astype("<i2").tobytes()
            guard.heard(softer, 5_000.0 + number * 20 + 120)
    assert companded.is_echo(5_740.0) is echo
    assert companded.echo_score(5_740.0) == linear.echo_score(5_740.0)


def test_what_was_cleared_is_no_source_of_an_echo() -> None:
    decoder = make_decoder(PCMU_8K)
    payload = make_encoder(PCMU_8K).encode(babble(1_000, 1))
    guard = EchoGuard()
    guard.played(payload, 5_000.0, decoder)
    guard.cleared(5_200.0)
    sound = decoder.decode(payload)
    for number in range(20, 32):
        guard.heard(sound[number * 320 : number * 320 + 320], 5_000.0 + number * 20 + 120)
    assert guard.is_echo(5_740.0) is False
