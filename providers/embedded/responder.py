"""The embedded responder: answers from the agent file's knowledge, and keeps its dialogues going.

It streams like a language model and calls tools like one, but needs no key and no network, answers in
under a millisecond, and says honestly when it does not know.
"""

import re
from collections.abc import AsyncIterator, Iterable

import orjson

from agent.agentfile.schema import EndCallTool, TransferCallTool
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
from providers.embedded.answers import yes_or_no
from providers.embedded.dialogue import MAX_MISSES, Follower, Progress, Standing
from providers.embedded.intents import Heard, Intent, Intents, Kind
from providers.embedded.lexicon import primary, words
from providers.embedded.talk import ELSE, SMALL_TALK, short

_MAX_SHORT_WORDS = 6
"""A yes or no that answers nothing in particular is short; in a longer sentence it is by the way."""
_SURE = 0.8
"""Score from which an answer is given in a model's stead: more than `matching.THRESHOLD`, since the model
would do better with what is not quite this question."""
_EXAMPLES = 3
"""Questions named when a caller asks for help: more are not remembered."""


class KnowledgeResponder:
    """`agent.providers.LLM` over the agent file. Options: none."""

    name = "embedded"

    def __init__(self, context: ProviderContext) -> None:
        self._agent = context.agent
        self._intents = Intents(context.agent)
        self._follower = Follower(self._agent.dialogues, self._intents)
        self._answers = {entry.id: entry.answer for entry in self._agent.knowledge}
        tools = self._agent.tools
        self._end = next((tool for tool in tools if isinstance(tool, EndCallTool)), None)
        self._transfer = next((tool for tool in tools if isinstance(tool, TransferCallTool)), None)

    async def warm(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def reply(self, request: ChatRequest) -> AsyncIterator[LLMEvent]:
        """See `agent.providers.LLM`."""
        for event in self.events(request):
            if isinstance(event, TextDelta):
                # Word by word, as a model would.
                for piece in re.findall(r"\S+\s*", event.text):
                    yield TextDelta(piece)
            else:
                yield event

    def events(self, request: ChatRequest) -> list[LLMEvent]:
        """The whole reply, worked out at once."""
        language = request.language if request.language in self._agent.languages else self._agent.language
        messages = request.messages
        last = messages[-1] if messages else None
        if last is not None and last.role is Role.TOOL:
            return self._after_tool(last.content, messages, language)
        if last is None or last.role is not Role.USER:
            return [TextDelta(self._agent.greeting[language])]
        text = last.content
        if not words(text):
            return [TextDelta(self._agent.phrases.not_understood[language])]
        standing = self._standing(messages, language)
        progress, now = standing.progress, standing.language
        events: list[LLMEvent] = [LanguageSwitch(now)] if now != language else []
        if standing.asked_language:
            # In the middle of a dialogue its question is asked again, not the greeting.
            going_on = progress is not None and not progress.cancelled and not progress.confirmed
            said = progress.question(now) if progress and going_on else self._agent.greeting[now]
            return [*events, TextDelta(said)]
        if progress is not None:
            return events + self._in_dialogue(progress, messages, now)
        return events + self._answer(self._intents.heard(text, now), text, messages, now)

    def stored_reply(self, request: ChatRequest) -> str | None:
        """See `agent.budgets.StoredReplies`: an answer of the knowledge, understood whole and without doubt.

        None in the middle of a dialogue, after a tool, and for whatever would do something.
        """
        last = request.messages[-1] if request.messages else None
        if last is None or last.role is not Role.USER or request.language not in self._agent.languages:
            return None
        if self._standing(request.messages, request.language).progress is not None:
            return None
        heard = self._intents.heard(last.content, request.language)
        known = [intent for intent in heard.intents if intent.kind is Kind.ANSWER]
        if not known or heard.rest or len(known) != len(heard.intents):
            return None
        if min(intent.score for intent in known) < _SURE:
            return None
        return " ".join(self._answers[intent.id][request.language] for intent in known)

    def _standing(self, messages: Iterable[Message], language: str) -> Standing:
        """Where the conversation stands. It began in the language that leads to the present one."""
        turns = [message.content for message in messages if message.role is Role.USER]
        for first in dict.fromkeys((language, *self._agent.languages)):
            standing = self._follower.follow(turns, first)
            if standing.before == language:
                return standing
        return self._follower.follow(turns[-1:], language)

    def _answer(
        self, heard: Heard, text: str, messages: tuple[Message, ...], language: str
    ) -> list[LLMEvent]:
        """A turn outside of dialogues."""
        answer = yes_or_no(text, language) if len(words(text)) <= _MAX_SHORT_WORDS else None
        asked = _last_said(messages)
        if all(intent.kind is Kind.TALK for intent in heard.intents):
            if answer is True and short(language, "offer") in asked and self._transfer is not None:
                return self._hand_over(self._transfer, language)
            if answer is False and self._end is not None and _anything_else(asked, language):
                return self._hang_up(self._end, language)
        if heard.intents:
            return self._events(heard.intents, messages, language)
        if answer is None:
            return [TextDelta(self._agent.unknown[language])]
        return [TextDelta(short(language, "yes" if answer else "no"))]

    def _events(
        self, intents: Iterable[Intent], messages: tuple[Message, ...], language: str, question: str = ""
    ) -> list[LLMEvent]:
        """Answers, one after the other, then what was asked; a goodbye or a transfer ends it."""
        texts: list[str] = []
        for intent in intents:
            if intent.kind is Kind.ANSWER:
                texts.append(self._answers[intent.id][language])
            elif intent.kind is Kind.TALK:
                if intent.id == "wait":
                    question = ""
                elif intent.id == "repeat":
                    return [TextDelta(_last_said(messages) or question or self._agent.greeting[language])]
                elif question and intent.id in ("greeting", "thanks"):
                    continue
                texts.append(self._small_talk(intent.id, language))
            else:
                acted = self._act(intent.kind, language)
                return [TextDelta(f"{text} ") for text in texts] + acted
        if question:
            texts.append(question)
        return [TextDelta(" ".join(texts))]

    def _small_talk(self, topic: str, language: str) -> str:
        if topic != "help":
            return SMALL_TALK[primary(language)][topic][1]
        asks = [dialogue.start[language][0] for dialogue in self._agent.dialogues[:1]]
        asks = [entry.ask[language][0] for entry in self._agent.knowledge[: _EXAMPLES - len(asks)]] + asks
        if not asks:
            return self._agent.greeting[language]
        return short(language, "examples").format(examples=short(language, "joint").join(asks))

    def _act(self, kind: Kind, language: str) -> list[LLMEvent]:
        if kind is Kind.END_CALL and self._end is not None:
            return self._hang_up(self._end, language)
        if kind is Kind.TRANSFER and self._transfer is not None:
            return self._hand_over(self._transfer, language)
        return [TextDelta(self._agent.unknown[language])]

    def _hang_up(self, tool: EndCallTool, language: str) -> list[LLMEvent]:
        return [TextDelta(self._agent.phrases.goodbye[language]), ToolCall("end", tool.name, "{}")]

    def _hand_over(self, tool: TransferCallTool, language: str) -> list[LLMEvent]:
        target = orjson.dumps({"target": next(iter(tool.targets))}).decode()
        said = TextDelta(self._agent.phrases.transferring[language])
        return [said, ToolCall("transfer", tool.name, target)]

    def _in_dialogue(
        self, progress: Progress, messages: tuple[Message, ...], language: str
    ) -> list[LLMEvent]:
        dialogue = progress.dialogue
        if progress.cancelled:
            return [TextDelta(dialogue.cancelled[language])]
        if progress.confirmed:
            if dialogue.tool is not None:
                return [ToolCall("dialogue", dialogue.tool, orjson.dumps(progress.values).decode())]
            return [TextDelta(progress.read_back(dialogue.done[language], language))]
        question = self._next(progress, language)
        if progress.asides:
            return self._events(progress.asides, messages, language, question)
        if progress.stranger:
            return [TextDelta(f"{self._agent.unknown[language]} {question}")]
        if progress.understood:
            return [TextDelta(question)]
        again = short(language, "again")
        if progress.misses > MAX_MISSES and self._transfer is not None:
            return [TextDelta(f"{again} {short(language, 'offer')}")]
        return [TextDelta(f"{again} {question}")]

    def _next(self, progress: Progress, language: str) -> str:
        if progress.changing:
            return short(language, "change")
        if progress.partial:
            return f"{' '.join(progress.partial)}. {short(language, 'rest')}"
        return progress.question(language)

    def _after_tool(self, result: str, messages: tuple[Message, ...], language: str) -> list[LLMEvent]:
        """An owner's endpoint has answered: the dialogue is done, or could not be."""
        progress = self._standing(messages, language).progress
        if progress is None or not progress.confirmed or result.startswith("error"):
            return [TextDelta(self._agent.phrases.apology[language])]
        return [TextDelta(progress.read_back(progress.dialogue.done[language], language))]


def _anything_else(asked: str, language: str) -> bool:
    """The last thing asked was whether there is anything else."""
    last = re.split(r"(?<=[.!?])\s+", asked.strip())[-1].casefold()
    return last.endswith("?") and any(phrase in last for phrase in ELSE.get(primary(language), ()))


def _last_said(messages: tuple[Message, ...]) -> str:
    for message in reversed(messages):
        if message.role is Role.ASSISTANT and message.content:
            return message.content
    return ""
