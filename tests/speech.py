"""Real speech and realistic sounds for tests and benchmarks: telephone audio without a telephone.

Speech is made by the Debian `espeak-ng` command and kept on disk, so that a text is spoken once per
machine. Everything is deterministic. Audio is PCM16 little-endian mono `bytes`; levels are dBFS of the
root mean square (a full-scale square wave is 0 dBFS).
"""

import functools
import hashlib
import os
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

with warnings.catch_warnings():
    # Python 3.11 and 3.12 announce that 3.13 drops it; from there on the package audioop-lts takes its place.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

Samples = npt.NDArray[np.float32]

_ESPEAK_RATE_HZ = 22_050
_WAV_HEADER_BYTES = 44
SPEECH_DBFS = -26.0
"""Active level of `speech`: the nominal level of telephone speech (ITU-T P.56 practice, G.191)."""


def speech(
    text: str,
    rate_hz: int = 8000,
    voice: str = "en-us",
    mu_law_roundtrip: bool = True,
    words_per_minute: int = 165,
) -> bytes:
    """`text` spoken by espeak-ng at `SPEECH_DBFS`, without silence before and after.

    `mu_law_roundtrip` adds the quantisation that a PCMU line adds.
    """
    return _speech(text, rate_hz, voice, mu_law_roundtrip, words_per_minute)


@functools.lru_cache(maxsize=512)
def _speech(text: str, rate_hz: int, voice: str, mu_law_roundtrip: bool, words_per_minute: int) -> bytes:
    raw = samples(_spoken(text, voice, words_per_minute))
    resampled = soxr.resample(raw, _ESPEAK_RATE_HZ, rate_hz).astype(np.float32)
    levelled = at_level(trimmed(to_pcm(resampled), rate_hz), SPEECH_DBFS)
    return mu_law(levelled) if mu_law_roundtrip else levelled


def _spoken(text: str, voice: str, words_per_minute: int) -> bytes:
    """PCM16 at 22,050 Hz, from the cache or from espeak-ng."""
    directory = Path(tempfile.gettempdir()) / f"parley-speech-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256(repr((text, voice, words_per_minute)).encode()).hexdigest()[:32]
    path = directory / f"{key}.pcm"
    if not path.exists():
        command = ["espeak-ng", "--stdout", "-v", voice, "-s", str(words_per_minute), "--", text]
        made = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
        # Written aside and renamed: parallel test workers share the directory.
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_bytes(made[_WAV_HEADER_BYTES:])
        aside.replace(path)
    return path.read_bytes()


# --- levels and shapes ---------------------------------------------------------------------------------


def samples(pcm: bytes) -> Samples:
    """PCM16 as floats of full scale 1."""
    return np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0


def to_pcm(audio: npt.NDArray[np.floating]) -> bytes:
    """Floats of full scale 1 as PCM16, clipped."""
    return bytes(np.clip(np.rint(audio * 32768.0), -32768, 32767).astype("<i2").tobytes())


def mu_law(pcm: bytes) -> bytes:
    """`pcm` after a PCMU line."""
    return bytes(audioop.ulaw2lin(audioop.lin2ulaw(pcm, 2), 2))


def level_dbfs(pcm: bytes) -> float:
    """Root mean square of all of `pcm`."""
    return float(20 * np.log10(max(float(np.sqrt(np.mean(samples(pcm) ** 2))), 1e-5)))


