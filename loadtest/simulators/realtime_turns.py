"""Turn detection of the Realtime simulator, on the time of the audio that it is sent. Pure."""

from dataclasses import dataclass

from agent.audio.convert import make_converter
from agent.audio.formats import FRAME_MS, AudioFormat, linear
from agent.audio.vad import VoiceDetector

START_MS = 60.0
"""Voice in a row that begins a turn."""
_RATE_HZ = 8_000
_FRAME_BYTES = _RATE_HZ * FRAME_MS // 1000 * 2


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """`audio_start_ms` of the event, before padding."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """`audio_end_ms` of the event."""

    at_ms: float


class TurnListener:
    """Finds where speech begins and ends in the audio of one session."""

    def __init__(self, audio: AudioFormat) -> None:
        self.position_ms = 0.0
        """Audio heard so far."""
        self.speaking = False
        self._converter = make_converter(audio, linear(_RATE_HZ))
        self._detector = VoiceDetector(_RATE_HZ)
        self._rest = b""
        self._voiced_ms = 0.0
        self._silent_ms = 0.0

    def feed(self, audio: bytes, silence_ms: float) -> list[SpeechStarted | SpeechStopped]:
        """Audio of any length; `silence_ms` ends a turn."""
        pcm = self._rest + self._converter.convert(audio)
        whole = len(pcm) - len(pcm) % _FRAME_BYTES
        self._rest = pcm[whole:]
        found: list[SpeechStarted | SpeechStopped] = []
        for at in range(0, whole, _FRAME_BYTES):
            self.position_ms += FRAME_MS
            voiced = self._detector.is_voiced(pcm[at : at + _FRAME_BYTES])
            self._voiced_ms = self._voiced_ms + FRAME_MS if voiced else 0.0
            self._silent_ms = 0.0 if voiced else self._silent_ms + FRAME_MS
            if not self.speaking and self._voiced_ms >= START_MS:
                self.speaking = True
                found.append(SpeechStarted(self.position_ms - self._voiced_ms))
            elif self.speaking and self._silent_ms >= silence_ms:
                self.speaking = False
                found.append(SpeechStopped(self.position_ms - self._silent_ms))
        return found
