"""What stays the same of a call when its browser comes back over another session."""

from collections.abc import Callable

from agent.events import CallEvent, CallListener


class Relay:
    """Passes a call's events to the session that carries it now."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self._listener: CallListener | None = None
        self._let_go: Callable[[], None] | None = None

    def tell(self, event: CallEvent) -> None:
        """An `agent.events.CallListener`."""
        if self._listener is not None:
            self._listener(event)

    def taken_by(self, listener: CallListener, let_go: Callable[[], None]) -> None:
        """Another session carries the call from now on; the one before is told to let go of it."""
        if self._let_go is not None:
            self._let_go()
        self._listener, self._let_go = listener, let_go

    def left_by(self, let_go: Callable[[], None]) -> None:
        """A session has ended: nothing is to be kept of it."""
        if self._let_go == let_go:
            self._listener = self._let_go = None
