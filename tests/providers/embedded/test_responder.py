"""The embedded responder, in whole conversations with the example agent."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from agent.agentfile import AgentFile, load_agent
from agent.clock import LoopClock
from agent.providers import (
    ChatRequest,
    LanguageSwitch,
    LLMEvent,
    Message,
    ProviderContext,
    Role,
    TextDelta,
    ToolCall,
)
from providers.embedded.responder import KnowledgeResponder

AGENT = load_agent()
OPEN = "We are open from nine in the morning to five in the evening, Monday to Friday."
SERVICE, DAY, TIME = (slot.ask["en"] for slot in AGENT.dialogues[0].slots[:3])
PHONE = AGENT.dialogues[0].slots[3].ask["en"]
UNKNOWN = AGENT.unknown["en"]


class Conversation:
    """Plays the caller, and remembers what was said as the call's history does."""

    def __init__(self, agent: AgentFile = AGENT, language: str = "en") -> None:
        self.language = language
        self.tools: list[ToolCall] = []
        self._responder = KnowledgeResponder(ProviderContext(agent, LoopClock(asyncio.get_running_loop())))
        self._messages = [
            Message(Role.SYSTEM, agent.instructions),
            Message(Role.ASSISTANT, agent.greeting[language]),
        ]

    def events(self) -> list[LLMEvent]:
        return self._responder.events(ChatRequest("c", tuple(self._messages), self.language))

    def say(self, text: str) -> str:
        """One turn. Returns the agent's words."""
        self._messages.append(Message(Role.USER, text))
        return self._reply()

    def tool_answered(self, result: str) -> str:
        call = self.tools[-1]
        self._messages[-1] = Message(Role.ASSISTANT, self._messages[-1].content, tool_calls=(call,))
        self._messages.append(Message(Role.TOOL, result, tool_call_id=call.id))
        return self._reply()

    def interrupted(self, heard: str) -> None:
        """The caller heard only this of the last reply."""
        self._messages[-1] = Message(Role.ASSISTANT, heard, interrupted=True)

    def _reply(self) -> str:
        said = ""
        for event in self.events():
            if isinstance(event, TextDelta):
                said += event.text
            elif isinstance(event, LanguageSwitch):
                self.language = event.language
            else:
                self.tools.append(event)
        self._messages.append(Message(Role.ASSISTANT, said))
        return said


def booked(*turns: str, agent: AgentFile = AGENT) -> Conversation:
    """A booking up to the question whether all is right, or as far as `turns` lead."""
    conversation = Conversation(agent)
    for turn in turns or ("i need an appointment", "a check up", "monday", "ten", "5551234"):
        conversation.say(turn)
    return conversation


def with_webhook() -> AgentFile:
    data: dict[str, Any] = AGENT.model_dump()
    data["tools"].append(
        {"kind": "webhook", "name": "book", "description": "Books.", "url": "http://127.0.0.1/book"}
    )
    data["dialogues"][0]["tool"] = "book"
    return AgentFile.model_validate(data)


async def test_knowledge_is_answered_and_the_unknown_admitted() -> None:
    conversation = Conversation()
    assert conversation.say("What are your opening hours?") == OPEN
    assert conversation.say("how much is a colonoscopy") == UNKNOWN
    assert conversation.say("river person hours saturday doctor vaccination") == UNKNOWN
    assert conversation.tools == []


async def test_it_streams_word_by_word_and_can_be_closed_in_between() -> None:
    responder = KnowledgeResponder(ProviderContext(AGENT, LoopClock()))
    await responder.warm()
    request = ChatRequest("c", (Message(Role.USER, "where are you"),), "en")
    events = [event async for event in responder.reply(request)]
    assert len(events) == 10
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == (
        "We are at twelve River Street, opposite the public library."
    )
    stream = responder.reply(request)
    assert await anext(stream) == TextDelta("We ")
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, which the protocol leaves open
    await responder.close()


async def test_two_questions_get_two_answers() -> None:
    assert Conversation().say("what are your opening hours and where can i park") == (
        f"{OPEN} There is free parking behind the building."
    )


