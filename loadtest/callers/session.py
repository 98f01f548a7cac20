"""One whole synthetic call: ring, connect, follow the script, say goodbye to the platform."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.audio.formats import PCMU_8K, AudioFormat, Encoding
from agent.clock import Clock
from loadtest.callers.caller import ANSWER_TIMEOUT_MS, Caller, CallObserver
from loadtest.callers.errors import CallRefused
from loadtest.callers.markup import Connect
from loadtest.callers.media_phone import MediaPhone
from loadtest.callers.phone import Phone
from loadtest.callers.relay_phone import RelayPhone
from loadtest.callers.result import CallResult
from loadtest.callers.telnyx_media import TelnyxMediaFarEnd
from loadtest.callers.twilio_media import TwilioMediaFarEnd
from loadtest.callers.twilio_relay import RelayOptions, TwilioRelayFarEnd
from loadtest.callers.utterance import Step
from loadtest.callers.webhook import Exchange, Placed, Via
from loadtest.callers.wire import Wire, open_wire

_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


@dataclass(frozen=True, slots=True)
class Session:
    """A call that was made: its figures, and the phone with its recording."""

    result: CallResult
    phone: Phone


async def make_call(
    exchange: Exchange,
    script: Sequence[Step],
    clock: Clock,
    *,
    timeout_ms: float = ANSWER_TIMEOUT_MS,
    observer: CallObserver | None = None,
    record: bool = True,
) -> Session:
    """Make one call by `script`. Raises `CallRefused` or `Unreachable` if there was none."""
    placed = await exchange.place()
    check_markup(exchange.via, placed.connect)
    wire = await open_wire(placed.wire_url, exchange.upgrade_headers(placed))
    phone = phone_for(exchange.via, placed, wire, clock, record=record)
    caller = Caller(phone, via=exchange.via.value, timeout_ms=timeout_ms, observer=observer)
    result = await caller.run(script)
    handoff = phone.handoff if isinstance(phone, RelayPhone) else None
    await exchange.finish(placed, hung_up=result.ended_by == "caller", handoff=handoff)
    ended = phone.ended
    refused = ended is not None and ended.code in (_POLICY_VIOLATION, _TRY_AGAIN_LATER)
    if ended is not None and refused and result.greeting_ms is None:
        raise CallRefused(f"the server {ended.detail} on {placed.wire_url}")
    return Session(result, phone)


def phone_for(via: Via, placed: Placed, wire: Wire, clock: Clock, *, record: bool = True) -> Phone:
    """The phone for a call that the server took."""
    identity, connect = placed.identity, placed.connect
    if via is Via.TWILIO_RELAY:
        options = RelayOptions.from_attributes(connect.attributes)
        return RelayPhone(wire, clock, TwilioRelayFarEnd(identity, connect.parameters), options)
    if via is Via.TWILIO:
        return MediaPhone(wire, clock, TwilioMediaFarEnd(identity, connect.parameters), record=record)
    far_end = TelnyxMediaFarEnd(
        clock,
        identity,
        connect.parameters,
        to_server=_telnyx_format(connect.attributes.get("codec", "default"), "8000"),
        from_server=_telnyx_format(
            connect.attributes.get("bidirectionalCodec", "PCMU"),
            connect.attributes.get("bidirectionalSamplingRate", "8000"),
        ),
    )
    return MediaPhone(wire, clock, far_end, record=record)


def check_markup(via: Via, connect: Connect) -> None:
    """What would leave the caller in silence. Raises `CallRefused`."""
    if via is Via.TELNYX and connect.attributes.get("bidirectionalMode", "mp3") != "rtp":
        raise CallRefused('<Stream> without bidirectionalMode="rtp": Telnyx would expect MP3 files')
    for name, value in connect.parameters.items():
        if via is Via.TWILIO and len(name) + len(value) >= 500:
            raise CallRefused(f"<Parameter> {name} has 500 characters or more, which Twilio refuses")


def _telnyx_format(codec: str, rate_hz: str) -> AudioFormat:
    """`codec="default"` is the leg's own: mu-law here."""
    if codec == "default":
        return PCMU_8K
    try:
        encoding = Encoding(codec)
        rate = int(rate_hz)
    except ValueError:
        raise CallRefused(f"this caller cannot speak {codec} at {rate_hz} Hz") from None
    if encoding is Encoding.G722:
        return AudioFormat(encoding, 16000)
    return AudioFormat(encoding, rate if encoding is Encoding.L16 else 8000)
