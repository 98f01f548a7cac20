"""A model's answer that may be overtaken: by a stored reply, a smaller model, or the chain's next one."""

from collections.abc import AsyncGenerator

from agent.chains import LLMChain, Served, says_something
from agent.providers import ChatRequest, LLMEvent, TextDelta
from agent.race import Race
from agent.stored import StoredReplies

STORED = "stored"
"""Stands for a provider's name where the answer was none's."""


class QuickerAnswer:
    """One request to the model, begun at once; `overtake` when it takes too long."""

    def __init__(
        self, llm: LLMChain, stored: StoredReplies | None, request: ChatRequest, served: Served
    ) -> None:
        """`served` is told of the one whose answer is used."""
        self._llm = llm
        self._stored = stored
        self._request = request
        self._tell = served
        self._tried: list[str] = []
        self._race: Race[LLMEvent] = Race(says_something)
        self._race.join(llm.reply(request, self._served, self._tried))

    def items(self) -> AsyncGenerator[LLMEvent, None]:
        """As `agent.providers.LLM.reply`. To be read at once: the model has been asked."""
        return self._race.items()

    def overtake(self, action: str) -> bool:
        """`action` as in `agent.agentfile.schema.LLMBudget`. False if there is nothing that it could do."""
        if not self._race.open:
            return False
        match action:
            case "cached_reply":
                text = self._stored.stored_reply(self._request) if self._stored is not None else None
                if text is None:
                    return False
                self._race.join(self._say(text))
            case "smaller_model":
                self._race.join(self._llm.reply(self._request, self._served, smaller=True))
            case _:
                self._race.join(self._llm.reply(self._request, self._served, self._tried))
        return True

    async def _say(self, text: str) -> AsyncGenerator[LLMEvent, None]:
        self._served(STORED)
        yield TextDelta(text)

    def _served(self, name: str) -> None:
        # Two that begin in the same moment both say so; the first has won.
        if self._race.open:
            self._tell(name)
