"""The conversation as the model is told it: what the caller said, and what the caller heard.

An agent's turn is stored while it is being said and *settled* when that is over: then its text is cut to
what was heard. Once the agent's next turn begins, nothing but that is kept of it. Consecutive caller turns
become one message, since chat APIs demand alternation.
"""

from collections.abc import Iterable
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
        self._settled: list[Message] = []
        """What will not change any more, as the model is told it in every turn."""
        self._settled_heard = ""
        """What was heard of the last turn in there."""
        self._recent: list[str | AgentTurn] = []
        """The caller's turns and the agent's since then."""

    def caller_said(self, text: str) -> None:
        """A caller's turn. Follows on the last one if the agent said nothing in between."""
        recent = self._recent
        if recent and isinstance(recent[-1], str):
            recent[-1] = f"{recent[-1]} {text}"
        else:
            recent.append(text)
        del recent[:-MAX_MESSAGES]

    def agent_turn(self) -> AgentTurn:
        """A new turn of the agent, to be filled in as it is generated. Settled ones are so for good now."""
        self._close()
        turn = AgentTurn()
        self._recent.append(turn)
        return turn

    def settle(self, turn: AgentTurn, heard: str, *, interrupted: bool) -> None:
        """The turn is over: keep what was heard. Nothing heard and nothing done: it never happened."""
        turn.settle(heard, interrupted=interrupted)
        if not turn.messages() and turn in self._recent:
            self._recent.remove(turn)
            self._merge()

    def messages(self, instructions: str) -> tuple[Message, ...]:
        """For the model: instructions, then the conversation."""
        found = [Message(Role.SYSTEM, instructions), *self._settled]
        for entry in self._recent:
            found.extend(_messages_of(entry))
        return tuple(found)

    def last_heard(self) -> str:
        """What the agent last said, as far as it was heard (or generated, while that is not settled)."""
        for entry in reversed(self._recent):
            if isinstance(entry, AgentTurn):
                return entry.heard if entry.heard is not None else entry.text
        return self._settled_heard

    def _close(self) -> None:
        """Of the agent's turns that are settled, and of all before them, keep the messages alone.

        What the caller said last stays open: should nothing be heard of the answer, it goes on.
        """
        recent, settled, count = self._recent, self._settled, 0
        for at, entry in enumerate(recent, 1):
            if isinstance(entry, AgentTurn):
                if entry.heard is None:
                    break
                self._settled_heard, count = entry.heard, at
        for entry in recent[:count]:
            settled.extend(_messages_of(entry))
        del recent[:count]
        if len(settled) > MAX_MESSAGES:
            del settled[:-MAX_MESSAGES]
            # A tool's result is nothing without the message that asked for it.
            while settled and settled[0].role is Role.TOOL:
                del settled[0]

    def _merge(self) -> None:
        merged: list[str | AgentTurn] = []
        for entry in self._recent:
            if isinstance(entry, str) and merged and isinstance(merged[-1], str):
                merged[-1] = f"{merged[-1]} {entry}"
            else:
                merged.append(entry)
        self._recent = merged


def _messages_of(entry: str | AgentTurn) -> Iterable[Message]:
    return (Message(Role.USER, entry),) if isinstance(entry, str) else entry.messages()


def _joined(parts: list[str]) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _shared(text: str, heard: str) -> tuple[str, str]:
    """Of a round's text, what was heard; and what is left of `heard` for the rounds behind it.

    Compared by words: what was heard went through sentence splitting, which changes white space.
    """
    words = text.split()
    # Most replies are heard as they were written.
    heard_words, count = (words, len(words)) if heard == text else (heard.split(), 0)
    while count < len(words) and count < len(heard_words) and words[count] == heard_words[count]:
        count += 1
    if count == len(heard_words) or count == len(words):
        told = " ".join(words[:count])
        # One string, then, for the history and the turn's record.
        return heard if told == heard else told, " ".join(heard_words[count:])
    # The platform's wording differs (numbers read out): go by length.
    share = min(len(words), len(heard_words))
    return " ".join(words[:share]), " ".join(heard_words[share:])
