"""One browser's call, from its offer to its end."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.agentfile.schema import AgentFile
from agent.clock import Clock
from agent.errors import Refused, WireError
from agent.lines import CallHost, CallInfo, MediaCall, Slot
from agent.ticker import Ticker
from transports.webrtc.bucket import Bucket
from transports.webrtc.channel import Channel
from transports.webrtc.codecs import CodecName
from transports.webrtc.fragment import Fragment, write_fragment
from transports.webrtc.frames import FrameStore, StoredSpeech
from transports.webrtc.line import TRANSPORT, BrowserLine
from transports.webrtc.link import Link
from transports.webrtc.messages import (
    ClientMetrics,
    HangUp,
    Key,
    PageMessage,
    Ping,
    SwitchLanguage,
    Typed,
    write_bye,
    write_hello,
    write_pong,
)
from transports.webrtc.options import WebRtcOptions
from transports.webrtc.opus import OpusEncoder
from transports.webrtc.receiver import Receiver, heard_format
from transports.webrtc.reports import (
    REPORT_MS,
    Network,
    build_bye,
    build_report,
    parse_report,
    round_trip_ms,
)
from transports.webrtc.rtp import is_rtcp
from transports.webrtc.sdp import IceParameters, Local, Offer, write_answer
from transports.webrtc.secure import Certificate, SecureTransport
from transports.webrtc.sender import SPOKEN_HZ, Sender

logger = logging.getLogger(__name__)

CONNECT_S = 10.0
"""From the answer to the end of the DTLS handshake: TURN over TCP on a slow phone takes some 3 s."""
GONE_MS = 12_000.0
"""Silence after which a browser is gone. Chrome checks connectivity every 2 s (seen); RFC 7675 has 5 s and
gives up after 30. Long enough for the page to restart ICE when its network changes."""
GONE = "browser_gone"
CLOSED_BY_BROWSER = "closed_by_browser"
GOODBYE_S = 0.3
"""For the last data-channel message to leave."""
PATCHES_PER_S = 5.0
PATCH_BURST = 60.0
"""Candidates come one by one from some clients: a dozen in a second, then none."""
_LOSS_STEPS = (0, 5, 10, 20, 30)
"""Percentages told to the encoder: few, since stored frames depend on them."""


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What all sessions share."""

    host: CallHost
    clock: Clock
    ticker: Ticker
    agent: AgentFile
    options: WebRtcOptions
    store: FrameStore


class _NoSlot:
    """Stands for the place that a call which goes on holds already."""

    def release(self) -> None:
        """Nothing to give back."""


_NO_SLOT = _NoSlot()


