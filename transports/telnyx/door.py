"""Who may open a media socket for which call.

A ticket lets one socket in, once. A call that is live and has lost its socket may come back: by the ticket of
its first socket (a TeXML stream with `enableReconnect` sends the same parameters again), or by a fresh one
that a new `streaming_start` gave it. Neither needs a slot, the call holds one.
"""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from agent.clock import Clock
from agent.errors import TicketError
from agent.lines import CallHost, Slot

SILENT_MS = 300.0
"""A live stream brings a frame every 20 ms. A socket that brought none for so long is taken for broken, and
may be taken over; before that, a ticket shown again is a stolen one."""
MAX_RETURNS = 10_000
"""Calls remembered with their last used ticket; the oldest are forgotten beyond this."""


class OpenSocket(Protocol):
    """A socket that was let in."""

    @property
    def last_heard_ms(self) -> float:
        """When its last message came."""

    def key_from_webhook(self, digit: str, occurred_at: str) -> None:
        """A webhook told of a key."""


class _HeldSlot:
    """The slot of a call that comes back: it has its own already."""

    def release(self) -> None:
        """Nothing to give back."""


class Door:
    """Tickets and open sockets, by `call_control_id`."""

    def __init__(self, host: CallHost, clock: Clock, *, secured: bool) -> None:
        """`secured`: sockets need a ticket. Else one from this machine may come without."""
        self.secured = secured
        self._host = host
        self._clock = clock
        self._open: dict[str, OpenSocket] = {}
        self._returns: OrderedDict[str, str] = OrderedDict()

    def ticket(self, call_id: str) -> str:
        """A secret that lets one socket in for this call. Raises `Refused`."""
        if not self._host.is_live(call_id):
            return self._host.tickets.issue(call_id)
        secret = secrets.token_urlsafe(24)
        self._remember(call_id, secret)
        return secret

    def admit(self, shown: Sequence[str], call_id: str) -> Slot:
        """The place for the call of a socket that has named itself and shown these secrets.

        Raises `TicketError`, or `Refused` for a local caller without a ticket when the server is full.
        """
        live = self._host.is_live(call_id)
        if live and any(self._is_return(secret, call_id) for secret in shown):
            if self.is_heard(call_id):
                raise TicketError("the ticket was used, and its socket is well")
            return _HeldSlot()
        for secret in shown:
            try:
                slot = self._host.tickets.redeem(secret, call_id)
            except TicketError:
                continue
            self._remember(call_id, secret)
            return slot
        if shown or self.secured:
            raise TicketError("no valid ticket" if shown else "no ticket")
        return _HeldSlot() if live else self._host.reserve()

    def opened(self, call_id: str, socket: OpenSocket) -> None:
        """The socket serves this call now, instead of any earlier one."""
        self._open[call_id] = socket

    def closed(self, call_id: str, socket: OpenSocket) -> bool:
        """The socket is gone. False if another one serves the call by now."""
        if self._open.get(call_id) is not socket:
            return False
        del self._open[call_id]
        return True

    def socket(self, call_id: str) -> OpenSocket | None:
        """The socket that serves this call."""
        return self._open.get(call_id)

    def is_heard(self, call_id: str) -> bool:
        """True while a socket serves this call and brings messages."""
        socket = self._open.get(call_id)
        return socket is not None and self._clock.now_ms() - socket.last_heard_ms < SILENT_MS

    def over(self, call_id: str) -> None:
        """The call has ended: no socket comes any more, and a ticket that waits frees its slot."""
        self._remember(call_id, "")
        self._host.tickets.cancel(call_id)

    def was_served(self, call_id: str) -> bool:
        """True if the call has had a socket, or is over."""
        return call_id in self._returns

    def _is_return(self, secret: str, call_id: str) -> bool:
        known = self._returns.get(call_id)
        return bool(known) and secrets.compare_digest((known or "").encode(), secret.encode())

    def _remember(self, call_id: str, secret: str) -> None:
        self._returns[call_id] = secret
        self._returns.move_to_end(call_id)
        if len(self._returns) > MAX_RETURNS:
            self._returns.popitem(last=False)
