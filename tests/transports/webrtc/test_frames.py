"""Speech that was encoded once is not encoded again, and sounds the same."""

import numpy as np

from tests.transports.webrtc.speech import spoken
from transports.webrtc.frames import FrameStore, StoredSpeech
from transports.webrtc.opus import OpusDecoder, OpusEncoder


def make(store: FrameStore, settings: str = "24000") -> StoredSpeech:
    return StoredSpeech(lambda: OpusEncoder(24_000, 32_000, 5), settings, store)


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + 960] for at in range(0, len(pcm) - 959, 960)]


def say(speech: StoredSpeech, pcm: list[bytes]) -> list[bytes]:
    speech.begin()
    return [speech.encode(frame) for frame in pcm]


def test_a_second_call_gets_the_same_packets_without_an_encoder() -> None:
    store = FrameStore()
    pcm = frames(spoken(24_000))
    first = say(make(store), pcm)

    def never() -> OpusEncoder:
        raise AssertionError("nothing is left to encode")

    second = StoredSpeech(never, "24000", store)
    assert say(second, pcm) == first
    assert (second.stored, second.encoded) == (len(pcm), 0)


def test_other_settings_or_expected_loss_make_other_packets() -> None:
    store = FrameStore()
    pcm = frames(spoken(24_000))[:20]
    say(make(store), pcm)
    other = make(store, "24000 64000")
    say(other, pcm)
    lossy = make(store)
    lossy.expect_loss(20)
    say(lossy, pcm)
    assert (other.stored, lossy.stored) == (0, 0)


def test_a_reply_that_goes_on_differently_is_encoded_from_there() -> None:
    store = FrameStore()
    pcm = frames(spoken(24_000))
    say(make(store), pcm[:40])
    speech = make(store)
    packets = say(speech, pcm[:90])
    assert (speech.stored, speech.encoded) == (40, 50)
    reference = OpusEncoder(24_000, 32_000, 5)
    whole = [reference.encode(frame) for frame in pcm[:90]]
    error = _difference(packets, whole)
    # After the seam the encoder's state differs; three frames of warm-up keep that below hearing.
    assert error < 0.05


def _difference(packets: list[bytes], whole: list[bytes]) -> float:
    """Mean spectral difference, as a share of the loudness."""
    one, other = OpusDecoder(16_000), OpusDecoder(16_000)
    a = np.frombuffer(b"".join(one.decode(packet) for packet in packets), "<i2").astype(float)
    b = np.frombuffer(b"".join(other.decode(packet) for packet in whole), "<i2").astype(float)
    spectra = [np.abs(np.fft.rfft(x.reshape(-1, 320), axis=1)) for x in (a, b)]
    return float(np.sum((spectra[0] - spectra[1]) ** 2) / np.sum(spectra[1] ** 2))


def test_the_store_is_bounded_and_keeps_what_is_used() -> None:
    store = FrameStore(limit=2)
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    assert store.get(b"a") == b"1"
    store.put(b"c", b"3")
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c"), len(store)) == (b"1", None, b"3", 2)
