"""Short speech for bulk callers, without a synthesiser."""

from base64 import b64encode

from agent.audio.formats import PCMU_8K
from loadtest.bulk.speech import CallerSpeech, said
from loadtest.callers.codec import codec_for
from tests.loadtest.fakes import tone

QUIET = b64encode(PCMU_8K.silence(160))
LOUD = codec_for(PCMU_8K).encode(tone(100))
"""The agent's: 100 ms."""


def speech() -> CallerSpeech:
    """Sentences of 100 and 60 ms, an interruption of 80, a cough of 40."""
    sentences = said("one", tone(100)), said("two", tone(60))
    return CallerSpeech(sentences, said("stop", tone(80)), (QUIET,), cough=said("cough", tone(40)))
