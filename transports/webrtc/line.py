"""The transport's end of a browser's call. Implements `agent.lines.MediaLine`."""

from collections.abc import Callable
from functools import partial

from agent.audio.formats import AudioFormat
from agent.clock import Clock, Timer
from agent.errors import LineError
from agent.lines import CallInfo, MediaCall
from transports.webrtc.sender import Sender

TRANSPORT = "webrtc"
"""Label of every metric."""


class BrowserLine:
    """There is no far buffer that could be cleared: each frame is sent when it is due."""

    lead_ms = 0.0

    def __init__(
        self,
        info: CallInfo,
        inbound: AudioFormat,
        sender: Sender,
        clock: Clock,
        finish: Callable[[str], None],
        on_bad: Callable[[str, str], None],
    ) -> None:
        """`finish(cause)` ends the session, soon."""
        self.info = info
        self.inbound = inbound
        self.outbound = sender.format
        self.call: MediaCall | None = None
        """Set once there is one."""
        self.closed = False
        """The call has let go of this line: it is over, or has another one."""
        self._sender = sender
        self._frame_bytes = sender.format.frame_bytes
        self._clock = clock
        self._finish = finish
        self._on_bad = on_bad
        self._marks: dict[str, Timer] = {}

    def send(self, audio: bytes) -> None:
        """See `agent.lines.MediaLine`. More than one frame goes out in one burst: the browser smooths it."""
        size = self._frame_bytes
        now_ms = self._clock.now_ms()
        if len(audio) == size:
            self._sender.frame(audio, now_ms)
            return
        for start in range(0, len(audio) - size + 1, size):
            self._sender.frame(audio[start : start + size], now_ms)

    def mark(self, name: str) -> None:
        """See `agent.lines.MediaLine`. Comes back by the RTP clock: when what was sent has run out."""
        left_ms = self._sender.ends_ms - self._clock.now_ms()
        self._marks[name] = self._clock.call_later(max(left_ms, 0.0), partial(self._marked, name))

    def clear(self) -> None:
        """See `agent.lines.MediaLine`. What was sent is heard; only the marks come back early."""
        self._sender.stop()
        for name, timer in tuple(self._marks.items()):
            timer.cancel()
            self._marks[name] = self._clock.call_later(0.0, partial(self._marked, name))

    async def hang_up(self) -> None:
        """See `agent.lines.Line`."""
        self._finish("agent_hung_up")

    async def transfer(self, target: str) -> None:
        """See `agent.lines.Line`. A browser has no number to be transferred from."""
        raise LineError("a call from a browser cannot be transferred")

    def send_digits(self, digits: str) -> None:
        """See `agent.lines.Line`. A browser has no use for any: counted and dropped."""
        self._on_bad("unsupported_digits", "a browser takes no DTMF")

    def close(self) -> None:
        """See `agent.lines.Line`."""
        self.closed = True
        self.drop_marks()
        self._finish("closed")

    def drop_marks(self) -> None:
        """The call is over: no mark comes back any more."""
        for timer in self._marks.values():
            timer.cancel()
        self._marks.clear()

    def _marked(self, name: str) -> None:
        self._marks.pop(name, None)
        if self.call is not None:
            self.call.marked(name)
