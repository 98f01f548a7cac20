"""What leaves the floor to the agent, and what takes it."""

import pytest

from agent.turns.backchannel import is_backchannel


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en-US", "Mhm."), ("en", "mm-hmm"), ("en", "Mmmm"), ("en", "Uh-huh"), ("en", "uhhuh"), ("en", "ah"),
        ("en", "Yeah."), ("en-GB", "Yeah, okay."), ("en", "Right, right."), ("en", "I see"),
        ("en", "Got it!"),
        ("en", "okay got it, yeah"), ("en", "um"), ("en_US", "all right"),
        ("es-MX", "Sí, claro."), ("es", "vale vale"), ("es", "de acuerdo"),
        ("fr-FR", "D'accord."), ("fr", "D’accord, très bien"), ("fr", "ouais ouais"),
        ("de-DE", "Ach so, ja, genau."), ("de", "natürlich"), ("de", "mhm okay"),
        ("it", "ho capito"), ("it", "Sì, va bene."), ("pt-BR", "tá bom"), ("pt", "entendi"),
        ("nl", "Oké, prima."), ("nl", "ik snap het"),
        ("zh-CN", "嗯嗯"), ("zh", "好的好的"), ("zh", "对,明白了。"), ("yue", "係呀"), ("zh-HK", "冇錯"),
    ],
)  # fmt: skip
def test_listening_noises_are_backchannels(language: str, text: str) -> None:
    assert is_backchannel(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", ""), ("en", "..."), ("en", "No."), ("en", "stop"), ("en", "Wait."), ("en", "okay stop"),
        ("en", "yeah but what about"), ("en", "hello?"), ("en", "um I"), ("en", "I"), ("en", "see"),
        ("en", "yes no"), ("en", "okay okay tuesday"), ("en", "yes yes yes yes yes yes yes yes yes"),
        ("es", "no"), ("es", "espera"), ("es", "vale pero"), ("fr", "non"), ("fr", "attendez"),
        ("de", "nein"), ("de", "ja aber"), ("it", "no"), ("it", "aspetti"), ("pt", "não"), ("nl", "nee"),
        ("nl", "ja maar"), ("zh", "不是"), ("zh", "等一下"), ("yue", "唔係"), ("zh", "不好"),
    ],
)  # fmt: skip
def test_words_take_the_floor(language: str, text: str) -> None:
    assert not is_backchannel(text, language)


def test_in_an_unknown_language_only_sounds_count() -> None:
    assert is_backchannel("Mhm, okay.", "xx-YY")
    assert not is_backchannel("yeah", "xx-YY")


def test_words_of_another_language_do_not_count() -> None:
    assert not is_backchannel("vale", "en")
    assert not is_backchannel("genau", "fr")