class Session:
    """A WHIP session: signalling, media and data channel of one call."""

    def __init__(
        self,
        parts: SessionParts,
        certificate: Certificate,
        offer: Offer,
        info: CallInfo,
        *,
        resumes: bool,
        local: bool,
    ) -> None:
        """`resumes`: the call is live and goes on here. `local`: the browser is on this machine."""
        self.id = secrets.token_urlsafe(18)
        """Unguessable: who has it may change and end the call."""
        self.info = info
        self.network = Network()
        """For metrics; live."""
        self.etag = ""
        self.moving = False
        """The browser has offered another session for this call: its end here is not the call's."""
        self.patches = Bucket(PATCHES_PER_S, PATCH_BURST, parts.clock.now_ms())
        """Bounds changes over HTTP."""
        self._parts = parts
        self._clock = clock = parts.clock
        self._offer = offer
        self._slot: Slot | None = _NO_SLOT if resumes else None
        self._cname = secrets.token_hex(8)
        self._link = Link(parts.options.ice, clock, self._media, local=local)
        self._channel = Channel(clock, self._wish, self._bad)
        self._secure = SecureTransport(
            self._link, certificate, offer, lambda: self.finish(CLOSED_BY_BROWSER),
            self._channel.opened, self._bad,
        )  # fmt: skip
        speech = None
        if offer.codec.name is CodecName.OPUS:
            options = parts.options
            settings = f"{SPOKEN_HZ} {options.bitrate} {options.complexity}"
            speech = StoredSpeech(
                lambda: OpusEncoder(SPOKEN_HZ, options.bitrate, options.complexity), settings, parts.store
            )
        self._speech = speech
        self._sender = Sender(offer.codec, self.network, speech, self._secure.send, clock.now_ms())
        self.line = BrowserLine(info, heard_format(offer.codec), self._sender, clock, self.finish, self._bad)
        self._receiver: Receiver | None = None
        self._call: MediaCall | None = None
        self._over = asyncio.Event()
        self._cause = ""
        self._report_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    def reserve(self) -> None:
        """A place for the call, unless it has one. Held until a call takes it over. Raises `Refused`."""
        if self._slot is None:
            self._slot = self._parts.host.reserve()

    # --- signalling --------------------------------------------------------------------------------

    async def answer(self) -> str:
        """Bind sockets; returns the SDP answer. Raises `ConnectionError`."""
        ice = await self._link.gather()
        self.etag = f'"{ice.ufrag}"'
        local = Local(ice, self._secure.fingerprints, self._sender.ssrc, self._cname, secrets.randbits(31))
        return write_answer(self._offer, local)

    def start(self, on_over: Callable[["Session"], None]) -> None:
        """Connect and serve, in a task of its own. `on_over` is called at its end."""
        self._task = asyncio.create_task(self._run(), name=f"webrtc {self.id[:8]}")
        self._task.add_done_callback(lambda _: on_over(self))

    async def trickle(self, fragment: Fragment) -> None:
        """More of the browser's candidates."""
        await self._link.add(IceParameters("", "", fragment.candidates))

    async def restart(self, fragment: Fragment) -> str:
        """Another network: returns our new credentials as a fragment; the ETag changes.

        Raises `ConnectionError` before there was a first connection, or if nothing can be bound.
        """
        if self._call is None:
            raise ConnectionError("there is no connection yet that could be restarted")
        remote = IceParameters(fragment.ufrag or "", fragment.password or "", fragment.candidates)
        ice = await self._link.restart(remote, CONNECT_S)
        self.etag = f'"{ice.ufrag}"'
        # The browser is there: give it the time that a new one has.
        self._link.heard()
        return write_fragment(self._offer, ice)

    def finish(self, cause: str) -> None:
        """End the call, soon. The first cause counts."""
        if not self._over.is_set():
            self._cause = cause
            self._over.set()

    async def closed(self) -> None:
        """Returns when all is torn down."""
        if self._task is not None:
            await asyncio.wait({self._task})
        else:
            await self._close()

    # --- its life ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            if await self._connected():
                self._begin()
                await self._over.wait()
        except Refused as refused:
            self.finish(refused.reason.value)
        except Exception:  # one call's fault must not end another's; counted by its cause
            logger.exception("webrtc session %s failed", self.id[:8])
            self.finish("fault")
        finally:
            await self._close()

    async def _connected(self) -> bool:
        """True once the browser is there; False if it did not come, or left before."""
        connecting = asyncio.create_task(self._connect())
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({connecting, over}, timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and not self._over.is_set():
                await connecting
                return True
        except ConnectionError as error:
            logger.info("webrtc session %s did not connect: %s", self.id[:8], error)
        finally:
            connecting.cancel()
            over.cancel()
            await asyncio.gather(connecting, over, return_exceptions=True)
        if not self._over.is_set():
            self._bad("not_connected", "no connection after the answer")
            self.finish("not_connected")
        return False

    async def _connect(self) -> None:
        await self._link.connect(self._offer.ice)
        await self._secure.connect()

    def _begin(self) -> None:
        host, call_id = self._parts.host, self.info.platform_call_id
        if self._slot is _NO_SLOT and not host.is_live(call_id):
            self._slot = host.reserve()  # the call that was to go on has ended meanwhile: this is a new one
        slot, self._slot = self._slot, None
        assert slot is not None
        agent = self._parts.agent
        self._channel.send(write_hello(call_id, self.info.language or agent.language, agent.name))
        self._call = call = host.answer_media(self.line, slot, events=self._channel.event)
        self.line.call = call
        self._receiver = Receiver(self._offer.codec, self.network, call.hear)
        self._report_ms = self._clock.now_ms() + REPORT_MS / 10
        self._parts.ticker.add(self._tick)

    async def _close(self) -> None:
        self._parts.ticker.remove(self._tick)
        self._receiver = self.line.call = None
        self.line.drop_marks()
        call, self._call = self._call, None
        if call is not None:
            await self._leave(call)
        if self._slot is not None:
            self._slot.release()
            self._slot = None
        await self._secure.close()
        await self._link.close()

    async def _leave(self, call: MediaCall) -> None:
        """This session ends: so does the call, unless it goes on over another one."""
        if not self.line.closed:
            if self._cause == GONE or (self._cause == CLOSED_BY_BROWSER and self.moving):
                # It may come back, from another network: see `resume` in whip.py.
                await call.lost()
                return
            await call.hung_up(self._cause)
        elif self._parts.host.is_live(self.info.platform_call_id):
            return
        await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        self._channel.send(write_bye(self._cause))
        self._secure.send(build_bye(self._sender.ssrc))
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                # aiortc takes messages over in a task of its own; there is no event for the last byte.
                while self._channel.unsent:
                    await self._clock.sleep(5.0)

    # --- media -------------------------------------------------------------------------------------

    def _media(self, data: bytes) -> None:
        """An encrypted RTP or RTCP packet, from within the socket's callback: it must not raise."""
        if self._receiver is None or self._over.is_set():
            return
        opened = self._secure.open(data)
        if opened is None:
            self._bad("srtp", "a packet that cannot be decrypted")
            return
        try:
            if is_rtcp(data):
                self._report_came(opened, self._clock.now_ms())
            else:
                self._receiver.packet(opened, self._clock.now_ms())
        except WireError as error:
            self._bad(error.kind, str(error))
        except Exception:  # the core's fault: this call cannot go on, the others can
            logger.exception("call %s failed on a packet", self.id[:8])
            self.finish("fault")

    def _tick(self, now_ms: float) -> None:
        """Every 20 ms."""
        if self._receiver is None or self._over.is_set():
            return
        self._receiver.tick(now_ms)
        self._sender.tick(now_ms)
        if now_ms - self._link.last_heard_ms > GONE_MS:
            self.finish(GONE)
        elif now_ms >= self._report_ms:
            self._report_ms = now_ms + REPORT_MS
            reception = self._receiver.reception
            if reception is not None:
                self.network.jitter_in_ms = reception.jitter_ms
                self.network.lost_in = reception.lost
            sent = self._sender.sent(now_ms)
            self._secure.send(build_report(sent, self._cname, self._clock.unix_s(), now_ms, reception))

    def _report_came(self, data: bytes, now_ms: float) -> None:
        report = parse_report(data, self._sender.ssrc)
        network = self.network
        if report.sender_ntp is not None and self._receiver is not None and self._receiver.reception:
            self._receiver.reception.sender_report(report.sender_ntp, now_ms)
        if report.view is not None:
            view = report.view
            network.jitter_out_ms = view.jitter / self._offer.codec.clock_khz
            network.lost_out = view.packets_lost
            # Reports come every few seconds: half of the old value rides out a single bad one.
            network.loss_out = (network.loss_out + view.fraction_lost / 256) / 2
            network.rtt_ms = round_trip_ms(view, self._clock.unix_s()) or network.rtt_ms
            if self._speech is not None:
                percent = 100 * network.loss_out
                self._speech.expect_loss(max(step for step in _LOSS_STEPS if step <= percent))

    # --- data channel ------------------------------------------------------------------------------

    def _wish(self, message: PageMessage) -> None:
        """What the page wants."""
        call = None if self._over.is_set() else self._call
        if isinstance(message, HangUp):
            self.finish("caller_hung_up")
        elif isinstance(message, Ping):
            self._channel.send(write_pong(message, self._clock.now_ms()))
        elif isinstance(message, ClientMetrics):
            self.network.client = message.metrics
            host = self._parts.host
            host.record_client(self.info.platform_call_id, message.turn, message.metrics)
        elif call is None:
            return
        elif isinstance(message, Typed):
            call.typed(message.text)
        elif isinstance(message, SwitchLanguage):
            call.switch_language(message.language)
        elif isinstance(message, Key):
            call.dtmf(message.digit)

    def _bad(self, kind: str, detail: str) -> None:
        """Something that no browser does: counted, and one line in the log where that helps."""
        if self._call is not None:
            self._call.bad_message(kind)
        else:
            self._parts.host.count_bad_request(TRANSPORT, kind)
        logger.debug("webrtc %s: %s: %s", self.id[:8], kind, detail)
        if kind in ("flood_end", "giant_message"):
            logger.warning("webrtc session %s is ended: %s", self.id[:8], detail)
            self.finish(kind)
