"""The conversation as the model is told it: what the caller said, and what the caller heard.

An agent's turn is stored while it is being said and *settled* when that is over: then its text is cut to
what was heard. Consecutive caller turns become one message, since chat APIs demand alternation.
"""

from dataclasses import dataclass, field

from agent.providers import Message, Role, ToolCall

MAX_MESSAGES = 200
"""Messages kept: an hour of talk. The oldest go first, so that a call cannot grow without bound."""


@dataclass(slots=True)
class Round:
    """One generation of a reply: text, then perhaps tools and their results."""

    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    """By tool call id."""


@dataclass(slots=True, eq=False)
class AgentTurn:
    """What the agent says in one turn, as generated; `heard` once it is settled.

    Compared by identity: the agent may say the same twice.
    """

    rounds: list[Round] = field(default_factory=lambda: [Round()])
    heard: str | None = None
    interrupted: bool = False
    _told: list[Message] | None = None
    """`messages` of a turn that is settled: asked for again in every turn that follows."""

    @property
    def text(self) -> str:
        """All text generated so far."""
        return _joined([part.text for part in self.rounds])

    def settle(self, heard: str, *, interrupted: bool) -> None:
        """The turn is over, and so are its tools: `heard` of it was heard."""
        self.heard, self.interrupted = heard, interrupted
        self._told = None
        self._told = self.messages()

    def messages(self) -> list[Message]:
        """The turn for the model: text cut to what was heard, tools only with their results."""
        if self._told is not None:
            return self._told
        left = self.heard
        found: list[Message] = []
        for part in self.rounds:
            text = part.text.strip()
            if left is not None:
                text, left = _shared(text, left)
            calls = tuple(call for call in part.tool_calls if call.id in part.results)
            if text or calls:
                found.append(Message(Role.ASSISTANT, text, tool_calls=calls))
            found.extend(Message(Role.TOOL, part.results[call.id], tool_call_id=call.id) for call in calls)
        if self.interrupted and found and found[-1].role is Role.ASSISTANT:
            last = found[-1]
            found[-1] = Message(Role.ASSISTANT, last.content, last.tool_calls, interrupted=True)
        return found


class History:
    """One call's conversation."""

    def __init__(self) -> None:
        self._entries: list[str | AgentTurn] = []

    def caller_said(self, text: str) -> None:
        """A caller's turn. Follows on the last one if the agent said nothing in between."""
        if self._entries and isinstance(self._entries[-1], str):
            self._entries[-1] = f"{self._entries[-1]} {text}"
        else:
            self._entries.append(text)
        del self._entries[:-MAX_MESSAGES]

    def agent_turn(self) -> AgentTurn:
        """A new turn of the agent, to be filled in as it is generated."""
        turn = AgentTurn()
        self._entries.append(turn)
        return turn

    def settle(self, turn: AgentTurn, heard: str, *, interrupted: bool) -> None:
        """The turn is over: keep what was heard. Nothing heard and nothing done: it never happened."""
        turn.settle(heard, interrupted=interrupted)
        if not turn.messages() and turn in self._entries:
            self._entries.remove(turn)
            self._merge()

    def messages(self, instructions: str) -> tuple[Message, ...]:
        """For the model: instructions, then the conversation."""
        found = [Message(Role.SYSTEM, instructions)]
        for entry in self._entries:
            if isinstance(entry, str):
                found.append(Message(Role.USER, entry))
            else:
                found.extend(entry.messages())
        return tuple(found)

    def last_heard(self) -> str:
        """What the agent last said, as far as it was heard (or generated, while that is not settled)."""
        for entry in reversed(self._entries):
            if isinstance(entry, AgentTurn):
                return entry.heard if entry.heard is not None else entry.text
        return ""

    def _merge(self) -> None:
        merged: list[str | AgentTurn] = []
        for entry in self._entries:
            if isinstance(entry, str) and merged and isinstance(merged[-1], str):
                merged[-1] = f"{merged[-1]} {entry}"
            else:
                merged.append(entry)
        self._entries = merged


def _joined(parts: list[str]) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _shared(text: str, heard: str) -> tuple[str, str]:
    """Of a round's text, what was heard; and what is left of `heard` for the rounds behind it.

    Compared by words: what was heard went through sentence splitting, which changes white space.
    """
    words, heard_words = text.split(), heard.split()
    count = 0
    while count < len(words) and count < len(heard_words) and words[count] == heard_words[count]:
        count += 1
    if count == len(heard_words) or count == len(words):
        return " ".join(words[:count]), " ".join(heard_words[count:])
    # The platform's wording differs (numbers read out): go by length.
    share = min(len(words), len(heard_words))
    return " ".join(words[:share]), " ".join(heard_words[share:])
