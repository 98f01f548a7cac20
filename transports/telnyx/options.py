"""What the operator can set for Telnyx, from the environment. Every name and value is checked at start.

| variable | values | default |
|---|---|---|
| `TELNYX_PUBLIC_KEY` | the account's webhook key, base64; during a rotation `new,old` | none: loopback only |
| `TELNYX_API_KEY` | opens the REST API: Call Control, hang-up, transfer, DTMF out | none: TeXML only |
| `PARLEY_TELNYX_CODEC` | `PCMU`, `PCMA`, `G722`, `L16`: what we send, and ask for | `PCMU` |
| `PARLEY_TELNYX_SAMPLE_RATE` | of L16: 8000, 16000 (the others have one rate each) | 16000 |
| `PARLEY_TELNYX_L16_BYTE_ORDER` | `little`, `big`, `detect` | `little` |
| `PARLEY_TELNYX_TEXML_SECRET` | 16+ characters: unsigned TeXML may come to `/telnyx/texml/<secret>` | none |
| `PARLEY_TELNYX_TEXML_NETWORKS` | networks from which that path may be used, as `192.76.120.128/29,…` | any |
| `PARLEY_TELNYX_API_URL` | another base URL of the REST API, with its `/v2` | Telnyx's |
"""

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, Encoding, linear
from agent.errors import ConfigError
from agent.settings import Network, Settings
from agent.variables import Variables, one_of

_PREFIX = "PARLEY_TELNYX_"
_KEY_BYTES = 32
DEFAULT_L16_HZ = 16_000
"""The rate that the documentation names for L16 (sheet 11)."""
L16_RATES_HZ = (8_000, 16_000)
"""Rates that `streaming_start`, TeXML and the voice detector all take."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")
_ONE_RATE = {Encoding.PCMU: PCMU_8K, Encoding.PCMA: PCMA_8K, Encoding.G722: G722_16K}


class ByteOrderChoice(StrEnum):
    """Order of the bytes of an L16 sample on the wire. The sheet is unsure (11): most reports say little."""

    LITTLE = "little"
    BIG = "big"
    DETECT = "detect"


@dataclass(frozen=True, slots=True)
class TelnyxOptions:
    """All of it."""

    public_keys: tuple[bytes, ...] = ()
    """Raw Ed25519 keys, 32 bytes each."""
    api_key: str | None = field(default=None, repr=False)
    api_url: str | None = None
    outbound: AudioFormat = PCMU_8K
    byte_order: ByteOrderChoice = ByteOrderChoice.LITTLE
    texml_secret: str | None = field(default=None, repr=False)
    texml_networks: tuple[Network, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> "TelnyxOptions":
        """Read and check. Raises `ConfigError` naming the variable and what is allowed."""
        values = Variables(settings.environ, _PREFIX)
        encoding = values.read("CODEC", lambda text: Encoding(one_of(*Encoding)(text.upper())))
        rate_hz = values.read("SAMPLE_RATE", _rate)
        order = values.read("L16_BYTE_ORDER", one_of(*ByteOrderChoice))
        options = cls(
            public_keys=_public_keys(settings.secret("TELNYX_PUBLIC_KEY") or ""),
            api_key=settings.secret("TELNYX_API_KEY"),
            api_url=values.read("API_URL", _url),
            outbound=_outbound(encoding or Encoding.PCMU, rate_hz),
            byte_order=ByteOrderChoice(order or ByteOrderChoice.LITTLE),
            texml_secret=values.read("TEXML_SECRET", _secret),
            texml_networks=values.read("TEXML_NETWORKS", _networks) or (),
        )
        values.check_names()
        if options.texml_networks and options.texml_secret is None:
            raise ConfigError(f"{_PREFIX}TEXML_NETWORKS: means nothing without {_PREFIX}TEXML_SECRET")
        return options


def _rate(text: str) -> int:
    # Any number: what fits depends on the codec.
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a number of hertz")
    return int(text)


def _outbound(encoding: Encoding, rate_hz: int | None) -> AudioFormat:
    fixed = _ONE_RATE.get(encoding)
    allowed = L16_RATES_HZ if fixed is None else (fixed.rate_hz,)
    if rate_hz is not None and rate_hz not in allowed:
        rates = " or ".join(str(rate) for rate in allowed)
        raise ConfigError(f"{_PREFIX}SAMPLE_RATE: {rate_hz} is not a rate of {encoding}: use {rates}")
    return fixed or linear(rate_hz or DEFAULT_L16_HZ)


def _public_keys(text: str) -> tuple[bytes, ...]:
    keys = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            key = base64.b64decode(part, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != _KEY_BYTES:
            raise ConfigError(
                "TELNYX_PUBLIC_KEY: expected the public key of the portal's page Keys & Credentials, "
                "44 characters of base64 (an API key goes to TELNYX_API_KEY)"
            )
        keys.append(key)
    return tuple(keys)


def _secret(text: str) -> str:
    if not _SECRET.fullmatch(text):
        # It is a secret: not repeated here.
        raise ValueError("expected 16 to 128 letters, digits, _ or -")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ValueError(f"{text!r} is not http(s)://host/v2")
    return text.rstrip("/")