async def test_a_booking_from_start_to_end() -> None:
    conversation = Conversation()
    assert conversation.say("I would like to book an appointment.") == SERVICE
    assert conversation.say("A check-up, please.") == DAY
    assert conversation.say("on monday") == TIME
    assert conversation.say("half past ten") == PHONE
    assert conversation.say("five five five one two three four") == (
        "So that is a check up on Monday at half past ten, and your number is 5 5 5 1 2 3 4. Is that right?"
    )
    assert conversation.say("yes that's right") == (
        "Your appointment is booked for Monday at half past ten. Can I help you with anything else?"
    )
    assert conversation.say("no thank you") == AGENT.phrases.goodbye["en"]
    assert [call.name for call in conversation.tools] == ["end_call"]


async def test_a_booking_in_spanish() -> None:
    conversation = Conversation(language="es")
    turns = (
        "quiero pedir una cita",
        "un chequeo",
        "el martes",
        "a las diez y media",
        "cinco cinco cinco uno dos tres cuatro",
    )
    said = [conversation.say(turn) for turn in turns]
    assert said[-1] == (
        "Entonces chequeo el martes a las diez y media, y su número es 5 5 5 1 2 3 4. ¿Es correcto?"
    )
    assert conversation.say("no, el miércoles").startswith("Entonces chequeo el miércoles")
    assert conversation.say("sí, correcto").startswith("Su cita está reservada para el miércoles")


async def test_what_is_said_at_once_is_not_asked_again() -> None:
    assert Conversation().say("I'd like to book a vaccination on Friday at 3 p.m.") == PHONE
    assert Conversation().say("can i see a doctor on tuesday") == SERVICE


async def test_keys_answer_a_question_for_digits_also_in_groups() -> None:
    keyed = booked("i need an appointment", "a check up", "monday", "ten")
    assert keyed.say("555") == "5 5 5. Please go on."
    assert "your number is 5 5 5 1 2 3 4" in keyed.say("1234")
    again = booked("i need an appointment", "a check up", "monday", "ten")
    assert again.say("55512345678").startswith("Sorry, I did not catch that.")
    assert "5 5 5 1 2 3 4" in again.say("5551234")


async def test_corrections_while_it_is_read_back() -> None:
    assert "on Tuesday at ten" in booked().say("no, Tuesday")
    assert "at eleven o'clock" in booked().say("no, eleven")
    assert "a vaccination on Monday" in booked().say("no not a check up a vaccination")
    assert "on Friday at eleven" in booked().say("yes but on friday at eleven")
    assert "your number is 5 5 5 9 9 9 9" in booked().say("no it is five five five nine nine nine nine")


async def test_a_correction_of_an_earlier_answer_while_another_is_asked() -> None:
    conversation = booked("i need an appointment", "a check up", "monday")
    assert conversation.say("no, tuesday") == TIME
    conversation.say("ten")
    assert "on Tuesday at ten" in conversation.say("5551234")


async def test_a_bare_no_asks_what_to_change_and_a_second_one_cancels() -> None:
    conversation = booked()
    assert conversation.say("no that's wrong") == "What should I change?"
    assert conversation.say("the day") == DAY
    assert "on Friday at ten" in conversation.say("friday")
    conversation.say("no")
    assert "on Friday at ten" in conversation.say("nothing")
    conversation.say("no")
    assert conversation.say("no") == AGENT.dialogues[0].cancelled["en"]
    assert conversation.say("yes") == "What can I do for you?"


async def test_cancelling_in_the_middle_leaves_nothing_open() -> None:
    conversation = booked("i need an appointment", "a check up")
    assert conversation.say("never mind") == AGENT.dialogues[0].cancelled["en"]
    assert conversation.say("monday") == UNKNOWN
    assert conversation.say("what are your opening hours") == OPEN


async def test_a_question_in_the_middle_is_answered_and_the_dialogue_goes_on() -> None:
    conversation = booked("i need an appointment", "a check up")
    assert conversation.say("are you open on saturday") == (
        f"On Saturday we are open from ten in the morning to one in the afternoon. {DAY}"
    )
    assert conversation.say("do you have wheelchair access on monday") == f"{UNKNOWN} {DAY}"
    assert (
        conversation.say("tuesday, and where can i park")
        == f"There is free parking behind the building. {TIME}"
    )
    assert conversation.say("could you repeat that").endswith(TIME)
    assert conversation.say("noon") == PHONE


async def test_a_question_about_a_choice_does_not_choose_it() -> None:
    conversation = booked("i need an appointment")
    assert conversation.say("how much is a check up").endswith(SERVICE)
    assert conversation.say("a consultation then") == DAY


