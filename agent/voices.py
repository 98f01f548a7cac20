"""Which voice a call is spoken in: the agent file's, or another one that the caller picked."""

from agent.agentfile.schema import AgentFile, Voice
from agent.lines import CallInfo

CHOSEN_VOICE = "voice"
"""In `CallInfo.parameters`: the speech provider's name of a voice that the transport offered."""


def voices_of(agent: AgentFile, info: CallInfo) -> dict[str, Voice]:
    """The call's voices by language. The choice holds for the language that the call begins in."""
    chosen = info.parameters.get(CHOSEN_VOICE)
    if not chosen:
        return agent.voices
    language = info.language or agent.language
    own = agent.voices.get(language, Voice())
    return {**agent.voices, language: own.model_copy(update={"name": chosen})}
