"""What the stubs answer and how fast: fixed, so that nothing of a measurement depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from agent.audio.formats import PCMU_8K
from agent.errors import ConfigError
from agent.sentences import SentenceSplitter
from loadtest.callers.codec import codec_for

DEFAULT_HEARD = "what are your opening hours"
_REPLY = (
    "We are open from Monday to Friday, from eight in the morning to six in the evening. "
    "On the first Saturday of the month we are here until noon. Would you like to come by, or to book?"
)
MIN_SPEECH_MS = 400.0
SPEECH_CHUNK_MS = 400
"""Audio per chunk of speech: the middle of what vendors send (some 100 ms to a second)."""


@dataclass(frozen=True, slots=True)
class StubScript:
    """Options of the stubs, as in the agent file. Milliseconds."""

    heard: str = DEFAULT_HEARD
    """What every caller said."""
    partial_ms: float = 300.0
    """Voiced audio between two partial transcripts."""
    final_ms: float = 0.0
    """`finalize`, to the final transcript."""
    reply: str = _REPLY
    """What the model answers: 40 tokens of it."""
    tokens: int = 40
    first_token_ms: float = 0.0
    token_ms: float = 5.0
    """Between tokens: 200 a second."""
    speech_ms: float = 0.0
    """A sentence asked for, to its first audio; the rest follows at once."""
    chars_per_s: float = 25.0
    """Brisk speech, so that a short run has many turns."""
    speech: str = ""
    """A file of mu-law audio at 8 kHz that is spoken; a synthetic voice without one."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "StubScript":
        """From a provider's options; other keys are the provider's own. Raises `ConfigError`."""
        values: dict[str, Any] = {}
        standard = cls()
        for field in fields(cls):
            if field.name not in options:
                continue
            kind, given = type(getattr(standard, field.name)), options[field.name]
            try:
                values[field.name] = kind(given)
            except (TypeError, ValueError):
                raise ConfigError(f"stub: {field.name} cannot be {given!r}") from None
        script = cls(**values)
        if script.tokens < 1 or script.chars_per_s <= 0 or min(script.delays) < 0:
            raise ConfigError("stub: one token or more, a pace above 0 and no negative delay")
        return script

    @property
    def delays(self) -> tuple[float, ...]:
        """All waits."""
        return (self.partial_ms, self.final_ms, self.first_token_ms, self.token_ms, self.speech_ms)

    def token_texts(self) -> tuple[str, ...]:
        """The reply cut into `tokens` pieces of about equal length (4.5 characters as models' are)."""
        count = min(self.tokens, len(self.reply))
        cuts = [len(self.reply) * at // count for at in range(count + 1)]
        return tuple(self.reply[cuts[at] : cuts[at + 1]] for at in range(count))

    @property
    def first_sentence_ms(self) -> float:
        """From the question to the token with which speech can begin: a wait that the script chooses."""
        splitter = SentenceSplitter()
        tokens = self.token_texts()
        needed = next((at for at, token in enumerate(tokens) if splitter.feed(token)), len(tokens) - 1)
        return self.first_token_ms + needed * self.token_ms

    def speech_source(self) -> bytes:
        """The mu-law audio that is spoken, audible from its first sample. Raises `ConfigError`."""
        if not self.speech:
            return _synthetic_voice()
        try:
            audio = Path(self.speech).read_bytes()
        except OSError as error:
            raise ConfigError(f"stub: cannot read {self.speech}: {error.strerror}") from None
        if not audio:
            raise ConfigError(f"stub: {self.speech} is empty")
        return audio

    def speech_chunks(self, text: str, source: bytes) -> list[bytes]:
        """The audio of one sentence: as much of `source` as it takes to say it, round and round."""
        wanted_ms = max(len(text) * 1000 / self.chars_per_s, MIN_SPEECH_MS)
        size = round(wanted_ms * PCMU_8K.bytes_per_ms)
        audio = (source * -(-size // len(source)))[:size]
        step = int(SPEECH_CHUNK_MS * PCMU_8K.bytes_per_ms)
        return [audio[at : at + step] for at in range(0, size, step)]


def _synthetic_voice() -> bytes:
    """Four seconds of a buzz at 140 Hz with three formants, four syllables a second: voice to detectors."""
    times = np.arange(4 * PCMU_8K.rate_hz) / PCMU_8K.rate_hz
    buzz = sum(
        np.sin(2 * np.pi * 140 * harmonic * times)
        / (1 + min(abs(140 * harmonic - formant) for formant in (500, 1500, 2500)) / 150)
        for harmonic in range(1, 24)
    )
    syllables = 0.6 + 0.4 * np.cos(2 * np.pi * 4 * times)
    samples = buzz * syllables
    samples = samples / np.max(np.abs(samples)) * 9000
    return codec_for(PCMU_8K).encode(np.asarray(samples, "<i2").tobytes())
