"""What is remembered of calls by their CallSid, across webhooks and sockets.

Twilio's signatures carry no time, so a recorded request verifies for ever. The book knows which calls have
been connected and which are over, and what may still be asked for each.
"""

from collections import OrderedDict
from dataclasses import dataclass

MAX_CALLS = 10_000
"""The longest unused are forgotten beyond this: hours of calls for one process, some 3 MB."""
MAX_RECONNECTS = 2
"""Fresh `<Connect>`s for one call whose socket dropped, so that a crash loop does not hold the caller."""


@dataclass(slots=True)
class _Entry:
    connected: bool = False
    ended: bool = False
    reconnects: int = 0
    retry_token: str = ""
    handoff: str | None = None


class CallBook:
    """Bounded memory of calls."""

    def __init__(self, max_calls: int = MAX_CALLS) -> None:
        self._max_calls = max_calls
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def connected(self, call_sid: str) -> None:
        """A socket of this call was let in."""
        self._entry(call_sid).connected = True

    def ended(self, call_sid: str) -> None:
        """Twilio says that the call is over."""
        self._entry(call_sid).ended = True

    def is_replay(self, call_sid: str, *, ringing: bool) -> bool:
        """True for a voice request that Twilio cannot be making now.

        A call that is over asks nothing; a call that has been connected does not ring any more.
        """
        entry = self._entries.get(call_sid)
        return entry is not None and (entry.ended or (ringing and entry.connected))

    def may_reconnect(self, call_sid: str, retry_token: str) -> bool:
        """Count an attempt to save a call. The same `retry_token` (not empty) is the same attempt."""
        entry = self._entry(call_sid)
        if not retry_token or retry_token != entry.retry_token:
            entry.retry_token = retry_token
            entry.reconnects += 1
        return entry.reconnects <= MAX_RECONNECTS

    def hand_off(self, call_sid: str, target: str | None) -> None:
        """Where the action webhook should connect this call; None forgets it."""
        self._entry(call_sid).handoff = target

    def handoff(self, call_sid: str) -> str | None:
        """The transfer target of this call, if one was set."""
        entry = self._entries.get(call_sid)
        return None if entry is None else entry.handoff

    def _entry(self, call_sid: str) -> _Entry:
        entry = self._entries.get(call_sid)
        if entry is None:
            if len(self._entries) >= self._max_calls:
                self._entries.popitem(last=False)
            entry = self._entries[call_sid] = _Entry()
        else:
            self._entries.move_to_end(call_sid)
        return entry
