"""What callers of an agent are likely to say: for recognition and for endpointing."""

import re

from agent.agentfile.schema import AgentFile, EndCallTool, TransferCallTool

SMALL_TALK: dict[str, tuple[str, ...]] = {
    "en": (
        "hello", "hi", "good morning", "good afternoon", "thank you", "thank you very much", "thanks", "yes",
        "yes please", "yes that is right", "that is correct", "no", "no thank you", "no that is wrong",
        "never mind", "cancel", "repeat that please", "say that again please", "pardon", "what can you do",
        "help", "okay", "goodbye", "bye", "stop", "wait", "i have a question",
    ),
    "es": (
        "hola", "buenos días", "buenas tardes", "gracias", "muchas gracias", "sí", "sí por favor", "correcto",
        "no", "no gracias", "cancelar", "repita por favor", "qué puede hacer", "ayuda", "vale", "adiós",
    ),
}  # fmt: skip


def caller_phrases(agent: AgentFile, language: str) -> tuple[str, ...]:
    """Likely sentences in `language`, as lower-case words, without repetition."""
    lists: list[list[str]] = [entry.ask.get(language, []) for entry in agent.knowledge]
    for dialogue in agent.dialogues:
        lists.append(dialogue.start.get(language, []))
        lists += [slot.choices.get(language, []) for slot in dialogue.slots if slot.choices]
    for tool in agent.tools:
        if isinstance(tool, EndCallTool | TransferCallTool):
            lists.append(tool.ask.get(language, []))
    lists.append(list(SMALL_TALK.get(language.split("-", maxsplit=1)[0].casefold(), ())))
    found: dict[str, None] = {}
    for phrases in lists:
        for phrase in phrases:
            words = " ".join(re.findall(r"[\w']+", phrase.casefold()))
            if words:
                found[words] = None
    return tuple(found)
