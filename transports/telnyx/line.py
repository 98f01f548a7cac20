"""The transport's end of a Telnyx media stream."""

import logging
import re
from collections.abc import Callable

from agent.audio.formats import AudioFormat
from agent.clock import Timer
from agent.errors import LineError
from agent.lines import CallInfo
from transports.telnyx.media_codec import MediaEncoder
from transports.telnyx.parts import SessionParts
from transports.websocket import MediaWebSocket

logger = logging.getLogger(__name__)

LEAD_MS = 200.0
"""Telnyx buffers what is sent early and `clear` empties that: enough for jitter, cheap to clear (sheet 7)."""
IDLE_MS = 1_000.0
"""A call has been seen to be dropped after 1.6 s without audio from the server (sheet 9, unsure)."""
MAX_IDLE_FRAMES = 10
_NUMBER = re.compile(r"\+?[0-9]{2,15}")
_SIP = re.compile(r"sips?:[^\s<>\"]{1,250}")
_DIGITS = re.compile(r"[0-9A-D*#wW]{1,64}")


class TelnyxLine:
    """Implements `agent.lines.MediaLine`."""

    def __init__(
        self,
        parts: SessionParts,
        socket: MediaWebSocket,
        info: CallInfo,
        inbound: AudioFormat,
        encoder: MediaEncoder,
        close: Callable[[], None],
        bad: Callable[[str, str], None],
    ) -> None:
        """`close` closes the socket soon; `bad(kind, detail)` counts and logs."""
        self._parts = parts
        self._send = socket.send_text
        self._info = info
        self._inbound = inbound
        self._encoder = encoder
        self._close = close
        self._bad = bad
        self._idle: Timer | None = None
        self._idle_frames = 0
        self.ending: str | None = None
        """Why the call is over, once it is; then there is nothing left to do to it on the platform."""

    @property
    def info(self) -> CallInfo:
        """See `agent.lines.Line`."""
        return self._info

    @property
    def inbound(self) -> AudioFormat:
        """See `agent.lines.MediaLine`."""
        return self._inbound

    @property
    def outbound(self) -> AudioFormat:
        """See `agent.lines.MediaLine`."""
        return self._parts.outbound

    @property
    def lead_ms(self) -> float:
        """See `agent.lines.MediaLine`."""
        return LEAD_MS

    def send(self, audio: bytes) -> None:
        """See `agent.lines.MediaLine`."""
        if self._idle is not None:
            self._stop_idling()
        self._send(self._encoder.media(audio))

    def mark(self, name: str) -> None:
        """See `agent.lines.MediaLine`."""
        self._send(self._encoder.mark(name))

    def clear(self) -> None:
        """See `agent.lines.MediaLine`."""
        self._send(self._encoder.clear())

    def send_digits(self, digits: str) -> None:
        """See `agent.lines.Line`. Over REST, in the background."""
        actions = self._parts.actions
        if self.ending is not None:
            return
        if actions is None or not _DIGITS.fullmatch(digits):
            why = "digits: 0-9 A-D * # w W" if actions else "DTMF out needs TELNYX_API_KEY"
            self._bad("unsupported_digits", why)
            return

        async def job() -> None:
            try:
                await actions.send_digits(self._info.platform_call_id, digits)
            except LineError as error:
                self._bad("digits_failed", str(error))

        if not self._parts.background.start(job, "send_dtmf"):
            self._bad("digits_failed", "too many commands under way")

    async def hang_up(self) -> None:
        """See `agent.lines.Line`. Over REST where there is an API key, then by closing the socket.

        Closing alone ends a TeXML call as well: nothing follows its `<Connect>`.
        """
        if self.ending is not None:
            return
        self.ending = "agent_hung_up"
        call_id = self._info.platform_call_id
        self._parts.watcher.conversation_over(call_id)
        try:
            if self._parts.actions is not None:
                await self._parts.actions.hang_up(call_id)
        finally:
            self._close()

    async def transfer(self, target: str) -> None:
        """See `agent.lines.Line`. Over REST."""
        if self.ending is not None:
            return
        if not (_NUMBER.fullmatch(target) or _SIP.fullmatch(target)):
            raise LineError(f"cannot transfer to {target[:80]!r}: neither an E.164 number nor a SIP URI")
        if self._parts.actions is None:
            raise LineError("cannot transfer: set TELNYX_API_KEY")
        call_id = self._info.platform_call_id
        await self._parts.actions.transfer(call_id, target)
        self.ending = "transferred"
        self._parts.watcher.handed_over(call_id)

    def close(self) -> None:
        """See `agent.lines.Line`."""
        self._close()

    # --- for the session ---------------------------------------------------------------------------

    def keep_alive(self) -> None:
        """Send a frame of silence now, and one a second until the core's first audio (10 s at most)."""
        self._send(self._encoder.silence())
        self._idle_frames += 1
        more = self._idle_frames < MAX_IDLE_FRAMES
        self._idle = self._parts.clock.call_later(IDLE_MS, self.keep_alive) if more else None

    def socket_gone(self) -> None:
        """Nothing can be sent any more."""
        self._stop_idling()

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
