"""Placing a call: the platform's request to the server's voice webhook, signed if there is a secret.

Afterwards the same object plays the platform's last part: the `<Connect action>` request, where the answer
asked for one.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode, urljoin

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twilio.request_validator import RequestValidator

from agent.clock import Clock
from agent.errors import ConfigError, WireError
from loadtest.callers.errors import CallRefused, Unreachable
from loadtest.callers.identity import CallIdentity, telnyx_identity, twilio_identity
from loadtest.callers.markup import Connect, Rejection, read_markup

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
"""Twilio waits 5 s for a connection and 15 s for the answer (sheet 8)."""
_MAX_MARKUP_BYTES = 64 * 1024
"""Twilio refuses TwiML beyond 64 kB (12300)."""


class Via(StrEnum):
    """The ways to call in."""

    TWILIO = "twilio"
    TWILIO_RELAY = "twilio-relay"
    TELNYX = "telnyx"


WEBHOOK_PATHS = {
    Via.TWILIO: "/twilio/voice?mode=media",
    Via.TWILIO_RELAY: "/twilio/voice?mode=relay",
    Via.TELNYX: "/telnyx/texml",
}
_NOUNS = {Via.TWILIO: "Stream", Via.TWILIO_RELAY: "ConversationRelay", Via.TELNYX: "Stream"}
_OTHER_NOUN_HINT = {
    "ConversationRelay": "call it --via twilio-relay, or set its Twilio transport to media streams",
    "Stream": "call it --via twilio, or set its Twilio transport to ConversationRelay",
}


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a platform signs with. None: it does not sign."""

    auth_token: str | None = None
    """Twilio's auth token."""
    telnyx_key: Ed25519PrivateKey | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """The server took the call."""

    identity: CallIdentity
    connect: Connect
    webhook_url: str

    @property
    def wire_url(self) -> str:
        return self.connect.url


def telnyx_key(text: str) -> Ed25519PrivateKey:
    """A private key from its 32-byte seed in hexadecimal or base64. Raises `ConfigError`."""
    try:
        seed = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
        return Ed25519PrivateKey.from_private_bytes(seed)
    except ValueError:
        raise ConfigError("--telnyx-key: expected a 32-byte ed25519 seed as hexadecimal or base64") from None


class Exchange:
    """The platform's HTTP side for any number of calls to one server. Close it after use."""

    def __init__(self, via: Via, base_url: str, clock: Clock, secrets: Secrets | None = None) -> None:
        self.via = via
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._secrets = secrets or Secrets()
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout)

    async def close(self) -> None:
        """Idempotent."""
        await self._session.close()

    async def place(self) -> Placed:
        """Ring the server. Raises `Unreachable` or `CallRefused`, each one clear line."""
        identity = telnyx_identity() if self.via is Via.TELNYX else twilio_identity()
        url = self._base_url + WEBHOOK_PATHS[self.via]
        status, body = await self._post(url, _voice_fields(self.via, identity))
        if status != 200:
            raise CallRefused(_refusal(url, status, body))
        try:
            answer = read_markup(body)
        except WireError as error:
            raise CallRefused(f"{url}: {error}") from None
        if isinstance(answer, Rejection):
            raise CallRefused(f"the server does not take the call: {answer.reason}")
        if answer.noun != _NOUNS[self.via]:
            hint = _OTHER_NOUN_HINT[answer.noun]
            raise CallRefused(f"the server answers with <{answer.noun}>: {hint}")
        return Placed(identity, answer, url)

    def upgrade_headers(self, placed: Placed) -> dict[str, str]:
        """Headers of the WebSocket upgrade: Twilio signs the `url` exactly as written in the TwiML."""
        headers = {"User-Agent": "Jetty/11.0.24"} if self.via is not Via.TELNYX else {}
        if self.via is not Via.TELNYX and self._secrets.auth_token is not None:
            headers["x-twilio-signature"] = self._sign(placed.wire_url, {})
        return headers

    async def finish(self, placed: Placed, *, hung_up: bool, handoff: str | None = None) -> int | None:
        """The call's connection is over: make the action request. Returns its HTTP status, None if none.

        `hung_up`: the caller is gone. The answer's markup is not followed: there is no second connection.
        """
        if placed.connect.action is None:
            return None
        fields = _voice_fields(self.via, placed.identity)
        fields["CallStatus"] = "completed" if hung_up else "in-progress"
        if self.via is Via.TWILIO_RELAY:
            fields["SessionId"] = placed.identity.session_id
            fields["SessionStatus"] = "completed" if hung_up else "ended"
            if handoff is not None:
                fields["HandoffData"] = handoff
        try:
            status, _ = await self._post(urljoin(placed.webhook_url, placed.connect.action), fields)
        except Unreachable:
            # A server that is being stopped answers no more; the platform would only log it.
            return None
        return status

    async def _post(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        body = urlencode(fields).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._signature(url, fields, body)}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return response.status, await response.content.read(_MAX_MARKUP_BYTES)
        except aiohttp.ClientConnectorError:
            raise Unreachable(f"nothing listens at {self._base_url}: start it with `make serve`") from None
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise Unreachable(f"no answer from {url}: {error or type(error).__name__}") from None

    def _signature(self, url: str, fields: Mapping[str, str], body: bytes) -> dict[str, str]:
        if self.via is Via.TELNYX:
            key = self._secrets.telnyx_key
            if key is None:
                return {}
            timestamp = str(int(self._clock.unix_s()))
            signature = base64.b64encode(key.sign(timestamp.encode() + b"|" + body)).decode()
            return {"telnyx-signature-ed25519": signature, "telnyx-timestamp": timestamp}
        if self._secrets.auth_token is None:
            return {}
        return {"X-Twilio-Signature": self._sign(url, fields)}

    def _sign(self, url: str, fields: Mapping[str, str]) -> str:
        return str(RequestValidator(self._secrets.auth_token).compute_signature(url, dict(fields)))


def _voice_fields(via: Via, identity: CallIdentity) -> dict[str, str]:
    fields = {
        "AccountSid": identity.account_id,
        "CallSid": identity.call_id,
        "From": identity.caller,
        "To": identity.called,
    }
    if via is Via.TELNYX:
        return {
            **fields,
            "CallSidLegacy": identity.call_id,
            "ConnectionId": "1000000000000000001",
            "CallerId": identity.caller,
            "CallingPartyType": "pstn",
        }
    return {**fields, "CallStatus": "ringing", "Direction": "inbound", "ApiVersion": "2010-04-01"}


def _refusal(url: str, status: int, body: bytes) -> str:
    if status == 503:
        return "the server takes no call now (503): it is full, overloaded or draining"
    if status in (401, 403):
        return (
            f"{url} refused the request ({status}): it checks signatures, "
            "so pass --auth-token (Twilio) or --telnyx-key (Telnyx)"
        )
    said = body.decode(errors="replace").strip().split("\n")[0][:120]
    return f"{url} answered HTTP {status} {said}".rstrip()
