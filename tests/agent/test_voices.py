"""Which voice a call is spoken in."""

from dataclasses import replace

from agent.agentfile.schema import Voice
from agent.lines import CallInfo
from agent.media import MediaConversation
from agent.turns.machine import State
from agent.voices import CHOSEN_VOICE, voices_of
from tests.agent.scripted import Phone
from tests.agent.stage import Stage, play
from tests.transports.webrtc.fakes import agent_file


def info(language: str | None = None, **parameters: str) -> CallInfo:
    return CallInfo(
        transport="webrtc", platform_call_id="1", caller="", language=language, parameters=parameters
    )


def test_the_agent_files_voices_are_used_where_nobody_chose() -> None:
    agent = agent_file()
    assert voices_of(agent, info()) == agent.voices


def test_a_chosen_voice_is_that_of_the_language_that_the_call_begins_in() -> None:
    agent = agent_file()
    agent.voices["en-GB"] = Voice(name="amy", speed=1.2)
    english = voices_of(agent, info(**{CHOSEN_VOICE: "brian"}))
    assert english == {"en-GB": Voice(name="brian", speed=1.2)}
    spanish = voices_of(agent, info("es-ES", **{CHOSEN_VOICE: "ines"}))
    assert spanish == {"en-GB": Voice(name="amy", speed=1.2), "es-ES": Voice(name="ines")}
    assert agent.voices == {"en-GB": Voice(name="amy", speed=1.2)}, "the agent file is all calls'"


def test_the_call_is_spoken_in_the_chosen_voice() -> None:
    async def story(stage: Stage) -> None:
        phone = stage.phone = Phone(lambda: stage.media)
        phone.info = replace(phone.info, parameters={CHOSEN_VOICE: "brian"})
        stage.media = MediaConversation(phone, stage.services, stage.ended.append, stage.listener)
        stage.call = stage.media.call
        phone.pick_up()
        await stage.until(State.SPEAKING)
        assert [request.voice for request in stage.tts.requests] == ["brian"]

    play(story)
