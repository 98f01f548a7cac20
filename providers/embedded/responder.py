"""The embedded responder: answers from the agent file's knowledge, and keeps its dialogues going.

It streams like a language model and calls tools like one, but needs no key and no network, answers in
under a millisecond, and says honestly when it does not know.
"""

import re
from collections.abc import AsyncIterator

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
from providers.embedded.answers import primary, yes_or_no
from providers.embedded.dialogue import MAX_MISSES, Progress, fill, follow, start_matcher
from providers.embedded.matching import Matcher, words

_SMALL_TALK: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "en": {
        "greeting": (("hello", "hi", "hi there", "good morning", "good afternoon"), "Hello! How can I help you?"),
        "thanks": (("thank you", "thanks", "thank you very much", "great thank you"), "You are welcome. Is there anything else?"),
        "repeat": (("repeat that please", "say that again please", "pardon", "what did you say", "can you repeat that"), ""),
        "help": (("what can you do", "help", "what can i ask"), "You can ask me about us, or I can help you with a booking."),
    },
    "es": {
        "greeting": (("hola", "buenos días", "buenas tardes"), "¡Hola! ¿En qué puedo ayudarle?"),
        "thanks": (("gracias", "muchas gracias"), "De nada. ¿Desea algo más?"),
        "repeat": (("repita por favor", "cómo dice", "puede repetir"), ""),
        "help": (("qué puede hacer", "ayuda"), "Puede preguntarme por nosotros, o le ayudo con una reserva."),
    },
}  # fmt: skip
_SHORT = {
    "en": {"yes": "What can I do for you?", "no": "All right. Is there anything else?",
           "offer": "Shall I put you through to a person?", "again": "Sorry, I did not catch that."},
    "es": {"yes": "¿Qué puedo hacer por usted?", "no": "De acuerdo. ¿Desea algo más?",
           "offer": "¿Le paso con una persona?", "again": "Perdone, no le he entendido."},
}  # fmt: skip
_ASKS_LANGUAGE = {
    "en": ("speak english", "english please", "in english", "inglés"),
    "es": ("speak spanish", "spanish please", "in spanish", "español", "hablo español", "habla español"),
}
_GOODBYE, _TRANSFER = "tool:end_call", "tool:transfer_call"


class KnowledgeResponder:
    """`agent.providers.LLM` over the agent file. Options: none."""

    name = "embedded"

    def __init__(self, context: ProviderContext) -> None:
        self._agent = context.agent
        self._matchers = {language: self._matcher(language) for language in self._agent.languages}
        self._starts = start_matcher(self._agent.dialogues)
        self._answers = {entry.id: entry.answer for entry in self._agent.knowledge}

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
        if messages and messages[-1].role is Role.TOOL:
            return [TextDelta(self._after_tool(messages, language))]
        text = messages[-1].content if messages else ""
        switch = self._wanted_language(text, language)
        if switch is not None:
            return [LanguageSwitch(switch), TextDelta(self._agent.greeting[switch])]
        progress = follow(self._agent.dialogues, self._starts, messages, language)
        best = self._matchers[language].best(text)
        key = best[0].key if best else None
        if progress is not None and not (key in (_GOODBYE, _TRANSFER) and not progress.understood):
            return self._in_dialogue(progress, key, messages, language)
        return self._answer(key, text, messages, language)

    def _matcher(self, language: str) -> Matcher:
        phrases = [(entry.id, ask) for entry in self._agent.knowledge for ask in entry.ask.get(language, [])]
        for tool in self._agent.tools:
            if isinstance(tool, EndCallTool):
                phrases += [(_GOODBYE, ask) for ask in tool.ask.get(language, [])]
            elif isinstance(tool, TransferCallTool):
                phrases += [(_TRANSFER, ask) for ask in tool.ask.get(language, [])]
        for key, (asks, _) in _SMALL_TALK.get(primary(language), {}).items():
            phrases += [(f"talk:{key}", ask) for ask in asks]
        return Matcher(phrases)

    def _answer(
        self, key: str | None, text: str, messages: tuple[Message, ...], language: str
    ) -> list[LLMEvent]:
        if key in self._answers:
            return [TextDelta(self._answers[key][language])]
        if key in (_GOODBYE, _TRANSFER):
            return self._call_tool(key, language)
        if key is not None:
            topic = key.removeprefix("talk:")
            if topic == "repeat":
                return [TextDelta(_last_said(messages) or self._agent.greeting[language])]
            return [TextDelta(_SMALL_TALK[primary(language)][topic][1])]
        answer = yes_or_no(text, language)
        short = _SHORT.get(primary(language), _SHORT["en"])
        if answer is not None and len(words(text)) <= 4:
            if answer and short["offer"] in _last_said(messages):
                return self._call_tool(_TRANSFER, language)
            return [TextDelta(short["yes" if answer else "no"])]
        return [TextDelta(self._agent.unknown[language])]

    def _call_tool(self, key: str, language: str) -> list[LLMEvent]:
        for tool in self._agent.tools:
            if key == _GOODBYE and isinstance(tool, EndCallTool):
                return [TextDelta(self._agent.phrases.goodbye[language]), ToolCall("end", tool.name, "{}")]
            if key == _TRANSFER and isinstance(tool, TransferCallTool):
                target = orjson.dumps({"target": next(iter(tool.targets))}).decode()
                said = TextDelta(self._agent.phrases.transferring[language])
                return [said, ToolCall("transfer", tool.name, target)]
        return [TextDelta(self._agent.unknown[language])]

    def _in_dialogue(
        self, progress: Progress, key: str | None, messages: tuple[Message, ...], language: str
    ) -> list[LLMEvent]:
        dialogue = progress.dialogue
        if progress.cancelled:
            return [TextDelta(dialogue.cancelled[language])]
        if progress.confirmed:
            if dialogue.tool is not None:
                return [ToolCall("dialogue", dialogue.tool, orjson.dumps(progress.values).decode())]
            return [TextDelta(fill(dialogue.done[language], progress.values))]
        short = _SHORT.get(primary(language), _SHORT["en"])
        if not progress.understood:
            if key in self._answers:
                return [TextDelta(f"{self._answers[key][language]} {progress.question(language)}")]
            if key == "talk:repeat":
                return [TextDelta(_last_said(messages) or progress.question(language))]
            if progress.misses > MAX_MISSES and any(
                isinstance(t, TransferCallTool) for t in self._agent.tools
            ):
                return [TextDelta(f"{short['again']} {short['offer']}")]
            return [TextDelta(f"{short['again']} {progress.question(language)}")]
        return [TextDelta(progress.question(language))]

    def _after_tool(self, messages: tuple[Message, ...], language: str) -> str:
        result = messages[-1].content
        progress = follow(self._agent.dialogues, self._starts, messages, language)
        if progress is not None and progress.confirmed and not result.startswith("error"):
            return fill(progress.dialogue.done[language], progress.values)
        return self._agent.phrases.apology[language]

    def _wanted_language(self, text: str, language: str) -> str | None:
        said = " ".join(words(text))
        for other in self._agent.languages:
            if other == language:
                continue
            if any(phrase in said for phrase in _ASKS_LANGUAGE.get(primary(other), ())):
                return other
            if not self._matchers[language].best(text) and self._matchers[other].best(text):
                return other
        return None


def _last_said(messages: tuple[Message, ...]) -> str:
    for message in reversed(messages):
        if message.role is Role.ASSISTANT and message.content:
            return message.content
    return ""
