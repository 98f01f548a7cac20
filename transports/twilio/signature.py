"""Twilio's request signatures (protocol sheet 5.1 to 5.3).

HMAC-SHA1 with the account's auth token over the URL as Twilio called it and the sorted form fields; the SDK
computes it, the comparing is done here in constant time. There is no timestamp in a signature: replays
are met by the call book (`transports.twilio.book`) and by single-use tickets.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from multidict import MultiDict, MultiMapping
from twilio.request_validator import RequestValidator

SIGNATURE_HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"
"""`key=<id>,algorithm=HMAC_SHA256` on requests signed with a shared key (beta)."""
_SHARED_KEY_ALGORITHM = "HMAC_SHA256"
_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


class Signatures:
    """Checks signatures against any of the auth tokens, or the named shared key."""

    def __init__(self, auth_tokens: tuple[str, ...], shared_keys: Mapping[str, str]) -> None:
        self._validators = [RequestValidator(token) for token in auth_tokens]
        self._shared = {name: RequestValidator(secret) for name, secret in shared_keys.items()}

    @property
    def configured(self) -> bool:
        """True if there is anything to check against."""
        return bool(self._validators or self._shared)

    def form(self, url: str, fields: MultiMapping[str], headers: Mapping[str, str]) -> bool:
        """A form POST. `url` with its query as sent."""
        return self._matches(_port_variants(url), fields, headers)

    def body(self, url: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Any other body: its SHA-256 is in the signed query as `bodySHA256`."""
        claimed = dict(parse_qsl(urlsplit(url).query)).get("bodySHA256", "")
        actual = hashlib.sha256(body).hexdigest()
        same_body = hmac.compare_digest(claimed.encode(errors="replace"), actual.encode())
        return self._matches(_port_variants(url), MultiDict(), headers) and same_body

    def upgrade(self, url: str, headers: Mapping[str, str]) -> bool:
        """A WebSocket upgrade: `url` as `wss://` address, exactly as written in the TwiML.

        Should it carry a query: Twilio's own server signs it as fields, others as part of the URL.
        """
        if self._matches(_port_variants(url), MultiDict(), headers):
            return True
        bare, _, query = url.partition("?")
        if not query:
            return False
        fields = MultiDict(parse_qsl(query, keep_blank_values=True))
        return self._matches(_port_variants(bare), fields, headers)

    def _matches(self, urls: Iterator[str], fields: MultiMapping[str], headers: Mapping[str, str]) -> bool:
        given = headers.get(SIGNATURE_HEADER, "").encode(errors="replace")
        settings = headers.get(SETTINGS_HEADER, "")
        # The header may choose a key only among those that were configured for it.
        shared = bool(settings and self._shared)
        validators = self._shared_validator(settings) if shared else self._validators
        algorithm = (_SHARED_KEY_ALGORITHM,) if shared else ()
        try:
            expected = [
                validator.compute_signature(url, fields, *algorithm).encode()
                for url in urls
                for validator in validators
            ]
        except UnicodeEncodeError:
            # Bytes that are no UTF-8 in the request line or the Host header: not Twilio.
            return False
        return any(hmac.compare_digest(each, given) for each in expected)

    def _shared_validator(self, settings: str) -> list[RequestValidator]:
        parts = dict(part.strip().partition("=")[::2] for part in settings.split(","))
        validator = self._shared.get(parts.get("key", ""))
        # An algorithm that we do not know must fail, not fall back.
        if validator is None or parts.get("algorithm") != _SHARED_KEY_ALGORITHM:
            return []
        return [validator]


def _port_variants(url: str) -> Iterator[str]:
    """`url`, and the same without its port or with its scheme's own: Twilio has been seen to sign either."""
    yield url
    scheme, _, rest = url.partition("://")
    netloc = rest.partition("/")[0].partition("?")[0]
    tail = rest[len(netloc) :]
    try:
        port = urlsplit(url).port
    except ValueError:
        return
    if port is None:
        default = _DEFAULT_PORTS.get(scheme)
        if default is not None:
            yield f"{scheme}://{netloc}:{default}{tail}"
    else:
        yield f"{scheme}://{netloc.rpartition(':')[0]}{tail}"
