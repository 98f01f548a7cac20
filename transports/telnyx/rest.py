"""Telnyx's REST API through its SDK (sheet 2.5). Imported by `transports.telnyx.actions` on a thread."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable
from typing import Any, Literal, cast

import anyio
import telnyx

from agent.audio.formats import Encoding
from agent.errors import LineError
from transports.telnyx.actions import CallOver, StreamOrder
from transports.telnyx.farewell import Sentence
from transports.telnyx.texml import TICKET

logger = logging.getLogger(__name__)

DEFAULT_URL = "https://api.telnyx.com/v2"
DEADLINE_S = 5.0
HANG_UP_DEADLINE_S = 1.5
"""Below the core's 2 s ceiling on a hang-up."""
MAX_RETRIES = 1
"""Of a connection error, 429 or 5xx. The repeated command has the same command_id, so it is done once."""
RING_S = 30
"""How long a transfer's target rings."""
VOICE = "female"
"""Telnyx's default voice in each of its languages (the SDK's documentation of `speak`)."""
_ENDED = "90018"
"""Error code of a command on a call that has ended (sheet 6)."""

_Codec = Literal["PCMU", "PCMA", "G722", "L16"]
_RateHz = Literal[8000, 16000]


class TelnyxRest:
    """REST commands on calls. Implements `transports.telnyx.actions.CallActions`."""

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        """`base_url` replaces Telnyx's own, for a stand-in or a proxy. Blocks for some 0.7 s: on a thread."""
        self._client = telnyx.AsyncTelnyx(
            api_key=api_key,
            base_url=base_url or DEFAULT_URL,
            timeout=DEADLINE_S,
            max_retries=MAX_RETRIES,
        )
        self._calls = self._client.calls.actions
        # The HTTP client imports its event-loop part (30 ms) at the first request: make it do so here.
        anyio.run(anyio.sleep, 0)

    async def answer(self, call_id: str) -> None:
        """See `CallActions`."""
        # A call without audio at first has been seen to be dropped after 1.6 s (sheet 9).
        await _run(
            self._calls.answer(call_id, command_id=_command_id(), send_silence_when_idle=True), "answer"
        )

    async def reject(self, call_id: str) -> None:
        """See `CallActions`."""
        try:
            await _run(self._calls.reject(call_id, cause="USER_BUSY", command_id=_command_id()), "reject")
        except CallOver as over:
            logger.debug("%s", over)

    async def start_stream(self, call_id: str, order: StreamOrder) -> None:
        """See `CallActions`."""
        codec: _Codec = order.outbound.encoding.value
        linear = order.outbound.encoding is Encoding.L16
        await _run(
            self._calls.start_streaming(
                call_id,
                command_id=_command_id(),
                stream_url=order.url,
                stream_track="inbound_track",
                stream_codec=codec,
                stream_bidirectional_mode="rtp",
                stream_bidirectional_codec=codec,
                stream_bidirectional_sampling_rate=(
                    cast("_RateHz", order.outbound.rate_hz) if linear else telnyx.omit
                ),
                stream_bidirectional_target_legs="self",
                stream_auth_token=order.ticket,
                custom_parameters=[{"name": TICKET, "value": order.ticket}],
            ),
            "start the stream",
        )

    async def speak(self, call_id: str, sentence: Sentence) -> None:
        """See `CallActions`."""
        await _run(
            self._calls.speak(
                call_id,
                command_id=_command_id(),
                payload=sentence.text,
                voice=VOICE,
                language=cast("Any", sentence.language),
            ),
            "speak",
        )

    async def hang_up(self, call_id: str) -> None:
        """See `CallActions`."""
        try:
            await _run(self._calls.hangup(call_id, command_id=_command_id()), "hang up", HANG_UP_DEADLINE_S)
        except CallOver as over:
            logger.debug("%s", over)

    async def transfer(self, call_id: str, target: str) -> None:
        """See `CallActions`. The target sees the number that was called, which is ours to show."""
        await _run(
            self._calls.transfer(call_id, to=target, timeout_secs=RING_S, command_id=_command_id()),
            "transfer",
        )

    async def send_digits(self, call_id: str, digits: str) -> None:
        """See `CallActions`."""
        await _run(self._calls.send_dtmf(call_id, digits=digits, command_id=_command_id()), "send DTMF")

    async def close(self) -> None:
        """See `CallActions`."""
        await self._client.close()


async def _run(command: Awaitable[object], what: str, deadline_s: float = DEADLINE_S) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            await command
    except telnyx.APIStatusError as error:
        code, title = _reason(error.body)
        detail = f"cannot {what}: Telnyx answers {error.status_code}, error {code or '?'} {title}".rstrip()
        if error.status_code == 404 or code == _ENDED:
            raise CallOver(detail) from None
        raise LineError(detail) from None
    except TimeoutError:
        raise LineError(f"cannot {what}: no answer from Telnyx in {deadline_s:g} s") from None
    except telnyx.TelnyxError as error:
        raise LineError(f"cannot {what}: {type(error).__name__}") from None


def _reason(body: Any) -> tuple[str, str]:
    """Code and title out of `{"errors": [{"code", "title"}]}`, which the SDK hands over as it is."""
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("code", "")), str(first.get("title", ""))[:80]


def _command_id() -> str:
    return str(uuid.uuid4())
