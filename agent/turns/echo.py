"""Is what we hear our own voice coming back?

The telephone network has no client of ours that could cancel echo: a caller on a loudspeaker, or a line with
a poor hybrid, sends the agent's voice back, and an agent that takes it for the caller interrupts itself.

By sound
--------
`EchoGuard` remembers what was played and when it began to be heard, and the last moments of what came in.
Only when a barge-in is in question are the two compared: the normalised cross-correlation of the sound heard
(from where it began, 400 ms at most) with all that was played within `MAX_DELAY_MS` before. An echo is a
softer, later, duller copy, so one delay explains most of its energy; somebody else's voice is explained by
none. Three things make that reliable on a tenth of a second:

* both sides are limited to the telephone band and tilted up by 3 dB per octave, or else the few strong low
  harmonics, which any two voices of one pitch share, would decide;
* an echo is no louder than what was played: softer passages of our own speech are no candidates;
* where more than `RECENT_MS` is judged, the end of it must fit at the same delay too, so that a caller who
  talks over an echo is heard as soon as he is louder than it.

A hundred milliseconds can be a single vowel. Then a score in between gets the answer None ("cannot tell
yet"): keep the barge-in pending and ask again with each frame, for `HOLD_MS` at most, then let it through.
The guard counts sound, not time: where a soft beginning is followed by something louder it counts from there,
so None may last a little longer by itself. While nothing of ours can be heard, the answer is no at once and
costs nothing.

Figures (`python -m bench.hearing`; synthetic rooms and lines, real espeak-ng speech, mu-law) are given with
the thresholds below.

By text
-------
`is_echo_text` catches what the sound missed, as soon as there are words: a run of words that the agent has
just said, in its order.
"""

import re
from collections import deque
from difflib import Match, SequenceMatcher, get_close_matches
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.audio.codec import Decoder
from agent.audio.formats import FRAME_MS

MAX_DELAY_MS = 1_000
"""Longest echo looked for. Loudspeaker phones on mobile networks come back after 200 to 500 ms, satellite
and voice-over-IP chains after up to 800; `played` times are estimates and may be early."""
EARLY_MS = 100
"""How much earlier than estimated an echo may come: the platform's buffer was shorter than assumed."""
HEARD_MS = 400
"""Longest stretch that is judged."""
SHORTEST_MS = 60
"""Less than this is never judged."""
DECIDED_MS = 160
"""From this much sound on the answer is yes or no; before, it may be None."""
HOLD_MS = 60
"""How long the turn logic may keep a barge-in pending on None: what 100 ms of voice lack to `DECIDED_MS`."""
RECENT_MS = 120
"""The end of a longer sound, which has to fit by itself."""
SURE_SCORE = 0.7
"""Before `DECIDED_MS`: an echo from here on."""
UNSURE_SCORE = 0.4
"""Before `DECIDED_MS`: no echo below this. Most callers are there after 100 ms, hardly any echo is."""
ECHO_SCORE = 0.5
"""From `DECIDED_MS` on: an echo from here on. Of 120 scenes of each kind (6 to 35 dB down, 20 to 800 ms late,
rooms to 250 ms, half of the callers with the agent's own synthetic voice), yes / no / cannot tell in %:

    sound        echo alone    caller alone    caller over an echo
    100 ms       97 /  2 / 1   1 / 87 / 12      5 / 87 / 8
    160 ms      100 /  0 / 0   1 / 97 /  2      2 / 96 / 2
    200 ms       99 /  1 / 0   2 / 98 /  0      2 / 98 / 0
"""
MAX_ECHO_GAIN_DB = 0.0
"""An echo comes back no louder than it went out (ITU-T G.168 assumes 6 dB of loss at least)."""
KEPT_MS = 2_000
"""What was played longer ago than this is forgotten: 1,500 ms are looked at, the rest is slack."""

_RATE_HZ = 8_000
_SPAN_MS = HEARD_MS + MAX_DELAY_MS + EARLY_MS
_SIZE = _SPAN_MS * _RATE_HZ // 1000
_HEARD_SIZE = HEARD_MS * _RATE_HZ // 1000
_BAND_HZ = (300.0, 3_400.0)
_MAX_CHUNKS = 1_024
"""20 s in frames of 20 ms: more is never on its way."""
_MAX_AHEAD_MS = 10_000
"""With nothing heard that tells the time, what was played this long before the newest is forgotten."""
_ACTIVE_DB = 12.0
"""Frames this far below the loudest are not part of the sound that is judged: line noise, a soft echo under a
caller."""
_SOFTEST_PLAYED = 0.01
"""Passages of ours 20 dB below the loudest are too soft to be the source of anything heard."""

