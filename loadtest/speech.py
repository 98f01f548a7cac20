"""The caller's voice: sentences to PCM16 at 8 kHz, by the embedded speech synthesis, kept on disk.

A load test says the same sentences thousands of times; each is synthesised once per voice.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soxr

from agent.agentfile.schema import AgentFile, Phrases
from agent.audio.formats import linear
from agent.clock import Clock
from agent.plugins import TTS as TTS_PLUGINS
from agent.plugins import load
from agent.providers import TTS, ProviderContext, SpeechRequest
from loadtest.callers.codec import CALLER_RATE_HZ

_CACHE_VERSION = "1"
_CALLER_VARIANT = "+m3"
"""An espeak-ng voice variant that the agent does not use: two people, not one, are heard in a recording."""


class CallerVoice:
    """Says sentences in one language and voice. Close it after use."""

    def __init__(self, tts: TTS, language: str, voice: str | None = None, cache: Path | None = None) -> None:
        self._tts = tts
        self._language = language
        self._voice = voice
        self._cache = cache

    async def say(self, text: str) -> bytes:
        """The sentence as PCM16 at 8 kHz. Raises `agent.errors.ProviderError`."""
        kept = self._kept_at(text)
        if kept is not None and kept.is_file():
            return kept.read_bytes()
        pcm = await self._synthesise(text)
        if kept is not None:
            _keep(kept, pcm)
        return pcm

    async def close(self) -> None:
        """Idempotent."""
        await self._tts.close()

    async def _synthesise(self, text: str) -> bytes:
        request = SpeechRequest(
            text=text,
            language=self._language,
            audio=linear(CALLER_RATE_HZ),
            voice=self._voice,
            position="only",
        )
        parts: list[bytes] = []
        rate_hz = CALLER_RATE_HZ
        # Read to its end, so it needs no closing: `TTS.speak` promises an iterator and no more.
        async for chunk in self._tts.speak(request):
            assert chunk.format.is_linear, "a service that cannot make the format gives PCM16"
            rate_hz = chunk.format.rate_hz
            parts.append(chunk.audio)
        samples = np.frombuffer(b"".join(parts), "<i2")
        if rate_hz != CALLER_RATE_HZ:
            samples = soxr.resample(samples, rate_hz, CALLER_RATE_HZ)
        return bytes(samples.astype("<i2").tobytes())

    def _kept_at(self, text: str) -> Path | None:
        if self._cache is None:
            return None
        key = "\0".join((_CACHE_VERSION, self._tts.name, self._language, self._voice or "", text))
        return self._cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.pcm"


def embedded_voice(
    clock: Clock, environ: Mapping[str, str], *, language: str = "en-US", voice: str | None = None
) -> CallerVoice:
    """A caller's voice that needs no key and no network. `voice` is an espeak-ng voice name."""
    factory = load(TTS_PLUGINS, "embedded")
    tts: TTS = factory(ProviderContext(agent=_somebody(language), clock=clock))
    return CallerVoice(tts, language, voice or default_voice(language), cache_folder(environ))


def default_voice(language: str) -> str:
    """`en-us+m3` for `en-US`: the language's espeak-ng voice in another variant than the agent's."""
    return language.lower() + _CALLER_VARIANT


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where speech is kept: below `$XDG_CACHE_HOME`, else `~/.cache`, else the temporary folder."""
    base = environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "parley" / "speech"
    home = environ.get("HOME")
    if home and os.access(home, os.W_OK):
        return Path(home) / ".cache" / "parley" / "speech"
    return Path(tempfile.gettempdir()) / f"parley-speech-{os.getuid()}"


def _keep(path: Path, pcm: bytes) -> None:
    """Written whole or not at all: several load testers may share the folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(pcm)
        Path(file.name).replace(path)
    except OSError:
        # A cache that cannot be written only costs time; the sentence itself is there.
        return


def _somebody(language: str) -> AgentFile:
    """The least agent file that a provider can be built from."""
    words = {language: "-"}
    phrases = Phrases(
        reprompt=words,
        silence_goodbye=words,
        time_goodbye=words,
        apology=words,
        not_understood=words,
        transferring=words,
        goodbye=words,
    )
    return AgentFile(
        name="caller",
        languages=[language],
        greeting=words,
        instructions="-",
        phrases=phrases,
        unknown=words,
    )
