"""TeXML answers, read as Telnyx would."""

import pytest

from agent.audio.formats import G722_16K, PCMA_8K, AudioFormat, linear
from loadtest.callers.markup import Connect, Rejection, read_markup
from transports.telnyx import texml


@pytest.mark.parametrize(
    ("audio", "attributes"),
    [
        (PCMA_8K, {"bidirectionalCodec": "PCMA", "codec": "PCMA"}),
        (G722_16K, {"bidirectionalCodec": "G722", "codec": "G722"}),
        (
            linear(16000),
            {"bidirectionalCodec": "L16", "codec": "default", "bidirectionalSamplingRate": "16000"},
        ),
    ],
)
def test_the_stream_is_bidirectional_rtp(audio: AudioFormat, attributes: dict[str, str]) -> None:
    url = 'wss://voice.example.test/telnyx/media?a="1"&b=<2>'
    answer = read_markup(texml.connect_stream(url, audio, 's"<&>').encode())
    assert isinstance(answer, Connect)
    assert answer.noun == "Stream"
    assert answer.attributes == {"url": url, "bidirectionalMode": "rtp", **attributes}
    assert answer.parameters == {"ticket": 's"<&>'}


def test_refusal_and_acknowledgement() -> None:
    assert read_markup(texml.reject_busy().encode()) == Rejection("busy")
    assert "<Response/>" in texml.nothing()
