"""pocketsphinx decoders, made ready for an agent's sentences and lent to one utterance at a time."""

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pocketsphinx import Config, Decoder, NGramModel

from providers.embedded.front_end import MODEL_HZ, TELEPHONE_MLLR
from providers.embedded.pronounce import Dictionary, Espeak
from providers.embedded.trigram import arpa
from providers.embedded.vocabulary import sentences

MAX_DECODERS = 8
"""Utterances decoded at once, for each kind of line. More wait, and catch up at 30 times real time."""
MAX_GRAMMARS = 16
"""Sets of phrases remembered by each decoder; the oldest goes."""

# Wider than the stock beams (1e-48, 7e-29, 1e-48): with a few hundred words it costs 5 % and saves 2 % of the
# sentences. Phone look-ahead prunes too early for the same reason.
_BEAMS = {"beam": 1e-60, "wbeam": 1e-40, "pbeam": 1e-60}
_NOISE = 0.05
"""Likelihood of noise between words (`fillprob`). With the stock 1e-8 every cough is a word; with this none
of six synthetic ones, and as much speech is understood."""
_MEAN = {
    8_000: "54.39,1.61,-9.94,17.27,-6.95,-4.85,-1.39,-18.14,-3.80,-4.96,1.14,2.83,-10.72",
    16_000: "55.71,-3.10,-4.38,13.92,-6.67,-2.48,-4.94,-15.46,-4.72,-6.59,5.15,-1.73,-7.16",
}
"""Cepstral mean of speech that `providers.embedded.front_end` has prepared, by the line's rate. The decoder
starts every utterance from it; carried over from one to the next it depends on what was said before."""
_ENGLISH = "en"
_ESPEAK = {"en": ("en",), "es": ("es", "es-419")}
"""espeak-ng's voices to ask for further pronunciations; of other languages the voice of that name."""
_MARK = "~"
"""Keeps a word of another language apart from an English one that is written alike."""
_MARKED = re.compile(rf"{_MARK}\w+")


class PreparedDecoder:
    """A decoder with its grammars and pronunciations."""

    def __init__(self, rate_hz: int, dictionary: Dictionary, espeak: Espeak) -> None:
        self._dictionary = dictionary
        self._espeak = espeak
        self.mean = _MEAN[rate_hz]
        mllr = {"mllr": str(TELEPHONE_MLLR)} if rate_hz == 8_000 else {}
        self.decoder = Decoder(
            Config(
                samprate=MODEL_HZ,
                lm=None,
                # It learns the few hundred words of its grammars. A grammar costs as much as there are words
                # known: with all 134,000 of the stock dictionary that is more than a second.
                dict=None,
                cmn="live",
                cmninit=self.mean,
                loglevel="FATAL",
                fillprob=_NOISE,
                **_BEAMS,
                **mllr,
            )
        )
        self._grammars: dict[tuple[str, tuple[str, ...]], str] = {}
        self._made = 0

    def choose(self, language: str, phrases: tuple[str, ...]) -> None:
        """Expect callers who say `phrases` and the like, in `language` (primary subtag)."""
        key = (language, phrases)
        name = self._grammars.pop(key, None)
        if name is None:
            name = f"grammar {self._made}"
            self._made += 1
            self._add(name, language, phrases)
            if len(self._grammars) >= MAX_GRAMMARS:
                self.decoder.remove_search(self._grammars.pop(next(iter(self._grammars))))
        self._grammars[key] = name
        self.decoder.activate_search(name)

    def result(self) -> tuple[str, float]:
        """Words of the utterance so far (or just ended), and confidence from 0 to 1.

        The confidence is the share of words that follow those before as a sentence that was expected does
        (without back-off). Posteriors of the lattice do not tell strangers' sentences from known ones.
        """
        hypothesis = self.decoder.hyp()
        if not hypothesis or not hypothesis.hypstr:
            return "", 0.0
        orders = [
            segment.lback for segment in self.decoder.seg() or () if not segment.word.startswith(("<", "["))
        ]
        expected = sum(order >= min(place + 2, 3) for place, order in enumerate(orders))
        return _MARKED.sub("", hypothesis.hypstr), expected / len(orders) if orders else 0.0

    def _add(self, name: str, language: str, phrases: tuple[str, ...]) -> None:
        expected = list(sentences(phrases, language))
        written = {word: word for _, words in expected for word in words}
        if language != _ENGLISH:
            written = {word: f"{word}{_MARK}{language}" for word in written}
        printed = self._dictionary.phones(written) if language == _ENGLISH else {}
        said = {
            word
            for word, mark in written.items()
            if self._pronounce(mark, [*printed.get(word, ()), *self._by_ear(word, language)])
        }
        known = [
            (weight, tuple(written[word] for word in words))
            for weight, words in expected
            if said.issuperset(words)
        ]
        # The bindings read a language model from a file only.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "calls.arpa"
            path.write_text(arpa(known), encoding="utf-8")
            model = NGramModel(self.decoder.config, self.decoder.logmath, str(path))
        self.decoder.add_lm(name, model)

    def _by_ear(self, word: str, language: str) -> Iterable[str]:
        """How espeak-ng says `word`."""
        said = [self._espeak.phones(word, voice) for voice in _ESPEAK.get(language, (language,))]
        return filter(None, said)

    def _pronounce(self, mark: str, ways: Iterable[str]) -> bool:
        """Teach the decoder the word that is written `mark`. False if nobody knows how it sounds."""
        sounds = list(self._known(mark))
        for phones in ways:
            if phones not in sounds:
                self.decoder.add_word(f"{mark}({len(sounds) + 1})" if sounds else mark, phones, False)
                sounds.append(phones)
        return bool(sounds)

    def _known(self, mark: str) -> Iterable[str]:
        alternative = mark
        count = 1
        while (phones := self.decoder.lookup_word(alternative)) is not None:
            yield phones
            count += 1
            alternative = f"{mark}({count})"


class Decoders:
    """Lends decoders to utterances."""

    def __init__(self) -> None:
        self._dictionary = Dictionary()
        self._espeak = Espeak()
        self._idle: dict[int, list[PreparedDecoder]] = {8_000: [], 16_000: []}
        self._made = {8_000: 0, 16_000: 0}

    def borrow(self, rate_hz: int, language: str, phrases: tuple[str, ...]) -> PreparedDecoder | None:
        """A decoder for a line of 8,000 or 16,000 Hz; None while all are out."""
        idle = self._idle[rate_hz]
        if idle:
            decoder = idle.pop()
        elif self._made[rate_hz] < MAX_DECODERS:
            self._made[rate_hz] += 1
            decoder = PreparedDecoder(rate_hz, self._dictionary, self._espeak)
        else:
            return None
        decoder.choose(language, phrases)
        return decoder

    def give_back(self, rate_hz: int, decoder: PreparedDecoder) -> None:
        """The utterance is over."""
        self._idle[rate_hz].append(decoder)
