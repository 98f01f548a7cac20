"""Settings of the WebRTC transport, all from the environment.

| variable | values | default |
|---|---|---|
| `PARLEY_WEBRTC_SECRET` | signs session tokens, 32 characters or more | none: loopback only |
| `PARLEY_WEBRTC_PAGE` | `on`, `off`: serve the page and mint tokens for it | `on` |
| `PARLEY_WEBRTC_ORIGINS` | other sites that may call: `https://a.example,https://b.example` | none |
| `PARLEY_WEBRTC_RATE` | calls a minute that one address may start | 60 |
| `PARLEY_WEBRTC_BURST` | ... of these, at once | 10 |
| `PARLEY_WEBRTC_MAX_SESSIONS` | browsers at once, those that still connect included | 200 |
| `PARLEY_WEBRTC_HOSTS` | addresses to bind for media | all of the machine's |
| `PARLEY_WEBRTC_PORTS` | UDP ports for media, `50000-50999` | any |
| `PARLEY_WEBRTC_PUBLIC_ADDRESS` | the address under which media ports are seen from outside | as bound |
| `PARLEY_WEBRTC_ICE_SERVERS` | for browsers: `stun:host`, `turn:host:port?transport=udp`, `turns:…` | none |
| `PARLEY_WEBRTC_TURN_SECRET` | coturn's `static-auth-secret`: credentials are made per call | none |
| `PARLEY_WEBRTC_TURN_TTL_S` | ... and hold this long | 3600 |
| `PARLEY_WEBRTC_TURN_USER`, `PARLEY_WEBRTC_TURN_PASSWORD` | fixed TURN credentials instead | none |
| `PARLEY_WEBRTC_CODECS` | some of `opus,PCMU,PCMA`, best first | all |
| `PARLEY_WEBRTC_VOICES` | further voices to choose from: `en-GB=amy,brian;es-ES=ines` | none |
| `PARLEY_WEBRTC_BITRATE` | Opus, bit/s, 8000 to 128000 | 32000 |
| `PARLEY_WEBRTC_COMPLEXITY` | Opus encoder, 0 to 10 | 5 |
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent.errors import ConfigError
from agent.settings import Settings
from agent.variables import Variables
from transports.webrtc.codecs import CodecName
from transports.webrtc.reach import IceOptions
from transports.webrtc.turn import IceServers

_PREFIX = "PARLEY_WEBRTC_"
_STUN_TURN_URI = re.compile(
    r"(?:stuns?:{host}|turns?:{host}(?:\?transport=(?:udp|tcp|tls))?)".replace(
        "{host}", r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
    )
)
"""RFC 7064, 3.1 and RFC 7065, 3.1."""
MIN_SECRET_CHARS = 32
"""RFC 7518, 3.2: an HS256 key has at least 256 bits."""


@dataclass(frozen=True, slots=True)
class WebRtcOptions:
    """All of it."""

    secret: str | None = field(default=None, repr=False)
    page: bool = True
    origins: frozenset[str] = frozenset()
    rate_per_s: float = 1.0
    burst: float = 10.0
    max_sessions: int = 200
    ice: IceOptions = field(default_factory=IceOptions)
    servers: IceServers = field(default_factory=IceServers)
    codecs: tuple[CodecName, ...] = tuple(CodecName)
    voices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By language: what the page offers besides the agent file's own. The speech provider's names."""
    bitrate: int = 32_000
    complexity: int = 5

    @classmethod
    def from_settings(cls, settings: Settings) -> "WebRtcOptions":
        """Read and check. Raises `ConfigError` naming the variable and what is allowed."""
        values = Variables(settings.environ, _PREFIX)
        servers = values.read("ICE_SERVERS", _ice_urls) or ()
        options = cls(
            secret=values.read("SECRET", _secret),
            page=values.read("PAGE", _switch) is not False,
            origins=frozenset(values.read("ORIGINS", _origins) or ()),
            rate_per_s=(values.read("RATE", _number(1, 1_000_000)) or 60) / 60,
            burst=float(values.read("BURST", _number(1, 1_000_000)) or 10),
            max_sessions=values.read("MAX_SESSIONS", _number(1, 100_000)) or 200,
            ice=IceOptions(
                hosts=values.read("HOSTS", _addresses) or (),
                ports=values.read("PORTS", _ports) or range(1),
                public_address=values.read("PUBLIC_ADDRESS", _address),
            ),
            servers=IceServers(
                urls=servers,
                secret=values.read("TURN_SECRET", str),
                ttl_s=values.read("TURN_TTL_S", _number(60, 604_800)) or 3600,
                user=values.read("TURN_USER", str),
                password=values.read("TURN_PASSWORD", str),
            ),
            codecs=values.read("CODECS", _codecs) or tuple(CodecName),
            voices=values.read("VOICES", _voices) or {},
            bitrate=values.read("BITRATE", _number(8_000, 128_000)) or 32_000,
            complexity=_given(values.read("COMPLEXITY", _number(0, 10)), 5),
        )
        values.check_names()
        if any(url.startswith("turn") for url in servers) and not options.servers.has_credentials:
            raise ConfigError(
                f"{_PREFIX}ICE_SERVERS names a TURN server: set {_PREFIX}TURN_SECRET (coturn's "
                f"static-auth-secret), or {_PREFIX}TURN_USER and {_PREFIX}TURN_PASSWORD"
            )
        return options


def _given(value: int | None, default: int) -> int:
    return default if value is None else value


def _secret(text: str) -> str:
    if len(text) < MIN_SECRET_CHARS:
        # The secret itself is not repeated.
        raise ValueError(f"expected {MIN_SECRET_CHARS} characters or more (openssl rand -hex 32)")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError(f"{text!r} is neither on nor off")
    return text.lower() == "on"


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _origins(text: str) -> tuple[str, ...]:
    for origin in (origins := tuple(part.lower().rstrip("/") for part in _list(text))):
        url = urlsplit(origin)
        if url.scheme not in ("http", "https") or not url.netloc or origin != f"{url.scheme}://{url.netloc}":
            raise ValueError(f"{origin!r} is not scheme://host[:port]")
    return origins


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(_address(part) for part in _list(text))


def _ports(text: str) -> range:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    if not found or not 0 < int(found[1]) <= int(found[2]) < 65536:
        raise ValueError(f"{text!r} is not a range of ports such as 50000-50999")
    return range(int(found[1]), int(found[2]) + 1)


def _ice_urls(text: str) -> tuple[str, ...]:
    for url in (urls := _list(text)):
        if not _STUN_TURN_URI.fullmatch(url):
            raise ValueError(f"{url!r} is not stun:host[:port] or turn[s]:host[:port][?transport=…]")
    return urls


def _voices(text: str) -> dict[str, tuple[str, ...]]:
    voices = {}
    for part in text.split(";"):
        language, _, names = part.partition("=")
        voices[language.strip()] = _list(names)
        if not language.strip() or not _list(names):
            raise ValueError(f"{part!r} is not language=voice,voice")
    return voices


def _codecs(text: str) -> tuple[CodecName, ...]:
    names = {name.lower(): name for name in CodecName}
    wanted = _list(text)
    if not all(name.lower() in names for name in wanted):
        raise ValueError(f"{text!r} is not some of {', '.join(CodecName)}")
    return tuple(names[name.lower()] for name in wanted)