def active_level_dbfs(pcm: bytes, rate_hz: int = 8000) -> float:
    """Level over the 20 ms frames within 25 dB of the loudest one: pauses do not count (after ITU-T P.56)."""
    powers = _frame_powers(samples(pcm), rate_hz // 50)
    active = powers[powers > powers.max() * 10**-2.5]
    return float(10 * np.log10(max(float(active.mean()), 1e-10)))


def at_level(pcm: bytes, dbfs: float, rate_hz: int = 8000) -> bytes:
    """`pcm` with its active level moved to `dbfs`."""
    return amplified(pcm, dbfs - active_level_dbfs(pcm, rate_hz))


def amplified(pcm: bytes, gain_db: float) -> bytes:
    """`pcm` louder or softer."""
    return to_pcm(samples(pcm) * np.float32(10 ** (gain_db / 20)))


def trimmed(pcm: bytes, rate_hz: int = 8000, below_peak_db: float = 40.0) -> bytes:
    """`pcm` without what is more than `below_peak_db` under its loudest 5 ms, before and after."""
    size = rate_hz // 200
    powers = _frame_powers(samples(pcm), size)
    loud = np.flatnonzero(powers > powers.max() * 10 ** (-below_peak_db / 10))
    return pcm[int(loud[0]) * size * 2 : (int(loud[-1]) + 1) * size * 2]


def silence(duration_ms: float, rate_hz: int = 8000) -> bytes:
    """Digital silence."""
    return bytes(2 * int(duration_ms * rate_hz / 1000))


def frames(pcm: bytes, rate_hz: int = 8000) -> list[bytes]:
    """Whole 20 ms frames; a last part of a frame is filled up with silence."""
    size = rate_hz // 50 * 2
    padded = pcm + bytes(-len(pcm) % size)
    return [padded[at : at + size] for at in range(0, len(padded), size)]


def mixed(*parts: bytes) -> bytes:
    """The sum, as long as the longest part."""
    total = np.zeros(max(len(part) for part in parts) // 2, np.float32)
    for part in parts:
        total[: len(part) // 2] += samples(part)
    return to_pcm(total)


def with_noise(pcm: bytes, noise_pcm: bytes, snr_db: float, rate_hz: int = 8000) -> bytes:
    """`pcm` with `noise_pcm` under it, `snr_db` below the active level of `pcm`; as long as the noise."""
    gain_db = active_level_dbfs(pcm, rate_hz) - snr_db - level_dbfs(noise_pcm)
    return mixed(pcm, amplified(noise_pcm, gain_db))


def _frame_powers(audio: Samples, size: int) -> npt.NDArray[np.float64]:
    whole = audio[: len(audio) // size * size].astype(np.float64).reshape(-1, size)
    return np.asarray(np.mean(whole**2, axis=1) + 1e-12, np.float64)


# --- sounds that are not speech ------------------------------------------------------------------------

NOISES = ("white", "pink", "hum", "comfort", "street", "cafe")
"""Kinds of steady noise that `noise` makes."""


def noise(kind: str, duration_ms: float, dbfs: float = -45.0, rate_hz: int = 8000, seed: int = 1) -> bytes:
    """Steady background of one of `NOISES` at a level."""
    size = int(duration_ms * rate_hz / 1000)
    random = np.random.default_rng(seed)
    made = {
        "white": _white,
        "pink": _pink,
        "hum": _hum,
        "comfort": _comfort,
        "street": _street,
        "cafe": _cafe,
    }[kind](size, rate_hz, random)
    made = made / np.sqrt(np.mean(made**2)) * 10 ** (dbfs / 20)
    return to_pcm(made)


def _white(size: int, rate_hz: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    return random.normal(size=size)


def _shaped(size: int, rate_hz: int, random: np.random.Generator, exponent: float) -> npt.NDArray[np.float64]:
    spectrum = np.fft.rfft(random.normal(size=size))
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / rate_hz), 60.0)
    return np.fft.irfft(spectrum / hertz**exponent, size)


def _pink(size: int, rate_hz: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    return _shaped(size, rate_hz, random, 0.5)


def _hum(size: int, rate_hz: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Mains hum with harmonics, and a little hiss."""
    seconds = np.arange(size) / rate_hz
    tones = sum(np.sin(2 * np.pi * 50 * k * seconds + k) / k for k in (1, 2, 3, 4, 5, 7, 9))
    return np.asarray(tones) + 0.05 * random.normal(size=size)


def _comfort(size: int, rate_hz: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Comfort noise (RFC 3389): spectrally tilted, its level wandering by 2 dB."""
    tilted = _shaped(size, rate_hz, random, 0.3)
    return tilted * 10 ** (np.sin(2 * np.pi * 0.4 * np.arange(size) / rate_hz) / 20)


def _street(size: int, rate_hz: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Traffic: brown rumble and pink hiss that swell by 6 dB over seconds."""
    seconds = np.arange(size) / rate_hz
    swell = 10 ** (3 * np.sin(2 * np.pi * 0.25 * seconds + random.uniform(0, 6)) / 20)
    rumble = _shaped(size, rate_hz, random, 1.0)
    hiss = _pink(size, rate_hz, random)
    return np.asarray(swell * (rumble / rumble.std() + 0.5 * hiss / hiss.std()), np.float64)


_CAFE_LINES = (
    ("en-us", "I told him that we would never get there on time but he would not listen to me at all"),
    ("en-gb", "could you pass me the sugar please and one of those little spoons over there"),
    ("en-us+f3", "so she said that the whole thing was cancelled and everyone had to go home early"),
    ("en-gb+m3", "the weather has been dreadful all week and they say that it will not get any better"),
    ("en-us+f2", "my sister is coming over from Boston next month with both of the children"),
    ("en-gb+f4", "we went to that new place by the river and the fish was really very good"),
)


def _cafe(size: int, rate_hz: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Babble: eighteen overlapping talkers and a room's hiss. No single talker can be understood."""
    hiss = _pink(size, rate_hz, random)
    total: npt.NDArray[np.float64] = hiss / hiss.std() * 0.02
    for number in range(18):
        voice, line = _CAFE_LINES[number % len(_CAFE_LINES)]
        talk = samples(speech(line, rate_hz, voice, mu_law_roundtrip=False)).astype(np.float64)
        talk = np.roll(np.resize(talk, max(size, len(talk))), int(random.integers(len(talk))))
        total = total + talk[:size] * random.uniform(0.5, 1.0)
    return total


def hold_music(duration_ms: float, dbfs: float = -24.0, rate_hz: int = 8000) -> bytes:
    """A four-chord loop with a melody and a beat: plays on without pauses, as queues do."""
    size = int(duration_ms * rate_hz / 1000)
    seconds = np.arange(size) / rate_hz
    total = np.zeros(size)
    chords = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))
    melody = (523, 587, 659, 523, 440, 494, 523, 392)
    for number, chord in enumerate(chords):
        sounding = (seconds // 1.0 % 4) == number
        for hertz in chord:
            total += sounding * sum(np.sin(2 * np.pi * hertz * k * seconds) / k**1.5 for k in (1, 2, 3))
    for number, hertz in enumerate(melody):
        sounding = (seconds // 0.5 % 8) == number
        decay = np.exp(-3 * (seconds % 0.5))
        total += (
            2
            * sounding
            * decay
            * (np.sin(2 * np.pi * hertz * seconds) + 0.5 * np.sin(4 * np.pi * hertz * seconds))
        )
    return to_pcm(total / np.sqrt(np.mean(total**2)) * 10 ** (dbfs / 20))


def cough(dbfs: float = -20.0, rate_hz: int = 8000, seed: int = 1) -> bytes:
    """Two bursts of about 150 ms with a sharp onset: broad-band, no pitch."""
    random = np.random.default_rng(seed)
    parts: list[npt.NDArray[np.float64]] = []
    for length_ms, gap_ms in ((160, 120), (130, 20)):
        size = int(length_ms * rate_hz / 1000)
        seconds = np.arange(size) / rate_hz
        envelope = np.minimum(seconds / 0.008, 1.0) * np.exp(-seconds / 0.05)
        burst = _shaped(size, rate_hz, random, 0.4)
        parts += [burst / burst.std() * envelope, np.zeros(int(gap_ms * rate_hz / 1000))]
    return at_level(to_pcm(np.concatenate(parts) * 0.05), dbfs, rate_hz)


def clicks(count: int, gap_ms: float, dbfs: float = -20.0, rate_hz: int = 8000, seed: int = 1) -> bytes:
    """Isolated 4 ms clicks, such as a keyboard or a line that switches."""
    random = np.random.default_rng(seed)
    size = int(0.004 * rate_hz)
    gap = np.zeros(int(gap_ms * rate_hz / 1000))
    parts: list[npt.NDArray[np.float64]] = []
    for _ in range(count):
        parts += [random.normal(size=size) * np.exp(-np.arange(size) / size * 4), gap]
    return at_level(to_pcm(np.concatenate(parts) * 0.05), dbfs, rate_hz)


# --- what a room and a line do -------------------------------------------------------------------------


def echoed(
    pcm: bytes,
    delay_ms: float,
    gain_db: float,
    *,
    reverb_ms: float = 0.0,
    band_hz: tuple[float, float] = (300.0, 3400.0),
    rate_hz: int = 8000,
    seed: int = 1,
) -> bytes:
    """`pcm` as it comes back from a loudspeaker: later, softer, band-limited and with a room around it.

    `reverb_ms` is the time in which the room's tail falls by 60 dB; 0 is an echo of the line itself.
    """
    audio = samples(pcm).astype(np.float64)
    if reverb_ms > 0:
        audio = np.convolve(audio, _room(reverb_ms, rate_hz, seed))[: len(audio)]
    spectrum = np.fft.rfft(audio)
    hertz = np.fft.rfftfreq(len(audio), 1 / rate_hz)
    # Second-order slopes: a real loudspeaker does not cut like a knife.
    shape = (hertz**4 / (hertz**4 + band_hz[0] ** 4)) / (1 + (hertz / band_hz[1]) ** 8)
    audio = np.fft.irfft(spectrum * np.sqrt(shape), len(audio))
    level = np.sqrt(np.mean(samples(pcm).astype(np.float64) ** 2)) / max(np.sqrt(np.mean(audio**2)), 1e-9)
    later = np.zeros(int(delay_ms * rate_hz / 1000))
    return to_pcm(np.concatenate([later, audio * level * 10 ** (gain_db / 20)]))


def _room(reverb_ms: float, rate_hz: int, seed: int) -> npt.NDArray[np.float64]:
    """An impulse response: the direct sound, and a noisy decaying tail of half its energy."""
    random = np.random.default_rng(seed)
    size = int(reverb_ms * rate_hz / 1000)
    tail = random.normal(size=size) * 10 ** (-3 * np.arange(size) / size)
    tail *= np.sqrt(0.5 / max(float(np.sum(tail**2)), 1e-12))
    tail[0] = 1.0
    return tail


# --- whole calls ---------------------------------------------------------------------------------------

AGENT_LINES = (
    "Thank you for calling the Riverside Clinic. How can I help you today?",
    "We are open from Monday to Friday, eight in the morning until six in the evening.",
    "A check up costs sixty pounds, and the first visit of a child is free of charge.",
    "I can book that for you. Which day of the week would suit you best?",
    "You will find us at twelve Mill Lane, next to the old post office.",
)
CALLER_LINES = (
    ("en-us", "What are your opening hours on Tuesday?"),
    ("en-us", "I would like to book an appointment please."),
    ("en-us", "Hold on, wait a moment, I need something else."),
    ("en-us", "No, thank you, that is all I wanted."),
    ("en-gb+f2", "My number is five five five, one two three four."),
    ("en-us+m3", "Can I speak to a real person?"),
    ("en-us+f4", "Stop, stop, I have a question about the price."),
    ("en-gb", "Actually the other address, please."),
)
"""Voices and texts; the first four speak with the agent's own voice."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Both directions of one line at 8 kHz, from the same moment on."""

    played: bytes
    """What the agent says, as it begins to be heard."""
    heard: bytes
    """What comes in."""
    caller_from_ms: float
    """When the caller begins to speak; infinite where he does not."""
    echo_from_ms: float
    """When the echo, without its noise, comes within 25 dB of its loudest; infinite where there is none."""


def scene(number: int, *, echo: bool, caller: bool) -> Scene:
    """The agent speaks; its echo, a caller, or both are heard. Each number has other voices and levels.

    Echoes come after 20 to 800 ms, 6 to 35 dB softer, from rooms without a tail to 250 ms, in noise 10 to
    25 dB below. A caller over an echo is 3 to 12 dB louder than it.
    """
    random = np.random.default_rng(number)
    said = speech(AGENT_LINES[number % 5], voice=("en-us", "en-us", "en-gb+f2")[number % 3])
    gain_db = random.uniform(-30, -12) if caller else random.uniform(-35, -6)
    loudest = SPEECH_DBFS + gain_db if echo else -100.0
    parts: list[bytes] = []
    echo_from_ms = np.inf
    if echo:
        parts.append(
            echoed(
                said,
                random.uniform(20, 800),
                gain_db,
                reverb_ms=float(random.choice([0, 100, 250])),
                band_hz=(300, float(random.choice([2600, 3400]))),
                seed=number,
            )
        )
        echo_from_ms = _sounding_from_ms(parts[0])
    caller_from_ms = np.inf
    if caller:
        voice, line = CALLER_LINES[number % 8]
        level = max(random.uniform(-34, -16), loudest + random.uniform(3, 12))
        caller_from_ms = random.uniform(600, 2000)
        parts.append(silence(caller_from_ms) + at_level(speech(line, voice=voice), level))
        loudest = level
    length_ms = max(len(part) for part in parts) / 16
    parts.append(noise("comfort", length_ms, max(loudest - random.uniform(10, 25), -75.0), seed=number))
    return Scene(said, mu_law(mixed(*parts)), caller_from_ms, echo_from_ms)


def _sounding_from_ms(pcm: bytes) -> float:
    powers = _frame_powers(samples(pcm), 160)
    return float(np.flatnonzero(powers > powers.max() * 10**-2.5)[0] * 20)
