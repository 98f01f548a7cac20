"""Telnyx's webhook signatures (sheet 5.1): Ed25519 over `timestamp|raw body`, and what came before.

A signature stays valid for 300 s, so within that time a recorded request verifies again: `Seen` remembers
what was taken.
"""

import binascii
from collections import OrderedDict
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.clock import Clock
from agent.errors import WireError

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"
WINDOW_S = 300
"""The SDK's own tolerance, both ways."""
REMEMBER_MS = 600_000.0
"""Telnyx's advice is 10 minutes: the window, both ways."""
MAX_REMEMBERED = 50_000
"""Some 10 MB at worst; at 8 webhooks a call, 10 new calls a second for the whole 10 minutes."""
_SIGNATURE_BYTES = 64
_MAX_TIMESTAMP_CHARS = 12


class Signatures:
    """Checks requests against any of the account's public keys."""

    def __init__(self, public_keys: tuple[bytes, ...], clock: Clock) -> None:
        """`public_keys`: 32 bytes each. Empty: nothing is `configured`, and nothing verifies."""
        self._keys = [Ed25519PublicKey.from_public_bytes(key) for key in public_keys]
        self._clock = clock

    @property
    def configured(self) -> bool:
        """True if there is anything to check against."""
        return bool(self._keys)

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises `WireError` of kind `no_signature`, `expired` or `bad_signature`. `body` as received."""
        given, timestamp = headers.get(SIGNATURE_HEADER), headers.get(TIMESTAMP_HEADER)
        if not given or not timestamp:
            raise WireError("no_signature", "it is not signed")
        try:
            signature = binascii.a2b_base64(given.encode(), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            signature = b""
        number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MAX_TIMESTAMP_CHARS
        if len(signature) != _SIGNATURE_BYTES or not number:
            raise WireError("bad_signature", "the signature or its timestamp is malformed")
        if not self._verifies(signature, timestamp.encode() + b"|" + body):
            raise WireError(
                "bad_signature",
                "the signature does not fit: is TELNYX_PUBLIC_KEY the key of the account that sends this?",
            )
        # After the signature, so that the age is only told of what is Telnyx's.
        age_s = self._clock.unix_s() - int(timestamp)
        if abs(age_s) > WINDOW_S:
            raise WireError("expired", f"signed {age_s:.0f} s ago by this machine's clock: is that right?")

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        for key in self._keys:
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False


class Seen:
    """Which ids came in the last 10 minutes. Bounded: beyond `max_ids` the oldest are forgotten early."""

    def __init__(self, clock: Clock, max_ids: int = MAX_REMEMBERED) -> None:
        self._clock = clock
        self._max_ids = max_ids
        self._came_ms: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._came_ms)

    def before(self, name: str) -> bool:
        """True if `name` came before; remembers it."""
        now_ms = self._clock.now_ms()
        came = self._came_ms
        while came and next(iter(came.values())) < now_ms - REMEMBER_MS:
            came.popitem(last=False)
        if name in came:
            return True
        if len(came) >= self._max_ids:
            came.popitem(last=False)
        came[name] = now_ms
        return False

    def forget(self, name: str) -> None:
        """What came could not be taken; it may come again."""
        self._came_ms.pop(name, None)
