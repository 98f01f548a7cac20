"""A Realtime session without sockets: order of events, mistakes, interruptions."""

import base64
from typing import Any

import pytest

from agent.audio.formats import PCMU_8K, linear
from loadtest.simulators.openai_chunks import ScriptedCall
from loadtest.simulators.realtime_reply import Spoken
from loadtest.simulators.realtime_session import Session
from loadtest.simulators.realtime_turns import SpeechStarted, SpeechStopped, TurnListener
from loadtest.simulators.tones import Tones

TALK = Tones(PCMU_8K).speak("what are your opening hours please")
SILENCE = PCMU_8K.silence(8 * 600)
SAID = "Good morning."
WRONG_RATE = {"type": "audio/pcm", "rate": 8000}
MULAW = {"format": {"type": "audio/pcmu"}}


def script(number: int) -> Spoken:
    return (
        Spoken((SAID,)),
        Spoken(("One moment.",), (ScriptedCall("book", '{"day":"friday"}'),)),
        Spoken(("Booked.", "Anything else?")),
    )[number % 3]


def session(**input_: Any) -> Session:
    made = Session("gpt-realtime-2.1", script, lambda number: f"words {number}")
    made.start("sess_1", 0)
    audio = {"input": {**MULAW, **input_}, "output": {**MULAW, "voice": "marin"}}
    (updated,) = made.receive({"type": "session.update", "session": {"type": "realtime", "audio": audio}})
    assert updated["type"] == "session.updated"
    return made


def append(made: Session, audio: bytes) -> list[dict[str, Any]]:
    return made.receive({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()})


def speak(made: Session) -> list[dict[str, Any]]:
    """A caller's turn: all events until the response begins."""
    return append(made, TALK) + append(made, SILENCE)


