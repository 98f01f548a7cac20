"""What callers are likely to say, for recognition and endpointing."""

from agent.agentfile import caller_phrases, load_agent, parse_agent
from agent.agentfile.expected import SMALL_TALK

AGENT = """name: Shop
languages: [en, es-MX]
greeting: {en: Hello., es-MX: Hola.}
instructions: Be kind.
knowledge:
  - {id: hours, ask: {en: ["When are you OPEN?", what's new, when are you open], es-MX: [cuándo abren]},
     answer: {en: Now., es-MX: Ya.}}
dialogues:
  - id: order
    start: {en: [i want to order], es-MX: [quiero pedir]}
    slots:
      - {name: what, kind: choice, ask: {en: 'What?', es-MX: '¿Qué?'},
         choices: {en: [a cake], es-MX: [pastel]}}
    confirm: {en: 'Right?', es-MX: '¿Sí?'}
    done: {en: Done., es-MX: Hecho.}
    cancelled: {en: All right., es-MX: Vale.}
tools:
  - {kind: end_call, ask: [i am done]}
  - {kind: transfer_call, targets: {desk: "sip:desk@example.com"}, ask: {en: [a person please]}}
  - {kind: webhook, name: look, description: Looks., url: "http://127.0.0.1/"}
"""


def test_all_parts_of_the_file_contribute_in_plain_words() -> None:
    phrases = caller_phrases(parse_agent(AGENT, "a.yaml"), "en")
    assert phrases[:6] == (
        "when are you open", "what's new", "i want to order", "a cake", "i am done", "a person please",
    )  # fmt: skip
    assert set(SMALL_TALK["en"]) <= set(phrases)


def test_languages_stay_apart() -> None:
    phrases = caller_phrases(parse_agent(AGENT, "a.yaml"), "es-MX")
    assert phrases[:3] == ("cuándo abren", "quiero pedir", "pastel")
    assert "hola" in phrases
    assert "hello" not in phrases


def test_nothing_stands_twice_and_all_is_lower_case_words() -> None:
    agent = load_agent()
    for language in agent.languages:
        phrases = caller_phrases(agent, language)
        assert len(set(phrases)) == len(phrases) > 60
        for phrase in phrases:
            assert phrase == phrase.casefold()
            assert phrase.replace(" ", "").replace("'", "").isalnum()


def test_a_language_without_small_talk_has_the_files_phrases_alone() -> None:
    text = "name: A\nlanguages: [fr]\ngreeting: Bonjour.\ninstructions: B\n"
    text += "knowledge:\n  - {id: a, ask: [êtes-vous ouverts], answer: Oui.}\n"
    assert caller_phrases(parse_agent(text, "a.yaml"), "fr") == ("êtes vous ouverts",)
