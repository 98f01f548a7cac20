"""ConversationRelay from the platform's end: order of messages, options, barge-in."""

from typing import Any

import pytest

from agent.clock import Clock
from agent.errors import WireError
from loadtest.callers.caller import Caller
from loadtest.callers.identity import CallIdentity
from loadtest.callers.relay_phone import RelayPhone
from loadtest.callers.result import CallResult
from loadtest.callers.twilio_relay import EndSession, RelayOptions, SayText, SwitchLanguage, TwilioRelayFarEnd
from loadtest.callers.utterance import Press, Say, Step, Utterance
from tests.loadtest.fakes import MemoryWire
from tests.virtual import run_virtually, virtual_clock

ALL = {
    "welcomeGreeting": "Hello, how can I help?",
    "dtmfDetection": "true",
    "partialPrompts": "true",
    "events": "speaker-events tokens-played",
}
IDENTITY = CallIdentity("CA1", "AC1", "", "VX1")


class Stage:
    """A relay call to a server that answers final prompts after 120 ms."""

    def __init__(self, **attributes: str) -> None:
        self.clock: Clock = virtual_clock()
        self.wire = MemoryWire()
        options = RelayOptions.from_attributes(attributes or ALL)
        self.phone = RelayPhone(self.wire, self.clock, TwilioRelayFarEnd(IDENTITY, {"ticket": "t"}), options)
        self.answers: list[list[dict[str, Any]]] = []
        self.log: list[tuple[float, dict[str, Any]]] = []
        self.wire.on_message = self._heard

    async def call(self, *script: Step, timeout_ms: float = 3000) -> CallResult:
        return await Caller(self.phone, via="twilio-relay", timeout_ms=timeout_ms).run(script)

    def kinds(self) -> list[str]:
        return [_kind(message) for _, message in self.log]

    def _heard(self, message: dict[str, Any]) -> None:
        self.log.append((self.clock.now_ms() - self.phone.started_ms, message))
        if message["type"] == "dtmf" or (message["type"] == "prompt" and message["last"]):
            answers = self.answers.pop(0) if self.answers else []
            self.clock.call_later(120, lambda: self.wire.push_all(answers))


def _kind(message: dict[str, Any]) -> str:
    if message["type"] == "info":
        return f"{message['name']} {message['value']}"
    if message["type"] == "prompt":
        return f"prompt {'final' if message['last'] else 'partial'}"
    return str(message["type"])


def text(token: str, *, last: bool = True, **more: Any) -> dict[str, Any]:
    return {"type": "text", "token": token, "last": last, **more}


def ask(words: str = "What are your hours?", barge_in_after_ms: float | None = None) -> Say:
    return Say(Utterance(words), barge_in_after_ms)


def test_a_call_as_the_platform_reports_it() -> None:
    async def scenario() -> tuple[Stage, CallResult]:
        stage = Stage()
        stage.answers = [[text("We open ", last=False), text("at eight.")]]
        return stage, await stage.call(ask())

    stage, result = run_virtually(scenario)
    assert stage.log[0][1]["type"] == "setup"
    assert stage.log[0][1]["customParameters"] == {"ticket": "t"}
    assert [kind for kind in stage.kinds() if kind != "prompt partial"] == [
        "setup",
        "agentSpeaking on",
        "tokensPlayed Hello, how can I help?",
        "agentSpeaking off",
        "clientSpeaking on",
        "clientSpeaking off",
        "prompt final",
        "agentSpeaking on",
        "tokensPlayed We open at eight.",
        "agentSpeaking off",
    ]
    partials = [each["voicePrompt"] for _, each in stage.log if each["type"] == "prompt" and not each["last"]]
    assert len(partials) >= 4
    assert all("What are your hours?".startswith(partial) for partial in partials)
    (turn,) = result.turns
    # The text comes 120 ms after the final prompt, whatever the platform needs to speak it.
    assert turn.response_ms == pytest.approx(120, abs=0.01)
    assert turn.agent_text == "We open at eight."
    assert stage.phone.played == ["Hello, how can I help?", "We open at eight."]
    assert stage.wire.closed_with == (1000, "Closing websocket session")


def test_what_the_markup_does_not_switch_on_is_not_reported() -> None:
    async def scenario() -> Stage:
        stage = Stage(welcomeGreeting="Hello.")
        stage.answers = [[text("Yes.")]]
        await stage.call(Press("5"), ask(), timeout_ms=1000)
        return stage

    assert run_virtually(scenario).kinds() == ["setup", "prompt final"]


