"""Answers that need no model: what the budget action `cached_reply` gives."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from agent.agentfile.schema import AgentFile
from agent.clock import Clock
from agent.plugins import LLM, load
from agent.providers import ChatRequest, ProviderContext

_KNOWING = "embedded"
"""The model that answers from the agent file's own knowledge."""


@runtime_checkable
class StoredReplies(Protocol):
    """Knows some answers by heart."""

    def stored_reply(self, request: ChatRequest) -> str | None:
        """The answer to the caller's last turn where one is known for certain. Quick: a plain call."""


def stored_replies(agent: AgentFile, clock: Clock, secrets: Mapping[str, str]) -> StoredReplies | None:
    """The agent file's knowledge, where a budget asks for it. Raises `ConfigError`."""
    if "cached_reply" not in (budget.action for budget in agent.budgets.all().values()):
        return None
    knowing: object = load(LLM, _KNOWING)(ProviderContext(agent, clock, {}, secrets))
    return knowing if isinstance(knowing, StoredReplies) else None