Samples = npt.NDArray[np.float32]
Bins = npt.NDArray[np.complex64]


def _weights(size: int) -> Samples:
    """The filter for a spectrum of `size` samples at 8 kHz: telephone band, 3 dB per octave upwards."""
    hertz = np.fft.rfftfreq(size, 1 / _RATE_HZ)
    inside = (hertz > _BAND_HZ[0]) & (hertz < _BAND_HZ[1])
    return np.where(inside, np.sqrt(hertz / _BAND_HZ[0]), 0.0).astype(np.float32)


_SPAN_WEIGHTS = _weights(_SIZE)
_HEARD_WEIGHTS = _weights(_HEARD_SIZE)


class _Chunk(NamedTuple):
    begin_ms: float
    end_ms: float
    audio: bytes
    decoder: Decoder | None


class EchoGuard:
    """Compares what one caller's line brings in with what was played to it.

    All times are on one clock, in milliseconds. Audio is PCM16 at `rate_hz`, a multiple of 8,000; raises
    `ValueError` for another rate. `played`, `heard` and `cleared` only keep references.
    """

    __slots__ = ("_heard", "_played", "_rate_hz")

    def __init__(self, rate_hz: int = 8000) -> None:
        if rate_hz <= 0 or rate_hz % _RATE_HZ:
            raise ValueError(f"rate_hz is {rate_hz}: use a multiple of {_RATE_HZ}, or resample")
        self._rate_hz = rate_hz
        self._played: deque[_Chunk] = deque(maxlen=_MAX_CHUNKS)
        self._heard: deque[tuple[float, bytes]] = deque(maxlen=HEARD_MS // FRAME_MS)

    def played(self, audio: bytes, at_ms: float, decoder: Decoder | None = None) -> None:
        """`audio` was handed out and will begin to be heard by the caller at `at_ms` (best estimate).

        In order of time. The end of one chunk may lie a little beyond the start of the next. PCM16; or, with
        a `decoder`, G.711, which is kept as it is (half the memory) and decoded only when it is compared.
        """
        end_ms = at_ms + len(audio) * (500 if decoder is None else 1000) / self._rate_hz
        self._played.append(_Chunk(at_ms, end_ms, audio, decoder))
        self._forget(end_ms - KEPT_MS - _MAX_AHEAD_MS)

    def cleared(self, at_ms: float) -> None:
        """What was to be heard after `at_ms` never was."""
        while self._played and self._played[-1].begin_ms >= at_ms:
            self._played.pop()
        if self._played and self._played[-1].end_ms > at_ms:
            begin_ms, _, audio, decoder = self._played.pop()
            samples = int((at_ms - begin_ms) * self._rate_hz / 1000)
            kept = audio[: samples if decoder is not None else 2 * samples]
            self._played.append(_Chunk(begin_ms, at_ms, kept, decoder))

    def heard(self, pcm_frame: bytes, at_ms: float) -> None:
        """20 ms from the caller; `at_ms` is when its last sample came in."""
        if self._played:
            self._heard.append((at_ms, pcm_frame))
            self._forget(at_ms - KEPT_MS)

    def is_echo(self, now_ms: float) -> bool | None:
        """True: what is heard now is our own voice. False: it is not. None: ask again with the next frame.

        None is only answered while less than `DECIDED_MS` of sound has been heard and our own voice may be in
        it. After `HOLD_MS` of None, take it for a no. Costs what `echo_score` costs.
        """
        score, sound_ms = self._judge(now_ms)
        if sound_ms >= DECIDED_MS:
            return score >= ECHO_SCORE
        if score >= SURE_SCORE:
            return True
        return None if score >= UNSURE_SCORE else False

    def echo_score(self, now_ms: float) -> float:
        """0 to 1: how much of what is heard now is a copy of what was played. About 0.4 ms of CPU."""
        return self._judge(now_ms)[0]

    def _forget(self, before_ms: float) -> None:
        played = self._played
        while played and played[0].end_ms < before_ms:
            played.popleft()

    def _judge(self, now_ms: float) -> tuple[float, float]:
        """The score, and how many milliseconds of sound it was made from."""
        frames = [frame for at_ms, frame in self._heard if at_ms > now_ms - HEARD_MS]
        if not frames or not self._played:
            return 0.0, 0.0
        end_ms = self._heard[-1][0]
        begin_ms = end_ms - HEARD_MS - MAX_DELAY_MS
        spoken = self._timeline(begin_ms)
        if spoken is None:
            return 0.0, 0.0
        reference_bins = self._filtered(spoken, _SPAN_WEIGHTS)
        sound = self._sound(frames)
        if len(sound) * 1000 < SHORTEST_MS * _RATE_HZ:
            return 0.0, 0.0
        reference = _floats(np.fft.irfft(reference_bins, _SIZE))
        products = _floats(np.fft.irfft(np.conj(np.fft.rfft(sound, _SIZE)) * reference_bins, _SIZE))
        return _fit(sound, reference, products), len(sound) * 1000 / _RATE_HZ

    def _timeline(self, begin_ms: float) -> Samples | None:
        """What was played from `begin_ms` on, `_SPAN_MS` of it; None if that was nothing."""
        per_ms = self._rate_hz / 1000
        line = np.zeros(int(_SPAN_MS * per_ms), np.float32)
        anything = False
        for chunk in self._played:
            if chunk.end_ms <= begin_ms or chunk.begin_ms >= begin_ms + _SPAN_MS:
                continue
            pcm = chunk.audio if chunk.decoder is None else chunk.decoder.decode(chunk.audio)
            audio = np.frombuffer(pcm, np.int16)
            at = round((chunk.begin_ms - begin_ms) * per_ms)
            if at < 0:
                audio, at = audio[-at:], 0
            audio = audio[: len(line) - at]
            line[at : at + len(audio)] = audio
            anything = anything or bool(audio.any())
        return line if anything else None

    def _filtered(self, audio: Samples, weights: Samples) -> Bins:
        """Spectrum of `audio` in the telephone band, tilted; that of 8 kHz, whatever the rate was."""
        size = (len(weights) - 1) * 2 * (self._rate_hz // _RATE_HZ)
        return np.asarray(np.fft.rfft(audio, size)[: len(weights)] * weights, np.complex64)

    def _sound(self, frames: list[bytes]) -> Samples:
        """The end of what was heard, from the first frame that belongs to the sound itself."""
        audio = np.frombuffer(b"".join(frames), np.int16).astype(np.float32)
        size = len(audio) * _RATE_HZ // self._rate_hz
        filtered = _floats(np.fft.irfft(self._filtered(audio, _HEARD_WEIGHTS), _HEARD_SIZE)[:size])
        frame = _RATE_HZ * FRAME_MS // 1000
        powers = np.square(filtered[: size // frame * frame]).reshape(-1, frame).sum(axis=1)
        loud = np.flatnonzero(powers > powers.max(initial=0.0) * 10 ** (-_ACTIVE_DB / 10))
        return filtered[int(loud[0]) * frame :] if len(loud) else filtered[:0]


def _floats(audio: npt.NDArray[np.floating]) -> Samples:
    """States what NumPy does since 2.0: single precision stays single."""
    return audio.astype(np.float32, copy=False)


def _fit(sound: Samples, reference: Samples, products: Samples) -> float:
    """The best correlation of `sound` with a stretch of `reference`, given their `products` at each place."""
    places = len(reference) - len(sound) + 1
    sums = np.concatenate(([0.0], np.cumsum(np.square(reference, dtype=np.float64))))
    energies = sums[len(sound) :] - sums[:places]
    energy = float(np.dot(sound, sound))
    softest = max(float(energies.max()) * _SOFTEST_PLAYED, energy * 10 ** (-MAX_ECHO_GAIN_DB / 10), 1e-6)
    scores = np.abs(products[:places]) / np.sqrt(energy * np.maximum(energies, softest))
    place = int(np.argmax(scores))
    best = min(float(scores[place]), 1.0)
    recent = RECENT_MS * _RATE_HZ // 1000
    if len(sound) < recent + recent // 2:
        return best
    tail, source = sound[-recent:], reference[place + len(sound) - recent : place + len(sound)]
    tail_energy = float(np.dot(tail, tail))
    if tail_energy * len(sound) < energy * recent:
        # The end is softer than the whole: a pause or a fading room, no caller who took over.
        return best
    fit = abs(float(np.dot(tail, source))) / np.sqrt(tail_energy * max(float(np.dot(source, source)), 1e-6))
    return min(best, float(fit))


# --- by text -------------------------------------------------------------------------------------------

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
"""A word, or one character of a script that is written without spaces."""
_MIN_RUN = 3
"""Two words in a row are an answer ("Tuesday morning"), three are hardly ever one by chance.
In Chinese and Japanese, where single characters are counted, this and `_LONG_RUN` are doubled."""
_CLOSE = 0.75
"""Spellings this much alike are one word misheard: "open"/"pen", "street"/"streets"; not "two"/"too"."""
_LONG_RUN = 6
"""From this many words in a row on, one foreign word before or among them is taken for a misheard one. Never
one after them: that is where a caller says "stop"."""
_MIN_LETTERS = 3
"""Shorter words are taken as they are: too many are alike."""
_MAX_MISHEARD = 0.4
"""Share of misheard words inside the run, per word that was understood."""
_MAX_GAP = 2
"""Words misheard in a row before a run counts as two."""
_MAX_HEARD_WORDS = 40
_MAX_SPOKEN_WORDS = 120


def is_echo_text(heard_words: str, recently_spoken: str) -> bool:
    """True if the words heard are what the agent has just said.

    `recently_spoken` is what the caller has heard of the agent within the last seconds, not the whole reply:
    the less it holds, the less can match by chance. An echo is a run of at least three words in the agent's
    own order (six characters in scripts without spaces) with next to nothing else: misheard words may stand
    within the run, but words of the caller's own before or after it make it speech ("no, on Monday to
    Friday?"). One- and two-word answers are never an echo, even where the question contained them. A caller
    who repeats three words or more of a choice, and nothing else, cannot be told from an echo by text alone:
    ask only while, or just after, the agent is heard, and not where the sound was clearly none.
    """
    spoken = _WORD.findall(recently_spoken.casefold().replace("'", ""))[-_MAX_SPOKEN_WORDS:]
    heard = _WORD.findall(heard_words.casefold().replace("'", ""))[-_MAX_HEARD_WORDS:]
    vocabulary = set(spoken)
    heard = [_as_spoken(word, vocabulary, number, len(heard)) for number, word in enumerate(heard)]
    blocks = SequenceMatcher(None, heard, spoken, autojunk=False).get_matching_blocks()[:-1]
    if not blocks:
        return False
    longest = max(range(len(blocks)), key=lambda number: blocks[number].size)
    unspaced = sum("\u3040" <= word[0] <= "\u9fff" for word in heard) * 2 > len(heard)
    scale = 2 if unspaced else 1
    if blocks[longest].size < _MIN_RUN * scale:
        return False
    first = last = longest
    while first > 0 and _adjoin(blocks[first - 1], blocks[first]):
        first -= 1
    while last < len(blocks) - 1 and _adjoin(blocks[last], blocks[last + 1]):
        last += 1
    run = blocks[first : last + 1]
    matched = sum(block.size for block in run)
    begin, end = run[0].a, run[-1].a + run[-1].size
    # A misheard word takes the place of a spoken one; a word that takes no place is the caller's own.
    between = sum(max(0, other.a - one.a - other.b + one.b) for one, other in pairwise(run))
    own = begin + between
    misheard = end - begin - matched - between
    return (
        end == len(heard)
        and own <= (1 if blocks[longest].size >= _LONG_RUN * scale else 0)
        and misheard <= matched * _MAX_MISHEARD
    )


def _as_spoken(word: str, vocabulary: set[str], number: int, count: int) -> str:
    """The spoken word that `word` is a mishearing or, at an edge, a piece of; else `word` itself."""
    if word in vocabulary or len(word) < _MIN_LETTERS:
        return word
    close = get_close_matches(word, vocabulary, n=1, cutoff=_CLOSE)
    if not close and number == count - 1:
        close = sorted(spoken for spoken in vocabulary if spoken.startswith(word))
    if not close and number == 0:
        close = sorted(spoken for spoken in vocabulary if spoken.endswith(word))
    return close[0] if close else word


def _adjoin(one: Match, other: Match) -> bool:
    """Whether two matching blocks are one run with a misheard word or two between them."""
    return other.a - one.a - one.size <= _MAX_GAP and other.b - one.b - one.size <= _MAX_GAP