def test_barge_in_drops_everything_queued_and_is_reported_in_the_platforms_order() -> None:
    async def scenario() -> tuple[Stage, CallResult]:
        stage = Stage()
        stage.answers = [
            [text("We open at eight every day of the week. "), text("And close at six.")],
            [text("Sixty euros.")],
        ]
        return stage, await stage.call(ask(), ask("How much is it?", barge_in_after_ms=1000))

    stage, result = run_virtually(scenario)
    kinds = [kind for kind in stage.kinds() if kind != "prompt partial"]
    start = kinds.index("prompt final")
    assert kinds[start + 1 : start + 8] == [
        "agentSpeaking on",
        "clientSpeaking on",
        "tokensPlayed We open at eig",
        "interrupt",
        "agentSpeaking off",
        "clientSpeaking off",
        "prompt final",
    ]
    interrupt = next(each for _, each in stage.log if each["type"] == "interrupt")
    assert interrupt["utteranceUntilInterrupt"] == "We open at eig"
    assert 1000 <= interrupt["durationUntilInterruptMs"] <= 1060
    assert stage.phone.played[-2:] == ["We open at eig", "Sixty euros."]
    assert result.turns[1].interrupts
    assert result.turns[1].barge_in_stop_ms is None
    assert result.turns[1].answered


def test_text_that_may_not_be_interrupted_is_spoken_on_and_the_words_are_lost() -> None:
    async def scenario() -> tuple[Stage, CallResult]:
        stage = Stage()
        stage.answers = [[text("This call is recorded for your safety and ours.", interruptible=False)]]
        return stage, await stage.call(ask(), ask("Stop it.", barge_in_after_ms=500), timeout_ms=2000)

    stage, result = run_virtually(scenario)
    assert "interrupt" not in stage.kinds()
    assert stage.kinds().count("prompt final") == 1
    assert stage.phone.played[-1] == "This call is recorded for your safety and ours."
    assert [turn.answered for turn in result.turns] == [True, False]


def test_a_key_interrupts_and_is_reported() -> None:
    async def scenario() -> tuple[Stage, CallResult]:
        stage = Stage()
        stage.answers = [[text("You pressed five.")]]
        return stage, await stage.call(Press("5"))

    stage, result = run_virtually(scenario)
    assert "dtmf" in stage.kinds()
    assert result.turns[0].response_ms == pytest.approx(120, abs=0.01)


def test_end_closes_the_session_within_90_ms_and_hands_its_data_over() -> None:
    async def scenario() -> tuple[Stage, CallResult]:
        stage = Stage()
        stage.answers = [[{"type": "end", "handoffData": '{"reason":"agent"}'}]]
        return stage, await stage.call(ask(), timeout_ms=1000)

    stage, result = run_virtually(scenario)
    assert result.ended_by == "agent"
    assert stage.phone.handoff == '{"reason":"agent"}'
    final_ms = stage.log[-1][0]
    assert result.duration_ms - final_ms == pytest.approx(120 + 80, abs=21)


def test_the_language_switch_shows_in_the_next_prompt() -> None:
    async def scenario() -> Stage:
        stage = Stage()
        switch = {"type": "language", "ttsLanguage": "es-ES", "transcriptionLanguage": "es-ES"}
        stage.answers = [[switch, text("¡Claro!")], [text("Adiós.")]]
        await stage.call(ask("¿Habla español?"), ask("Adiós"))
        return stage

    prompts = [each for _, each in run_virtually(scenario).log if each["type"] == "prompt"]
    assert (prompts[0]["lang"], prompts[-1]["lang"]) == ("en-US", "es-ES")


def test_ten_bad_frames_in_a_row_end_the_session() -> None:
    async def scenario() -> Stage:
        stage = Stage()
        stage.clock.call_later(500, lambda: stage.wire.push_all([{"type": "txet"}] * 10))
        await stage.call(ask())
        return stage

    stage = run_virtually(scenario)
    assert stage.kinds().count("error") == 10
    assert stage.wire.closed_with is not None
    assert stage.wire.closed_with[0] == 1007
    assert len(stage.phone.problems) == 10
    assert "64107" in stage.log[-1][1]["description"]


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ('{"type":"text","token":"Hi "}', SayText("Hi ", False, None, None, None)),
        (
            '{"type":"text","token":"","last":true,"lang":"es-ES","interruptible":false,"preemptible":true}',
            SayText("", True, "es-ES", False, True),
        ),
        ('{"type":"language","ttsLanguage":"es-ES"}', SwitchLanguage("es-ES", None)),
        ('{"type":"end"}', EndSession(None)),
    ],
)
def test_what_a_server_may_send_is_understood(message: str, meaning: object) -> None:
    assert TwilioRelayFarEnd(IDENTITY, {}).read(message) == meaning


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"text"}',
        '{"type":"text","token":null}',
        '{"type":"text","token":"a","last":"true"}',
        '{"type":"language"}',
        '{"type":"sendDigits","digits":"12a"}',
        '{"type":"play"}',
        '{"type":"end","handoffData":{"a":1}}',
        '{"type":"interrupt"}',
        "[]",
    ],
)
def test_what_twilio_answers_with_64107_is_an_error(message: str) -> None:
    with pytest.raises(WireError):
        TwilioRelayFarEnd(IDENTITY, {}).read(message)
