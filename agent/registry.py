"""The calls of this process: live ones, and the records of the last ones."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping

from agent.admission import Admission, TicketOffice
from agent.call import Call
from agent.events import CallListener
from agent.latency import CallCounters
from agent.lines import MediaCall, MediaLine, Slot, TextCall, TextLine
from agent.media import MediaConversation
from agent.records import CallRecord
from agent.services import CallServices
from agent.text import TextConversation

logger = logging.getLogger(__name__)

RECENT = 200
"""Ended calls kept to look at."""


class Registry:
    """Implements `agent.lines.CallHost` for the transports."""

    def __init__(self, services: CallServices, admission: Admission, tickets: TicketOffice) -> None:
        self.tickets = tickets
        self.admission = admission
        self.recent: deque[CallRecord] = deque(maxlen=RECENT)
        self.ended_totals: dict[str, CallCounters] = {}
        """By transport: counters of all calls that have ended."""
        self.ended_calls: Counter[tuple[str, str]] = Counter()
        """By transport and cause."""
        self.bad_requests: Counter[tuple[str, str]] = Counter()
        """By transport and kind."""
        self._services = services
        self._live: dict[str, MediaConversation | TextConversation] = {}
        self._slots: dict[str, Slot] = {}
        self._fewer = asyncio.Event()
        tickets.is_live = self.is_live
        tickets.on_gone = self._fewer.set

    def reserve(self) -> Slot:
        """See `agent.lines.CallHost`."""
        return self.admission.reserve()

    def answer_media(self, line: MediaLine, slot: Slot, events: CallListener | None = None) -> MediaCall:
        """See `agent.lines.CallHost`."""
        live = self._live.get(line.info.platform_call_id)
        if isinstance(live, MediaConversation):
            self._goes_on(live, slot)
            live.replace_line(line, events)
            return live
        self._replaced(live)
        try:
            conversation = MediaConversation(line, self._services, self._ended, events)
        except BaseException:
            slot.release()
            raise
        self._began(conversation, slot)
        return conversation

    def answer_text(self, line: TextLine, slot: Slot, *, greeted: bool = False) -> TextCall:
        """See `agent.lines.CallHost`."""
        live = self._live.get(line.info.platform_call_id)
        if isinstance(live, TextConversation):
            self._goes_on(live, slot)
            live.replace_line(line)
            return live
        self._replaced(live)
        try:
            conversation = TextConversation(line, self._services, self._ended, greeted=greeted)
        except BaseException:
            slot.release()
            raise
        self._began(conversation, slot)
        if self.admission.core is not None:
            self.admission.core.text_call_began()
        return conversation

    def is_live(self, platform_call_id: str) -> bool:
        """See `agent.lines.CallHost`."""
        return platform_call_id in self._live

    async def hang_up(self, platform_call_id: str, cause: str) -> None:
        """See `agent.lines.CallHost`."""
        live = self._live.get(platform_call_id)
        if live is not None:
            await live.call.hung_up(cause)

    def count_bad_request(self, transport: str, kind: str) -> None:
        """See `agent.lines.CallHost`."""
        self.bad_requests[transport, kind] += 1

    def record_client(self, platform_call_id: str, turn: int | None, metrics: Mapping[str, float]) -> None:
        """See `agent.lines.CallHost`."""
        live = self._live.get(platform_call_id)
        if live is not None:
            self._services.observer.record_client(live.call.record, turn, metrics)

    @property
    def media(self) -> Iterator[MediaConversation]:
        """Media calls that are on."""
        return (live for live in self._live.values() if isinstance(live, MediaConversation))

    @property
    def live(self) -> Iterator[Call]:
        """Calls that are on."""
        return (conversation.call for conversation in self._live.values())

    def find(self, call_id: str) -> CallRecord | None:
        """A live or recent call by our id or the platform's."""
        records = [call.record for call in self.live] + list(reversed(self.recent))
        return next(
            (record for record in records if call_id in (record.call_id, record.info.platform_call_id)), None
        )

    async def drain(self, limit_s: float, cut: asyncio.Event) -> int:
        """Wait until the calls have finished, or `limit_s` or `cut`; then end the rest.

        A call whose ticket is out was promised a place: it is waited for too. Returns how many were cut.
        """
        waiting = {asyncio.create_task(self._finished()), asyncio.create_task(cut.wait())}
        await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        left = list(self.live)
        await asyncio.gather(*(_cut(call) for call in left))
        return len(left)

    async def _finished(self) -> bool:
        """Returns when no call is on, and none is on its way with a ticket (those expire)."""
        while self._live or self.tickets.outstanding:
            self._fewer.clear()
            await self._fewer.wait()
        return True

    def _goes_on(self, live: MediaConversation | TextConversation, slot: Slot) -> None:
        """The live call has a slot of its own."""
        slot.release()
        live.call.record.counters.reconnects += 1
        logger.info("call %s goes on over a new socket", live.call.record.call_id)

    def _replaced(self, live: MediaConversation | TextConversation | None) -> None:
        """The platform continues this call on the other kind of line: the old half must not linger."""
        if live is not None:
            live.call.end_soon("replaced")

    def _began(self, conversation: MediaConversation | TextConversation, slot: Slot) -> None:
        record = conversation.call.record
        self._live[record.info.platform_call_id] = conversation
        self._slots[record.call_id] = slot
        logger.info("call %s began on %s", record.call_id, record.info.transport)

    def _ended(self, call: Call) -> None:
        record = call.record
        live = self._live.get(record.info.platform_call_id)
        if live is not None and live.call is call:
            del self._live[record.info.platform_call_id]
        slot = self._slots.pop(record.call_id, None)
        if slot is not None:
            slot.release()
        transport = record.info.transport
        self.ended_totals.setdefault(transport, CallCounters()).add(record.counters)
        self.ended_calls[transport, record.cause] += 1
        self.recent.append(record)
        self._fewer.set()
        logger.info(
            "call %s ended: %s, %d turns, %d barge-ins, %d bad messages",
            record.call_id, record.cause, record.counters.turns, record.counters.barge_ins,
            record.counters.bad_messages,
        )  # fmt: skip


async def _cut(call: Call) -> None:
    """End a call from our side, on the platform and here at once: each has a ceiling of 2 s, so has both."""
    await asyncio.gather(call.hang_up("drained"), call.end("drained"))
