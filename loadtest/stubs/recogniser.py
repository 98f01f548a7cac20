"""Recognition by loudness: whatever is voiced says the script's sentence. No IO, no time but the audio's."""

from agent.audio.formats import PCMU_8K
from loadtest.stubs.script import StubScript

_QUIET = bytes(code for code in range(256) if (~code & 0x7F) < 0x20)
"""Mu-law codes of small samples: below 396 (G.711's second segment), some -38 dBFS."""
_LOUD_SHARE = 0.2
"""Loud samples that make a frame voiced. Telephone speech has about half."""


class StubRecogniser:
    """One call's. Costs a microsecond per frame."""

    __slots__ = ("_due_bytes", "_partial_bytes", "_text", "_voiced_bytes")

    def __init__(self, script: StubScript) -> None:
        self._text = script.heard
        self._partial_bytes = max(script.partial_ms, 20.0) * PCMU_8K.bytes_per_ms
        self._voiced_bytes = 0
        self._due_bytes = self._partial_bytes

    def feed(self, audio: bytes) -> str | None:
        """Mu-law audio. A partial transcript when one is due."""
        if len(audio.translate(None, _QUIET)) <= _LOUD_SHARE * len(audio):
            return None
        self._voiced_bytes += len(audio)
        if self._voiced_bytes < self._due_bytes:
            return None
        self._due_bytes += self._partial_bytes
        return self._text

    def finalize(self) -> str:
        """The final transcript: empty where nothing was voiced since the last one."""
        text = self._text if self._voiced_bytes else ""
        self._voiced_bytes = 0
        self._due_bytes = self._partial_bytes
        return text
