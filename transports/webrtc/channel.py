"""The call's end of the data channel: events out, the page's wishes in, both bounded."""

import logging
from collections import deque
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from agent.clock import Clock
from agent.errors import WireError
from agent.events import CallEvent
from transports.webrtc.bucket import Bucket
from transports.webrtc.messages import CHANNEL, PageMessage, read_message, write_event

logger = logging.getLogger(__name__)

MAX_EARLY = 64
"""Events that wait for the channel to open; a greeting makes some ten. The oldest go."""
MAX_UNSENT_BYTES = 128 * 1024
"""Events in aiortc's buffer for a page that does not read. More are dropped."""
MESSAGES_PER_S = 20.0
"""A page sends a handful a second at most: metrics once, keys and text by hand."""
BURST = 60.0
MAX_FLOOD = 500
"""Messages over the rate after which the call is ended."""
MAX_CHANNELS = 4
"""Data channels that a browser may open in a call; only the one labelled `parley` is used."""


class Channel:
    """One call's data channel. All calls are plain; nothing here raises."""

    def __init__(
        self, clock: Clock, on_message: Callable[[PageMessage], None], on_bad: Callable[[str, str], None]
    ) -> None:
        """`on_bad(kind, detail)`: dropped and to be counted; kind `flood_end` asks for the call's end."""
        self._clock = clock
        self._on_message = on_message
        self._on_bad = on_bad
        self._channel: RTCDataChannel | None = None
        self._early: deque[str] = deque(maxlen=MAX_EARLY)
        self._bucket = Bucket(MESSAGES_PER_S, BURST, clock.now_ms())
        self._opened = 0
        self._flood = 0
        self.dropped = 0
        """Events that the page did not get."""

    def opened(self, channel: RTCDataChannel) -> None:
        """The browser opened a data channel."""
        self._opened += 1
        if self._opened > MAX_CHANNELS:
            self._on_bad("flood_end", "too many data channels")
            return
        if channel.label != CHANNEL or self._channel is not None:
            self._on_bad("channel", f"an unknown data channel {channel.label[:40]!r}")
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._received)
        early, self._early = self._early, deque(maxlen=MAX_EARLY)
        for text in early:
            self.send(text)

    def event(self, event: CallEvent) -> None:
        """Tell the page. An `agent.events.CallListener`."""
        self.send(write_event(event))

    def send(self, text: str) -> None:
        """Send a message, or keep it until the channel opens."""
        channel = self._channel
        if channel is None:
            self.dropped += len(self._early) == MAX_EARLY
            self._early.append(text)
            return
        if channel.bufferedAmount > MAX_UNSENT_BYTES:
            self.dropped += 1
            return
        try:
            channel.send(text)
        except (InvalidStateError, ValueError):  # closed, or longer than the browser takes
            self.dropped += 1

    @property
    def unsent(self) -> int:
        """Bytes that still wait to be sent."""
        return self._channel.bufferedAmount if self._channel is not None else 0

    def _received(self, data: str | bytes) -> None:
        if not self._bucket.take(self._clock.now_ms()):
            self._flood += 1
            self._on_bad("flood_end" if self._flood > MAX_FLOOD else "flood", "too many messages")
            return
        try:
            message = read_message(data)
        except WireError as error:
            self._on_bad(error.kind, str(error))
            return
        if message is not None:
            self._on_message(message)
