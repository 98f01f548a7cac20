"""Answers that need no model: only what is known for certain."""

import asyncio

import pytest

from agent.agentfile import load_agent, parse_agent
from agent.clock import LoopClock
from agent.providers import ChatRequest, Message, ProviderContext, Role
from agent.stored import StoredReplies, stored_replies
from providers.embedded.responder import KnowledgeResponder
from tests.agent.agentfile.test_load import BASE

AGENT = load_agent()
OPEN = "We are open from nine in the morning to five in the evening, Monday to Friday."


def stored(*turns: str, language: str = "en") -> str | None:
    """What is known of the last turn; the ones before it were answered by the responder itself."""

    async def ask() -> str | None:
        responder = KnowledgeResponder(ProviderContext(AGENT, LoopClock(asyncio.get_running_loop())))
        messages = [Message(Role.SYSTEM, AGENT.instructions)]
        for turn in turns[:-1]:
            messages.append(Message(Role.USER, turn))
            events = responder.events(ChatRequest("c", tuple(messages), language))
            said = "".join(getattr(event, "text", "") for event in events)
            messages.append(Message(Role.ASSISTANT, said))
        messages.append(Message(Role.USER, turns[-1]))
        return responder.stored_reply(ChatRequest("c", tuple(messages), language))

    return asyncio.run(ask())


def test_a_question_of_the_knowledge_has_its_answer() -> None:
    assert stored("what are your opening hours") == OPEN
    assert stored("what are your opening hours", language="es") is None


@pytest.mark.parametrize(
    "said",
    [
        "what is the meaning of life",  # not known
        "hello there",  # small talk: a model's to answer
        "i would like to book an appointment",  # begins something
        "goodbye",  # ends the call
        "what are your opening hours and do you sell ice cream",  # half of it is not known
    ],
)
def test_everything_else_is_the_models_business(said: str) -> None:
    assert stored(said) is None


def test_nothing_is_stored_for_the_middle_of_a_dialogue() -> None:
    assert stored("i would like to book an appointment", "what are your opening hours") is None


def test_they_are_only_made_for_an_agent_that_asks_for_them() -> None:
    async def made(budgets: str) -> StoredReplies | None:
        knowledge = "knowledge: [{id: hours, ask: [when are you open], answer: From eight to six.}]\n"
        agent = parse_agent(f"{BASE}{knowledge}budgets: {budgets}\n", "a.yaml")
        return stored_replies(agent, LoopClock(asyncio.get_running_loop()), {})

    assert asyncio.run(made("{llm_first_token: 600}")) is None
    found = asyncio.run(made("{llm_first_token: {ms: 600, action: cached_reply}}"))
    assert found is not None
    request = ChatRequest("c", (Message(Role.USER, "when are you open"),), "en")
    assert found.stored_reply(request) == "From eight to six."
