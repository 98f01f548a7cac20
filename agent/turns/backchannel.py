"""Sounds and short words by which a listener says "go on": they are no turn and take the floor from nobody.

The lists hold what native speakers say while they listen; where a word is also an answer ("yeah", "oui"),
only the caller of `is_backchannel` knows whether a question was open.
"""

import re
import unicodedata

_UNIVERSAL = "ah aha ahh hm hmm mhm mm oh okay ok uh um er"
"""Sounds, and the one word that is understood everywhere."""
_SOUND = re.compile(r"m+h+m+|h*m{2,}|hm+|m+hu+|u+h+u+h+|a+h+a*|o+h+|u+h+|u+m+|e+r*m+|uhu+m*|aham|aja")
"""Spellings of the same sounds that recognisers invent: "mmhmm", "mmm", "uhhuh", "ahh"."""

_PHRASES = {
    "en": """
        yeah, yes, yep, yup, ya, right, sure, i see, got it, gotcha, i got it, i know, alright, all
        right, good, great, fine, cool, nice, true, exactly, of course, makes sense, that makes
        sense, understood, i understand, fair enough, really, oh really, indeed, absolutely,
        definitely, very good, perfect, uh huh, mm hm, m hm, i hear you, go on, go ahead
    """,
    "es": """
        si, vale, claro, claro que si, ya, ya veo, aja, de acuerdo, entiendo, entendido, ya
        entiendo, bien, muy bien, bueno, perfecto, exacto, eso es, asi es, correcto, cierto, por
        supuesto, sigue, siga
    """,
    "fr": """
        oui, ouais, d accord, bien, tres bien, je vois, je comprends, compris, j ai compris, ah bon,
        voila, c est ca, tout a fait, exactement, exact, bien sur, entendu, ca marche, parfait, ah
        oui, mouais
    """,
    "de": """
        ja, jaja, jo, genau, gut, sehr gut, na gut, aha, verstehe, ich verstehe, verstanden, alles
        klar, klar, stimmt, richtig, ach so, achso, ach ja, natuerlich, naturlich, in ordnung, so
        ist es, eben, perfekt, jawohl
    """,
    "it": """
        si, certo, capito, ho capito, capisco, va bene, bene, esatto, esattamente, giusto, d
        accordo, perfetto, gia, ah si, appunto, chiaro, benissimo, vabbe
    """,
    "pt": """
        sim, ta, ta bom, ta bem, ta certo, esta bem, esta bom, certo, entendi, entendo, percebi,
        percebo, claro, exato, exatamente, pois, pois e, pois sim, isso, e isso, beleza, perfeito,
        muito bem, bom, bem, com certeza, uhum
    """,
    "nl": """
        ja, jaja, goed, heel goed, precies, klopt, dat klopt, begrijp ik, ik begrijp het, begrepen,
        prima, snap ik, ik snap het, duidelijk, juist, inderdaad, oke, tuurlijk, natuurlijk, ach zo,
        perfect, mooi
    """,
    "zh": """
        嗯, 恩, 哦, 噢, 喔, 啊, 呀, 诶, 欸, 好, 好的, 好吧, 好啊, 好呀, 对, 對, 对的,
        對的, 对啊, 對啊, 是, 是的, 是啊, 是吗, 是嗎, 行, 可以, 明白, 明白了, 知道, 知道了,
        我知道, 我知道了, 了解, 懂了, 没错, 沒錯, 这样, 這樣, 原来如此, 原來如此, 当然, 當然,
        我明白, 我明白了, 係, 系, 係呀, 係啊, 啱, 冇錯, 收到, 得, 得啦, 好啦, 明, 明嘅, 知,
        知喇, 我知, 我明, 哦哦, 原來係咁, 咁呀
    """,
}
"""By primary language subtag, in the form that `_words` leaves: lower case, no accents, no punctuation.
Cantonese speakers are transcribed with both characters' sets, so `yue` shares the list of `zh`."""

_UNSPACED = re.compile(r"[\u3400-\u9fff]")
_SAME_AS = {"yue": "zh", "cmn": "zh"}


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(_words(phrase)) for phrase in text.split(","))


def _words(text: str) -> list[str]:
    """Words in lower case without accents; each character by itself in Chinese."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = _UNSPACED.sub(r" \g<0> ", plain)
    return re.findall(r"[^\W_]+", plain)


_SOUNDS = frozenset((word,) for word in _UNIVERSAL.split())
_BY_LANGUAGE = {language: _SOUNDS | _phrases(text) for language, text in _PHRASES.items()}
_LONGEST = max(len(phrase) for phrases in _BY_LANGUAGE.values() for phrase in phrases)
_MAX_WORDS = 8
"""Whoever says more than this has something to say, even if it is all "yes yes yes"."""


def is_backchannel(text: str, language: str) -> bool:
    """True if `text` is nothing but listening noises and words in `language` (BCP 47), also several of them.

    "Mhm", "yeah okay", "I see, right" are; "yeah but what about", "okay stop", "no", "wait" are not, and
    neither is an empty text. In a language without a list only sounds and "okay" count.

    When a yes/no question has just been asked, "yeah" is an answer: this function cannot know, so whoever
    knows the question must not ask here.
    """
    primary = language.replace("_", "-").split("-")[0].casefold()
    known = _BY_LANGUAGE.get(_SAME_AS.get(primary, primary), _SOUNDS)
    words = _words(text)
    if not words or len(words) > _MAX_WORDS:
        return False
    # reached[n]: the first n words can be cut into known phrases.
    reached = [True] + [False] * len(words)
    for end in range(1, len(words) + 1):
        for begin in range(max(0, end - _LONGEST), end):
            phrase = tuple(words[begin:end])
            if reached[begin] and (phrase in known or (len(phrase) == 1 and _SOUND.fullmatch(phrase[0]))):
                reached[end] = True
                break
    return reached[-1]
