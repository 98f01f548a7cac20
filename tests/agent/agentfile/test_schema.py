"""The sections of an agent file: defaults, bounds, and that nothing changes during a call."""

import pytest
from pydantic import ValidationError

from agent.agentfile import load_agent
from agent.agentfile.schema import (
    AgentFile,
    DialogueSlot,
    EndCallTool,
    Limits,
    ProviderChoice,
    TransferCallTool,
    Turns,
    Voice,
    WebhookTool,
)


def test_an_agent_cannot_be_changed() -> None:
    agent = load_agent()
    with pytest.raises(ValidationError, match="frozen"):
        agent.name = "Other"
    with pytest.raises(ValidationError, match="frozen"):
        agent.turns.barge_in = False


def test_calls_start_in_the_first_language() -> None:
    assert load_agent().language == "en"


def test_default_manners_are_consistent() -> None:
    turns = Turns()
    assert turns.min_silence_ms <= turns.silence_ms <= turns.max_silence_ms < turns.max_turn_ms
    assert Limits().stt_final_ms < turns.reprompt_ms


@pytest.mark.parametrize("field", ["llm_first_token_ms", "tts_first_audio_ms", "stt_open_ms"])
def test_a_bound_that_no_service_can_meet_is_refused(field: str) -> None:
    assert getattr(Limits(**{field: 100}), field) == 100
    with pytest.raises(ValidationError):
        Limits(**{field: 99})


def test_waiting_for_the_final_transcript_can_be_switched_off() -> None:
    assert Limits(stt_final_ms=0).stt_final_ms == 0


@pytest.mark.parametrize("speed", [0.49, 2.01, float("nan"), float("inf")])
def test_a_voice_has_a_sane_speed(speed: float) -> None:
    with pytest.raises(ValidationError):
        Voice(speed=speed)


@pytest.mark.parametrize("name", ["end call", "", "1st", "a" * 65, "größe"])
def test_tools_have_names_that_models_take(name: str) -> None:
    with pytest.raises(ValidationError):
        EndCallTool(kind="end_call", name=name)
    with pytest.raises(ValidationError):
        TransferCallTool(kind="transfer_call", name=name, targets={"a": "+15005550006"})
    with pytest.raises(ValidationError):
        WebhookTool(kind="webhook", name=name, description="x", url="http://127.0.0.1/")


@pytest.mark.parametrize("url", ["http://", "https:///x", "ftp://x", "x", "http://a b"])
def test_a_webhook_has_an_address(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookTool(kind="webhook", name="x", description="x", url=url)


def test_a_webhook_has_effects_unless_it_says_otherwise() -> None:
    tool = WebhookTool(kind="webhook", name="x", description="x", url="http://127.0.0.1/")
    assert not tool.read_only
    assert tool.method == "POST"
    assert tool.parameters == {"type": "object", "properties": {}}


def test_a_provider_keeps_its_own_keys_as_options() -> None:
    choice = ProviderChoice.model_validate({"provider": "openai", "model": "m", "extra": {"a": 1}})
    assert choice.options == {"model": "m", "extra": {"a": 1}}


def test_other_sections_take_no_keys_of_anybodys() -> None:
    with pytest.raises(ValidationError, match="extra"):
        DialogueSlot.model_validate({"name": "a", "kind": "text", "ask": {"en": "b"}, "hint": "c"})
    with pytest.raises(ValidationError, match="extra"):
        AgentFile.model_validate({"version": 1})
