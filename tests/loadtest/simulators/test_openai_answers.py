"""The simulated model knows what the agent file knows, through the real provider."""

from agent.agentfile import load_agent
from agent.clock import LoopClock
from agent.providers import ChatRequest, Message, ProviderContext, Role, TextDelta, ToolCall
from loadtest.simulators.openai_answers import knowing
from loadtest.simulators.openai_chat import TIMINGS, OpenAIChatSimulator
from loadtest.simulators.profile import Timings
from providers.openai import OpenAIChat

AGENT = load_agent()


async def ask(words: str, language: str = "en") -> tuple[str, list[str]]:
    clock = LoopClock()
    async with OpenAIChatSimulator(
        clock, knowing(AGENT, clock), timings=Timings(TIMINGS, scale=0)
    ) as simulator:
        llm = OpenAIChat(ProviderContext(AGENT, clock, {"base_url": simulator.url}))
        messages = (Message(Role.SYSTEM, AGENT.instructions), Message(Role.USER, words))
        events = [event async for event in llm.reply(ChatRequest("c", messages, language))]
        await llm.close()
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, [event.name for event in events if isinstance(event, ToolCall)]


async def test_a_question_is_answered_from_the_agent_file_in_its_language() -> None:
    (hours,) = (entry for entry in AGENT.knowledge if entry.id == "hours")
    assert await ask("what are your opening hours") == (hours.answer["en"], [])
    assert await ask("cuál es su horario", "es") == (hours.answer["es"], [])


async def test_a_goodbye_calls_the_tool() -> None:
    text, tools = await ask("goodbye")
    assert text
    assert tools == ["end_call"]


def test_messages_of_any_kind_are_taken() -> None:
    answers = knowing(AGENT, LoopClock.__new__(LoopClock))
    body = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "x"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]},
            {"role": "tool", "tool_call_id": "x", "content": "{}"},
            {"role": "user", "content": "what are your opening hours"},
        ]
    }
    assert answers(body).text
