"""A small core for the transports' tests: it answers calls and writes down what it hears."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.errors import RefusalReason, Refused, TicketError
from agent.events import CallListener
from agent.lines import MediaLine, Slot, TextLine


@dataclass
class FakeSlot:
    """Counts how often it was given back."""

    releases: int = 0

    def release(self) -> None:
        self.releases += 1


@dataclass
class FakeCall:
    """Both kinds of call: what was heard, in order."""

    line: Any
    slot: Any
    greeted: bool = False
    events: list[tuple[Any, ...]] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_on_audio: bool = False

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        if self.breaks_on_audio:
            raise RuntimeError("the core has a bug")
        self.events.append(("hear", payload, timestamp_ms))

    def marked(self, name: str) -> None:
        self.events.append(("marked", name))

    def prompt(self, text: str, *, final: bool, language: str | None = None) -> None:
        self.events.append(("prompt", text, final, language))

    def interrupted(self, heard: str, heard_ms: float) -> None:
        self.events.append(("interrupted", heard, heard_ms))

    def played(self, text: str) -> None:
        self.events.append(("played", text))

    def agent_speaking(self, speaking: bool) -> None:
        self.events.append(("agent_speaking", speaking))

    def caller_speaking(self, speaking: bool) -> None:
        self.events.append(("caller_speaking", speaking))

    def dtmf(self, digit: str) -> None:
        self.events.append(("dtmf", digit))

    def typed(self, text: str) -> None:
        self.events.append(("typed", text))

    def switch_language(self, language: str) -> None:
        self.events.append(("language", language))

    def bad_message(self, kind: str) -> None:
        self.bad[kind] += 1

    async def hung_up(self, cause: str) -> None:
        self.events.append(("hung_up", cause))
        self.ended.set()

    async def lost(self) -> None:
        self.events.append(("lost",))
        self.ended.set()

    def count(self, name: str) -> int:
        return sum(1 for event in self.events if event[0] == name)

    @property
    def keys(self) -> str:
        return "".join(event[1] for event in self.events if event[0] == "dtmf")


class FakeTickets:
    """Tickets are `ticket-1`, `ticket-2` and so on."""

    def __init__(self) -> None:
        self.issued: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.full = False
        self._count = 0

    def issue(self, platform_call_id: str) -> str:
        if self.full:
            raise Refused(RefusalReason.FULL)
        self._drop(platform_call_id)
        self._count += 1
        ticket = f"ticket-{self._count}"
        self.issued[ticket] = platform_call_id
        return ticket

    def redeem(self, ticket: str, platform_call_id: str) -> FakeSlot:
        if self.issued.get(ticket) != platform_call_id:
            raise TicketError("unknown, used, or of another call")
        del self.issued[ticket]
        return FakeSlot()

    def cancel(self, platform_call_id: str) -> None:
        self.cancelled.append(platform_call_id)
        self._drop(platform_call_id)

    def _drop(self, platform_call_id: str) -> None:
        self.issued = {ticket: call for ticket, call in self.issued.items() if call != platform_call_id}


class FakeHost:
    """Answers every call. `live` holds the latest call by its platform id, which a new line takes over."""

    def __init__(self) -> None:
        self.tickets = FakeTickets()
        self.calls: list[FakeCall] = []
        self.live: dict[str, FakeCall] = {}
        self.over: list[tuple[str, str]] = []
        self.bad: Counter[tuple[str, str]] = Counter()
        self.client_reports: list[tuple[str, int | None, dict[str, float]]] = []
        self.full = False
        self.fails = False
        self.slots: list[Any] = []
        self.answered = asyncio.Event()

    def reserve(self) -> FakeSlot:
        if self.full:
            raise Refused(RefusalReason.FULL)
        return FakeSlot()

    def answer_media(self, line: MediaLine, slot: Slot, events: CallListener | None = None) -> FakeCall:
        return self._answer(line, slot)

    def answer_text(self, line: TextLine, slot: Slot, *, greeted: bool = False) -> FakeCall:
        return self._answer(line, slot, greeted)

    def _answer(self, line: MediaLine | TextLine, slot: Slot, greeted: bool = False) -> FakeCall:
        self.slots.append(slot)
        if self.fails:
            raise RuntimeError("cannot answer")
        call_id = line.info.platform_call_id
        live = self.live.get(call_id)
        if live is not None:
            slot.release()
            old, live.line, live.greeted = live.line, line, greeted
            old.close()
            live.events.append(("reattached",))
            self.answered.set()
            return live
        call = FakeCall(line, slot, greeted)
        self.calls.append(call)
        self.live[call_id] = call
        self.answered.set()
        return call

    def is_live(self, platform_call_id: str) -> bool:
        return platform_call_id in self.live

    async def hang_up(self, platform_call_id: str, cause: str) -> None:
        self.over.append((platform_call_id, cause))
        call = self.live.pop(platform_call_id, None)
        if call is not None:
            call.line.close()

    def record_client(self, platform_call_id: str, turn: int | None, metrics: Mapping[str, float]) -> None:
        self.client_reports.append((platform_call_id, turn, dict(metrics)))

    def count_bad_request(self, transport: str, kind: str) -> None:
        self.bad[transport, kind] += 1


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds; fails after 20 s: other processes share the machine."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # any condition, not one that somebody signals
            await asyncio.sleep(0.005)
