"""What a caller hears before a call is ended that gets no stream: Telnyx itself speaks it (`speak`)."""

from dataclasses import dataclass

from agent.agentfile.schema import AgentFile

LANGUAGES = (
    "en-US", "es-ES", "fr-FR", "de-DE", "pt-BR", "arb", "cmn-CN", "cy-GB", "da-DK", "en-AU", "en-GB",
    "en-GB-WLS", "en-IN", "es-MX", "es-US", "fr-CA", "hi-IN", "is-IS", "it-IT", "ja-JP", "ko-KR", "nb-NO",
    "nl-NL", "pl-PL", "pt-PT", "ro-RO", "ru-RU", "sv-SE", "tr-TR",
)  # fmt: skip
"""Languages of `speak` by the type in the SDK, 4.189. First of its kind: what a bare `en` means."""
MAX_CHARS = 3_000
"""The command's limit, by the SDK's documentation."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something to be spoken."""

    text: str
    language: str
    """One of `LANGUAGES`."""


def farewell(agent: AgentFile) -> Sentence | None:
    """The agent's apology in its first language; None if Telnyx does not speak that."""
    language = spoken_as(agent.language)
    if language is None:
        return None
    return Sentence(agent.phrases.apology[agent.language][:MAX_CHARS], language)


def spoken_as(tag: str) -> str | None:
    """Telnyx's name of a BCP 47 tag's language: the same, or another variety of it."""
    wanted = tag.casefold()
    for known in LANGUAGES:
        if known.casefold() == wanted:
            return known
    primary = wanted.partition("-")[0]
    return next((known for known in LANGUAGES if known.partition("-")[0] == primary), None)