def play(made: Session, count: int = 1_000) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count and (event := made.next_event()) is not None:
        found.append(event)
    return found


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Types in order, repetitions once."""
    names = [event["type"] for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def mistake(made: Session, kind: str, **fields: Any) -> dict[str, Any]:
    (answer,) = made.receive({"type": kind, "event_id": "mine", **fields})
    assert answer["type"] == "error"
    found: dict[str, Any] = answer["error"]
    assert found["event_id"] == "mine"
    return found


def test_one_spoken_turn_has_the_vendors_order_of_events() -> None:
    made = session()
    heard = speak(made)
    assert kinds(heard) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    answered = play(made)
    deltas_apart = [event for event in answered if not event["type"].endswith(".delta")]
    assert kinds(deltas_apart) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    first_delta = kinds(answered).index("response.content_part.added") + 1
    assert kinds(answered)[first_delta] == "response.output_audio_transcript.delta"
    deltas = [event["delta"] for event in answered if event["type"] == "response.output_audio.delta"]
    assert b"".join(map(base64.b64decode, deltas)) == Tones(PCMU_8K).speak(SAID)
    words = [
        event["delta"] for event in answered if event["type"] == "response.output_audio_transcript.delta"
    ]
    assert "".join(words) == SAID
    assert answered[-1]["response"]["status"] == "completed"
    numbers = [event["event_id"] for event in heard + answered]
    assert len(set(numbers)) == len(numbers)


def test_speech_times_are_audio_times_with_padding() -> None:
    made = session()
    append(made, SILENCE)
    heard = speak(made)
    started, stopped = heard[0], heard[1]
    assert started["audio_start_ms"] == pytest.approx(600 - 300, abs=60)
    talk_ms = 600 + PCMU_8K.duration_ms(len(TALK))
    # The last word's tone ends in its own pause.
    assert talk_ms - 300 <= stopped["audio_end_ms"] <= talk_ms + 40
    assert started["item_id"] == stopped["item_id"] == heard[2]["item_id"]


def test_the_callers_words_come_if_they_are_asked_for() -> None:
    made = session(transcription={"model": "gpt-4o-mini-transcribe"})
    (completed,) = (event for event in speak(made) if event["type"].endswith("transcription.completed"))
    assert completed["transcript"] == "words 0"


def test_without_turn_detection_the_client_commits_and_asks() -> None:
    made = session(turn_detection=None)
    assert speak(made) == []
    assert kinds(made.receive({"type": "input_audio_buffer.commit"}))[0] == "input_audio_buffer.committed"
    assert made.playing is None
    assert kinds(made.receive({"type": "response.create"})) == ["response.created"]
    assert play(made)


def test_a_function_call_and_its_answer() -> None:
    made = session()
    speak(made)
    play(made)
    speak(made)
    answered = play(made)
    (asked,) = (event for event in answered if event["type"] == "response.function_call_arguments.done")
    assert (asked["name"], asked["arguments"]) == ("book", '{"day":"friday"}')
    output = {"type": "function_call_output", "call_id": asked["call_id"], "output": "{}"}
    assert kinds(made.receive({"type": "conversation.item.create", "item": output})) == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    made.receive({"type": "response.create"})
    last = play(made)
    items = {event["item_id"] for event in last if event["type"] == "response.output_audio.delta"}
    assert len(items) == 2
    assert len(last[-1]["response"]["output"]) == 2


def test_text_only_has_no_audio() -> None:
    made = session()
    made.receive({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}})
    made.receive({"type": "response.create"})
    answered = play(made)
    assert "".join(e["delta"] for e in answered if e["type"] == "response.output_text.delta") == SAID
    assert not any("audio" in event["type"] for event in answered)


def test_speaking_over_the_answer_cancels_it() -> None:
    made = session()
    speak(made)
    play(made, 6)
    events = append(made, TALK)
    assert kinds(events)[:2] == ["input_audio_buffer.speech_started", "response.done"]
    assert events[1]["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert events[1]["response"]["output"][0]["status"] == "incomplete"
    assert made.playing is None


def test_interruptions_can_be_left_to_the_client() -> None:
    made = session(turn_detection={"type": "server_vad", "interrupt_response": False})
    speak(made)
    play(made, 6)
    assert kinds(append(made, TALK)) == ["input_audio_buffer.speech_started"]
    (done,) = made.receive({"type": "response.cancel"})
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    assert mistake(made, "response.cancel")["code"] == "response_cancel_not_active"


def test_a_second_response_while_one_is_active_is_refused() -> None:
    made = session()
    made.receive({"type": "response.create"})
    assert mistake(made, "response.create")["code"] == "conversation_already_has_active_response"
    play(made)
    assert kinds(made.receive({"type": "response.create"})) == ["response.created"]


def test_truncation_with_its_three_mistakes() -> None:
    made = session()
    user = next(event["item_id"] for event in speak(made) if "item_id" in event)
    item_id = next(event["item_id"] for event in play(made) if "item_id" in event)

    def truncate(item: str, end_ms: object) -> dict[str, Any]:
        fields = {"item_id": item, "content_index": 0, "audio_end_ms": end_ms}
        (answer,) = made.receive({"type": "conversation.item.truncate", **fields})
        return answer

    assert "is already shorter than 90000ms" in truncate(item_id, 90_000)["error"]["message"]
    assert truncate(item_id, 0)["error"]["code"] == "unsupported_content_type"
    assert truncate(user, 100)["error"]["code"] == "unsupported_content_type"
    assert truncate("item_none", 100)["error"]["code"] == "item_truncate_invalid_item_id"
    assert truncate(item_id, 300)["type"] == "conversation.item.truncated"
    assert "already shorter" in truncate(item_id, 400)["error"]["message"]


def test_items_are_retrieved_and_deleted() -> None:
    made = session()
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    added = made.receive({"type": "conversation.item.create", "item": message})
    item_id = added[0]["item"]["id"]
    (found,) = made.receive({"type": "conversation.item.retrieve", "item_id": item_id})
    assert found["item"]["content"] == message["content"]
    assert made.receive({"type": "conversation.item.delete", "item_id": item_id})[0]["item_id"] == item_id
    assert (
        mistake(made, "conversation.item.retrieve", item_id=item_id)["code"]
        == "item_retrieve_invalid_item_id"
    )


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, "missing_required_parameter"),
        (None, "missing_required_parameter"),
        ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter"),
        ({"type": "realtime", "model": "other"}, "invalid_value"),
        ({"type": "realtime", "output_modalities": ["audio", "text"]}, "invalid_value"),
        ({"type": "realtime", "audio": {"input": {"format": {"type": "g711_ulaw"}}}}, "invalid_value"),
        ({"type": "realtime", "audio": {"input": {"format": WRONG_RATE}}}, "invalid_value"),
        ({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "x"}}}}, "invalid_value"),
        ({"type": "realtime", "audio": {"output": {"voice": "nova"}}}, "invalid_value"),
        ({"type": "realtime", "audio": {"output": {"speed": 3}}}, "invalid_value"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_update_changes_nothing(wanted: Any, code: str) -> None:
    made = session()
    before = made.config.shown()
    assert mistake(made, "session.update", session=wanted)["code"] == code
    assert made.config.shown() == before


def test_the_voice_is_fixed_once_it_was_heard() -> None:
    made = session()
    change = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
    assert made.receive({"type": "session.update", "session": change})[0]["type"] == "session.updated"
    made.receive({"type": "response.create"})
    play(made)
    back = {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
    assert mistake(made, "session.update", session=back)["code"] == "cannot_update_voice"


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("input_audio_buffer.commit", {}, "input_audio_buffer_commit_empty"),
        ("input_audio_buffer.append", {"audio": "?"}, "invalid_value"),
        ("input_audio_buffer.append", {}, "invalid_value"),
        ("conversation.item.create", {"item": {"type": "song"}}, "invalid_value"),
        (
            "conversation.item.create",
            {"item": {"type": "function_call_output", "call_id": "x"}},
            "invalid_tool_call_id",
        ),
        ("response.sing", {}, "invalid_value"),
    ],
)
def test_other_mistakes(kind: str, fields: dict[str, Any], code: str) -> None:
    assert mistake(session(), kind, **fields)["code"] == code


@pytest.mark.parametrize("event", [None, [], "x", {}, {"type": 3}])
def test_what_is_no_event_at_all_is_answered(event: Any) -> None:
    (answer,) = session().receive(event)
    assert answer["error"]["code"] == "invalid_value"


def test_turns_are_found_in_pcm_cut_anywhere() -> None:
    audio = linear(24_000)
    sound = audio.silence(48 * 200) + Tones(audio).speak("hello there again") + audio.silence(48 * 600)
    listener = TurnListener(audio)
    found = [
        change for at in range(0, len(sound), 777) for change in listener.feed(sound[at : at + 777], 300)
    ]
    assert [type(change) for change in found] == [SpeechStarted, SpeechStopped]
    assert found[0].at_ms == pytest.approx(200, abs=60)
