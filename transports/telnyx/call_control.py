"""Carries out what the call flow says: commands, tickets, timers. One object for all calls of the process.

Everything here is started by a plain call and done in the background: webhooks and sockets never wait.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from agent.audio.formats import AudioFormat
from agent.clock import Clock, Timer
from agent.errors import LineError, Refused
from agent.lines import CallHost
from transports.telnyx.actions import CallActions, CallOver, StreamOrder
from transports.telnyx.background import Background
from transports.telnyx.call_flow import CallFlow, Signal, State, Step
from transports.telnyx.door import Door
from transports.telnyx.farewell import Sentence
from transports.telnyx.webhook_codec import Kind, Webhook

logger = logging.getLogger(__name__)

MAX_FLOWS = 10_000
"""Calls remembered, ended ones too: hours for one process, some 5 MB."""
GRACE_MS = 500.0
"""Between a lost stream and a new one: mostly the caller has hung up and `call.hangup` is on its way."""
CEILINGS_MS = {
    # The ticket is good for 30 s.
    State.ANSWERING: 25_000.0,
    # The core waits 20 s for a lost socket.
    State.STREAMING: 15_000.0,
    # The default apology takes 4 s.
    State.FAREWELL: 12_000.0,
    State.CLOSING: 5_000.0,
}
"""How long a state may last. Assumed: nothing is documented; most of these take under 2 s in practice."""
_WITH_STREAM = (State.STREAMING, State.ON_AIR)


class CallWatcher(Protocol):
    """What a media socket tells about its call. Calls that came by TeXML are unknown here and ignored."""

    def brings_back(self, call_id: str) -> bool:
        """True if a new stream is asked for, should this one end while the call goes on."""

    def socket_up(self, call_id: str) -> None:
        """A socket was let in for this call."""

    def socket_lost(self, call_id: str) -> None:
        """It went away, and the conversation goes on."""

    def conversation_over(self, call_id: str) -> None:
        """The conversation has ended on the socket, by either side."""

    def handed_over(self, call_id: str) -> None:
        """The caller is being transferred."""

    def give_up(self, call_id: str, cause: str) -> None:
        """This call cannot go on: end it everywhere."""


class _Entry:
    __slots__ = ("ceiling", "flow", "grace", "ticket")

    def __init__(self, flow: CallFlow, ticket: str) -> None:
        self.flow = flow
        self.ticket = ticket
        """Not used yet; empty after the first stream."""
        self.grace: Timer | None = None
        self.ceiling: Timer | None = None

    def stop_timers(self) -> None:
        for timer in (self.grace, self.ceiling):
            if timer is not None:
                timer.cancel()
        self.grace = self.ceiling = None


class CallControl:
    """Call Control calls. Implements `CallWatcher`."""

    def __init__(
        self,
        host: CallHost,
        clock: Clock,
        door: Door,
        actions: CallActions | None,
        outbound: AudioFormat,
        background: Background,
        farewell: Sentence | None = None,
    ) -> None:
        """`actions` None: there is no API key, so calls can only come by TeXML.

        `farewell` is said to a caller whose stream cannot be had.
        """
        self._host = host
        self._clock = clock
        self._door = door
        self._actions = actions
        self._outbound = outbound
        self._background = background
        self._farewell = farewell
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def state(self, call_id: str) -> State | None:
        """Where a call is; None if it did not come by Call Control, or was forgotten."""
        entry = self._entries.get(call_id)
        return None if entry is None else entry.flow.state

    def handle(self, event: Webhook, stream_url: str) -> bool:
        """A verified webhook, not seen before. False if it cannot be taken now and has to be sent again."""
        if not self._background.has_room:
            return False
        call_id = event.call_control_id
        match event.kind:
            case Kind.INITIATED:
                return self._initiated(event, stream_url)
            case Kind.ANSWERED:
                self._signal(call_id, Signal.ANSWERED)
            case Kind.HANGUP:
                self._hung_up(event)
            case Kind.SPEAK_ENDED:
                self._signal(call_id, Signal.SPOKEN, "stream_failed")
            case Kind.BRIDGED:
                self._signal_session(event, Signal.BRIDGED)
            case Kind.DTMF:
                socket = self._door.socket(call_id)
                if socket is not None and event.digit:
                    socket.key_from_webhook(event.digit, event.occurred_at)
            case Kind.STREAMING_FAILED:
                logger.warning("call %.64s: the stream failed: %s", call_id, event.cause or "no reason given")
                self._stream_lost(call_id)
            case Kind.STREAMING_STOPPED if self.state(call_id) is State.ON_AIR:
                # In any other state it tells of an earlier stream.
                self._stream_lost(call_id)
            case _:
                pass
        return True

    def close(self) -> None:
        """Stop all timers."""
        for entry in self._entries.values():
            entry.stop_timers()
        self._entries.clear()

    # --- what sockets tell -------------------------------------------------------------------------

    def brings_back(self, call_id: str) -> bool:
        """See `CallWatcher`."""
        return self.state(call_id) in _WITH_STREAM

    def socket_up(self, call_id: str) -> None:
        """See `CallWatcher`."""
        self._signal(call_id, Signal.SOCKET_UP)

    def socket_lost(self, call_id: str) -> None:
        """See `CallWatcher`."""
        self._stream_lost(call_id)

    def conversation_over(self, call_id: str) -> None:
        """See `CallWatcher`."""
        self._signal(call_id, Signal.CONVERSATION_OVER)

    def handed_over(self, call_id: str) -> None:
        """See `CallWatcher`."""
        self._signal(call_id, Signal.HANDED_OVER)

    def give_up(self, call_id: str, cause: str) -> None:
        """See `CallWatcher`."""
        entry = self._entries.get(call_id)
        if entry is not None:
            entry.flow.state = State.OVER
            entry.stop_timers()
        self._end(call_id, cause, on_platform=True)

    # -----------------------------------------------------------------------------------------------

    def _initiated(self, event: Webhook, stream_url: str) -> bool:
        call_id = event.call_control_id
        actions = self._actions
        if not event.incoming or call_id in self._entries:
            return True
        if actions is None:
            logger.error("call %.64s: Call Control needs TELNYX_API_KEY to answer (TeXML does not)", call_id)
            self._host.count_bad_request("telnyx", "no_api_key")
            return False
        entry = _Entry(CallFlow(stream_url, event.session_id), "")
        self._remember(call_id, entry)
        try:
            entry.ticket = self._door.ticket(call_id)
        except Refused as refused:
            logger.info("call %.64s: %s", call_id, refused)
            entry.flow.state = State.OVER
            self._command(call_id, partial(actions.reject, call_id), "reject")
            return True
        self._guard(call_id, entry)
        self._command(call_id, partial(actions.answer, call_id), "answer")
        return True

    def _hung_up(self, event: Webhook) -> None:
        call_id = event.call_control_id
        if self.state(call_id) is None:
            if self._signal_session(event, Signal.TARGET_GONE):
                return
            # Late or early, or a call that came by TeXML: its `call.initiated` must not begin it any more.
            flow = CallFlow("", event.session_id)
            flow.state = State.OVER
            self._remember(call_id, _Entry(flow, ""))
            self._end(call_id, event.cause or "caller_hung_up", on_platform=False)
        else:
            self._signal(call_id, Signal.HANGUP, event.cause or "caller_hung_up")

    def _signal_session(self, event: Webhook, signal: Signal) -> bool:
        """For the call whose transfer this leg belongs to. False if there is none."""
        for call_id, entry in self._entries.items():
            flow = entry.flow
            same = bool(event.session_id) and flow.session_id == event.session_id
            if flow.state is State.HANDED_OVER and (same or call_id == event.call_control_id):
                self._signal(call_id, signal, "transfer_failed")
                return True
        return False

    def _signal(self, call_id: str, signal: Signal, cause: str = "") -> None:
        entry = self._entries.get(call_id)
        if entry is None:
            return
        step = entry.flow.handle(signal)
        self._guard(call_id, entry)
        match step:
            case Step.STREAM:
                self._start_stream(call_id, entry)
            case Step.SPEAK:
                self._take_leave(call_id)
            case Step.HANG_UP:
                cause = cause or "stream_failed"
                logger.warning("call %.64s: hanging up: %s", call_id, cause)
                self._end(call_id, cause, on_platform=True)
            case Step.END:
                self._end(call_id, cause, on_platform=False)
            case Step.NONE:
                pass

    def _guard(self, call_id: str, entry: _Entry) -> None:
        """Set the state's ceiling anew."""
        if entry.ceiling is not None:
            entry.ceiling.cancel()
            entry.ceiling = None
        if entry.flow.state is State.OVER:
            entry.stop_timers()
        limit_ms = CEILINGS_MS.get(entry.flow.state)
        if limit_ms is not None:
            entry.ceiling = self._clock.call_later(
                limit_ms, lambda: self._signal(call_id, Signal.STUCK, "stuck")
            )

    def _stream_lost(self, call_id: str) -> None:
        entry = self._entries.get(call_id)
        if entry is not None and entry.grace is None and entry.flow.state in _WITH_STREAM:
            entry.grace = self._clock.call_later(GRACE_MS, lambda: self._grace_over(call_id, entry))

    def _grace_over(self, call_id: str, entry: _Entry) -> None:
        entry.grace = None
        if self._door.is_heard(call_id):
            return
        if entry.flow.state is State.ON_AIR and not self._host.is_live(call_id):
            # The core did not wait for it: a new stream would begin a new conversation.
            self._signal(call_id, Signal.CONVERSATION_OVER)
        else:
            self._signal(call_id, Signal.STREAM_LOST)

    def _start_stream(self, call_id: str, entry: _Entry) -> None:
        actions = self._actions
        assert actions is not None, "only a call that was answered gets here"
        ticket, entry.ticket = entry.ticket, ""
        if not ticket:
            try:
                ticket = self._door.ticket(call_id)
            except Refused as refused:
                logger.warning("call %.64s: cannot be saved: %s", call_id, refused)
                self.give_up(call_id, "stream_failed")
                return
        if entry.flow.restarts:
            logger.info("call %.64s: starting the stream again (%d)", call_id, entry.flow.restarts)
        order = StreamOrder(entry.flow.stream_url, self._outbound, ticket)
        self._command(call_id, partial(actions.start_stream, call_id, order), "streaming_start")

    def _take_leave(self, call_id: str) -> None:
        """No stream can be had: the caller is told before the call is ended."""
        actions, farewell = self._actions, self._farewell
        # No socket may come any more: it would talk into the sentence, and be cut off after it.
        self._door.over(call_id)
        if actions is None or farewell is None:
            self.give_up(call_id, "stream_failed")
            return
        logger.warning("call %.64s: no stream can be had: saying so", call_id)
        self._command(call_id, partial(actions.speak, call_id, farewell), "speak")

    def _command(self, call_id: str, command: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        async def job() -> None:
            try:
                await command()
            except CallOver:
                self._signal(call_id, Signal.HANGUP, "caller_hung_up")
            except LineError as error:
                logger.warning("call %.64s: %s", call_id, error)
                if what != "reject":
                    self.give_up(call_id, f"{what}_failed")

        if not self._background.start(job, what):
            self.give_up(call_id, f"{what}_failed")

    def _end(self, call_id: str, cause: str, *, on_platform: bool) -> None:
        self._door.over(call_id)
        actions = self._actions if on_platform else None

        async def job() -> None:
            if actions is not None:
                try:
                    await actions.hang_up(call_id)
                except LineError as error:
                    logger.warning("call %.64s: %s", call_id, error)
            await self._host.hang_up(call_id, cause)

        self._background.start(job, "end of call")

    def _remember(self, call_id: str, entry: _Entry) -> None:
        if len(self._entries) >= MAX_FLOWS:
            _, oldest = self._entries.popitem(last=False)
            oldest.stop_timers()
        self._entries[call_id] = entry
