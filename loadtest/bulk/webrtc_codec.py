"""What a bulk caller in a browser speaks: Opus, or the G.711 that browsers must have as well (RFC 7874).

All that callers say is encoded once; what comes is decoded by each, 19 us a packet of Opus.
"""

from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.audio.formats import FRAME_MS, PCMA_8K, PCMU_8K, AudioFormat, linear
from loadtest.bulk.payload import payload_for
from loadtest.bulk.speech import CallerSpeech, Said, Spoken
from loadtest.callers.codec import CALLER_RATE_HZ
from loadtest.callers.utterance import cough
from transports.webrtc.codecs import CodecName
from transports.webrtc.opus import OpusDecoder, OpusEncoder

BITRATE, COMPLEXITY = 32_000, 9
"""What browsers send speech with."""
_SILENT_BYTES = 3
"""An Opus packet of at most this length is silence: DTX, or the frame that ends a spurt (RFC 7587, 3.1.3)."""
_QUIET_FRAME = bytes(2 * CALLER_RATE_HZ * FRAME_MS // 1000)

Decode = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class BrowserCodec:
    """A codec of a call, the same both ways."""

    name: CodecName
    payload_type: int
    rtpmap: str
    step: int
    """20 ms of its RTP clock (RFC 7587, 4.1; RFC 3551, table 4)."""
    delay_ms: float
    """By how much it delays what is heard."""
    heard: AudioFormat
    """What `decoder` makes of packets."""

    def decoder(self) -> Decode:
        """For one call: a packet to `heard`. Raises `agent.errors.WireError`."""
        return OpusDecoder(self.heard.rate_hz).decode if self.name is CodecName.OPUS else bytes

    def is_silent(self, payload: bytes) -> bool:
        """True for what is sent while nothing is said."""
        if self.name is CodecName.OPUS:
            return len(payload) <= _SILENT_BYTES
        return payload == self.heard.silence(len(payload))

    def speech(self, spoken: Spoken) -> CallerSpeech:
        """What callers say, a packet per 20 ms.

        First words can be compared through Opus, though it does not give back the same samples: speech that
        was encoded from 24 kHz at 24 kbit/s correlates with the original at 0.93, cuts of 30 to 200 ms were
        found within 1 ms, and other speech stays at 0.5.
        """
        return _opus(spoken) if self.name is CodecName.OPUS else _g711(spoken, self.heard)


OPUS = BrowserCodec(CodecName.OPUS, 111, "opus/48000/2", 960, 6.5, linear(CALLER_RATE_HZ))
"""It looks 6.5 ms ahead (RFC 6716, 2). Browsers give it this number; any dynamic one would do."""
PCMU = BrowserCodec(CodecName.PCMU, 0, "PCMU/8000", 160, 0.0, PCMU_8K)
PCMA = BrowserCodec(CodecName.PCMA, 8, "PCMA/8000", 160, 0.0, PCMA_8K)


def _opus(spoken: Spoken) -> CallerSpeech:
    pcm = spoken.on(linear(CALLER_RATE_HZ), PCMU_8K)
    coughing = cough()
    assert pcm.cough is not None
    return CallerSpeech(
        tuple(
            replace(said, frames=_packets(each.frames))
            for said, each in zip(pcm.sentences, spoken.sentences, strict=True)
        ),
        replace(pcm.interruption, frames=_packets(spoken.interruption.frames)),
        _packets((_QUIET_FRAME,) * 2)[-1:],
        replace(pcm.cough, frames=_packets(coughing.frames)),
        payload_for(linear(CALLER_RATE_HZ)),
        spoken.greetings,
        spoken.replies,
    )


def _packets(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    encoder = OpusEncoder(CALLER_RATE_HZ, BITRATE, COMPLEXITY)
    return tuple(encoder.encode(frame) for frame in frames)


def _g711(spoken: Spoken, line: AudioFormat) -> CallerSpeech:
    """The packets are the frames of a telephone line as they are."""
    phone = spoken.on(line, line)
    assert phone.cough is not None
    return replace(
        phone,
        sentences=tuple(_bare(said) for said in phone.sentences),
        interruption=_bare(phone.interruption),
        noise=tuple(a2b_base64(frame) for frame in phone.noise),
        cough=_bare(phone.cough),
    )


def _bare(said: Said) -> Said:
    return replace(said, frames=tuple(a2b_base64(frame) for frame in said.frames))
