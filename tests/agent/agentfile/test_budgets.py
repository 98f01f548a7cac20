"""Latency budgets in an agent file: what may be written, and what each mistake is answered with."""

import pytest

from agent.agentfile import parse_agent
from agent.agentfile.schema import Budgets
from tests.agent.agentfile.test_load import BASE, TWO_LANGUAGES, problems

CHAINS = "providers: {stt: [embedded, embedded], llm: [embedded, embedded], tts: [embedded, embedded]}\n"
KNOWLEDGE = "knowledge: [{id: hours, ask: [when are you open], answer: From eight to six.}]\n"


def budgets(text: str, more: str = "", base: str = BASE) -> Budgets:
    return parse_agent(f"{base}{more}budgets:\n{text}", "a.yaml").budgets


def test_there_are_none_unless_the_file_says_so() -> None:
    assert parse_agent(BASE, "a.yaml").budgets == Budgets()
    assert Budgets().all() == {}


def test_a_number_alone_is_counted_and_no_more() -> None:
    found = budgets("  llm_first_token: 600\n  response: {ms: 1500, action: filler}\n")
    assert {stage: (each.ms, each.action) for stage, each in found.all().items()} == {
        "llm_first_token": (600, "none"),
        "response": (1500, "filler"),
    }


def test_every_stage_has_actions() -> None:
    found = budgets(
        "  stt_final: {ms: 300, action: next_provider}\n"
        "  llm_first_token: {ms: 600, action: cached_reply}\n"
        "  tts_first_audio: {ms: 300, action: next_provider}\n",
        CHAINS + KNOWLEDGE,
    )
    assert [each.action for each in found.all().values()] == [
        "next_provider",
        "cached_reply",
        "next_provider",
    ]


def test_the_smaller_model_may_be_a_plain_name() -> None:
    found = budgets("  llm_first_token: {ms: 600, action: smaller_model}\n  smaller_model: embedded\n")
    assert found.smaller_model is not None
    assert found.smaller_model.provider == "embedded"


def test_fillers_have_defaults_in_the_agents_languages() -> None:
    found = budgets("  response: 900\n  fillers: [Hm.]\n", base=TWO_LANGUAGES)
    assert found.fillers["en"] == ["Hm."]
    assert found.fillers["es"][0] == "Un momento, por favor."


LLM = "  llm_first_token: {ms: 600, action: ACTION}\n"


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("  response: 5", "6: budgets.response.ms", "5 is not allowed; allowed: 20 or more"),
        ("  response: {action: filler}", "6: budgets.response.ms", "is missing; needed here: ms"),
        ("  llm: 600", "6: budgets.llm", "is not a key here"),
        (
            "  tts_first_audio: {ms: 300, action: filler}",
            "6: budgets.tts_first_audio.action",
            "'filler' is not allowed; allowed: none or next_provider",
        ),
        ("  stt_final: soon", "6: budgets.stt_final", "expected keys: action, ms, not 'soon'"),
        (
            "  stt_final: 800",
            "6: budgets.stt_final.ms",
            "800 is not allowed; allowed: less than limits.stt_final_ms (800), which ends the wait",
        ),
        (
            "  stt_final: {ms: 300, action: next_provider}",
            "6: budgets.stt_final.action",
            "next_provider needs a second one in providers.stt",
        ),
        (
            "  response: 900\n" + LLM.replace("ACTION", "smaller_model"),
            "7: budgets.llm_first_token.action",
            "smaller_model needs budgets.smaller_model",
        ),
        (
            "  smaller_model: embedded",
            "6: budgets.smaller_model",
            "is not used; llm_first_token needs action: smaller_model",
        ),
        (
            LLM.replace("ACTION", "smaller_model") + "  smaller_model: tiny",
            "7: budgets.smaller_model.provider",
            "'tiny' is not installed; allowed: ",
        ),
        (
            LLM.replace("ACTION", "cached_reply"),
            "6: budgets.llm_first_token.action",
            "cached_reply needs knowledge to answer from",
        ),
        (
            "  response: 900\n  fillers: [One moment]",
            "7: budgets.fillers.en.0",
            "'One moment' is no whole sentence; it needs words, and . ! ? or … at its end",
        ),
        (
            "  fillers: {fr: [Un instant.]}",
            "6: budgets.fillers.fr",
            "is not among languages; allowed: en",
        ),
        (
            "  response: {ms: 900, action: filler}\n  fillers: []",
            "7: budgets.fillers",
            "has no phrase in en; every declared language needs one",
        ),
    ],
)
def test_mistakes_tell_line_field_and_what_is_allowed(text: str, place: str, what: str) -> None:
    found = problems(f"{BASE}budgets:\n{text}\n")
    assert len(found) == 1
    assert found[0].startswith(f"a.yaml:{place}: {what}"), found[0]


def test_a_language_without_fillers_of_its_own_needs_some_once_they_are_spoken() -> None:
    nynorsk = BASE.replace("[en]", "[nn]") + (
        "phrases: {reprompt: a, silence_goodbye: a, time_goodbye: a, apology: a, not_understood: a, "
        "transferring: a, goodbye: a}\nunknown: a\nbudgets:\n"
    )
    assert parse_agent(f"{nynorsk}  response: 900\n", "a.yaml").budgets.fillers == {}
    found = problems(f"{nynorsk}  response: {{ms: 900, action: filler}}\n")
    assert found == ["a.yaml:7: budgets.fillers: has no phrase in nn; every declared language needs one"]
