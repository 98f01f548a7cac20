"""The agent's own fixed words in the caller's language: greeting and phrases of the agent file."""

from agent.agentfile.schema import AgentFile


def greeting(agent: AgentFile, language: str) -> str:
    """What is said first."""
    return _in(agent.greeting, language, agent.language)


def phrase(agent: AgentFile, name: str, language: str) -> str:
    """One of the agent file's `phrases` (`apology`, `reprompt`, …)."""
    phrases: dict[str, str] = getattr(agent.phrases, name)
    return _in(phrases, language, agent.language)


def filler(agent: AgentFile, language: str, turn: int) -> str:
    """What is said while the answer is late; another one from turn to turn."""
    phrases = agent.budgets.fillers.get(language) or agent.budgets.fillers[agent.language]
    return phrases[turn % len(phrases)]


def closest_language(agent: AgentFile, wanted: str | None) -> str | None:
    """The agent's language closest to a BCP 47 tag: the same one, or another region's. None: it has none."""
    if not wanted:
        return None
    tag = wanted.casefold()
    for language in agent.languages:
        if language.casefold() == tag:
            return language
    primary = tag.split("-", maxsplit=1)[0]
    for language in agent.languages:
        if language.casefold().split("-", maxsplit=1)[0] == primary:
            return language
    return None


def _in(texts: dict[str, str], language: str, fallback: str) -> str:
    return texts.get(language) or texts[fallback]