async def test_an_answer_that_is_not_understood_is_asked_again_then_a_person_offered() -> None:
    conversation = booked("i need an appointment")
    assert conversation.say("blah") == f"Sorry, I did not catch that. {SERVICE}"
    assert conversation.say("blub blub") == f"Sorry, I did not catch that. {SERVICE}"
    assert (
        conversation.say("blah blub") == "Sorry, I did not catch that. Shall I put you through to a person?"
    )
    assert conversation.say("yes please") == AGENT.phrases.transferring["en"]
    assert [call.name for call in conversation.tools] == ["transfer_call"]


async def test_goodbye_and_a_person_are_heard_also_in_the_middle_of_a_dialogue() -> None:
    leaving = booked("i need an appointment", "a check up")
    assert leaving.say("okay goodbye") == AGENT.phrases.goodbye["en"]
    assert [call.name for call in leaving.tools] == ["end_call"]
    asking = booked("i need an appointment", "a check up")
    assert asking.say("a person please") == AGENT.phrases.transferring["en"]
    (call,) = asking.tools
    assert (call.name, orjson.loads(call.arguments)) == ("transfer_call", {"target": "reception"})


async def test_a_confirmed_dialogue_calls_its_webhook_with_plain_values() -> None:
    conversation = booked(agent=with_webhook())
    conversation.say("no at half past three")
    assert conversation.say("yes") == ""
    (call,) = conversation.tools
    assert call.name == "book"
    assert orjson.loads(call.arguments) == {
        "service": "a check up", "day": "monday", "time": "15:30", "phone": "5551234",
    }  # fmt: skip
    assert conversation.tool_answered('{"booked": true}') == (
        "Your appointment is booked for Monday at half past three in the afternoon. "
        "Can I help you with anything else?"
    )
    assert conversation.say("where are you").startswith("We are at twelve River Street")


async def test_a_webhook_that_fails_is_not_a_booking() -> None:
    conversation = booked(agent=with_webhook())
    conversation.say("yes")
    assert conversation.tool_answered("error: HTTP 500") == AGENT.phrases.apology["en"]


async def test_a_reply_that_was_cut_off_changes_nothing() -> None:
    conversation = booked("i need an appointment", "a check up")
    conversation.interrupted("Which")
    assert conversation.say("tuesday") == TIME


async def test_another_language_on_request_and_by_speaking_it() -> None:
    conversation = Conversation()
    assert conversation.say("in spanish please") == AGENT.greeting["es"]
    assert conversation.language == "es"
    assert conversation.say("quiero una cita") == AGENT.dialogues[0].slots[0].ask["es"]
    assert conversation.say("in english please") == SERVICE
    assert conversation.say("a check up") == DAY
    speaking = Conversation()
    assert speaking.say("¿Cuál es su horario?").startswith("Abrimos de nueve")
    assert speaking.language == "es"
    assert speaking.say("quiero reservar una cita") == AGENT.dialogues[0].slots[0].ask["es"]


async def test_small_talk() -> None:
    conversation = Conversation()
    assert conversation.say("hello") == "Hello! How can I help you?"
    assert conversation.say("say that again please") == "Hello! How can I help you?"
    assert "what are your opening hours" in conversation.say("what can you do")
    assert conversation.say("thank you") == "You are welcome. Is there anything else?"
    assert conversation.say("no") == AGENT.phrases.goodbye["en"]


async def test_a_no_to_nothing_in_particular_does_not_end_the_call() -> None:
    conversation = Conversation()
    conversation.say("do you sell vitamins")
    assert conversation.say("no that's wrong") == "All right. Is there anything else?"
    assert conversation.tools == []


async def test_no_words_are_not_understood_and_no_turn_gets_the_greeting() -> None:
    conversation = Conversation()
    assert conversation.say("...") == AGENT.phrases.not_understood["en"]
    responder = KnowledgeResponder(ProviderContext(AGENT, LoopClock()))
    assert responder.events(ChatRequest("c", (), "en")) == [TextDelta(AGENT.greeting["en"])]
    assert responder.events(ChatRequest("c", (), "fr")) == [TextDelta(AGENT.greeting["en"])]


async def test_an_agent_without_tools_and_dialogues_is_honest() -> None:
    bare = AgentFile.model_validate({**AGENT.model_dump(), "tools": [], "dialogues": []})
    conversation = Conversation(bare)
    texts: Sequence[str] = ("goodbye", "a person please", "i need an appointment")
    assert [conversation.say(text) for text in texts] == [UNKNOWN] * 3
    assert "dialogue" not in conversation.say("help")
