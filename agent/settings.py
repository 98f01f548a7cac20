"""Process settings: what comes from flags and the environment rather than from the agent file.

Secrets only ever come from the environment. `Settings.from_environ` reads; `parley doctor` explains.
"""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. Field names match the `PARLEY_…` variables and the flags of `parley serve`."""

    agent_file: Path | None = None
    """None: the example that ships with Parley."""
    host: str = "0.0.0.0"
    port: int = 8080
    side_host: str = "127.0.0.1"
    side_port: int = 9464
    side_token: str | None = None
    """Bearer token of the side port; required where `side_host` is not loopback."""
    public_url: str | None = None
    """`https://voice.example.com`: how platforms reach us. Builds `wss://` addresses; signatures are checked
    against it. No trailing slash."""
    trusted_proxies: tuple[Network, ...] = ()
    """Only from these do forwarded headers count."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    transports: tuple[str, ...] = ("telnyx", "twilio", "webrtc")
    max_calls: int = 400
    """Slots. A call beyond them is refused."""
    max_loop_lag_ms: float = 50.0
    """Smoothed event-loop lag above which new calls are refused."""
    max_core_share: float | None = 0.92
    """Share of its core that the event loop may use before new calls are refused; None for no limit. At 90 %
    the wait for the loop is some ten pieces of work (M/M/1), and what is measured cannot see a burst."""
    drain_s: float = 3600.0
    """How long SIGTERM waits for live calls."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The process environment, for vendor secrets."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **flags: Any) -> "Settings":
        """Environment first, then `flags` that are not None. An empty variable is one that is not set.

        Raises `ConfigError` with one line for each wrong variable.
        """
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for name, (variable, read) in _READERS.items():
            # Values that come from files end in a newline.
            text = environ.get(variable, "").strip()
            if text:
                try:
                    values[name] = read(text)
                except ValueError as error:
                    wrong.append(f"{variable}={text!r}: {error}")
        values.update({name: value for name, value in flags.items() if value is not None})
        settings = cls(environ=environ, **values)
        wrong += settings._mistakes()
        if wrong:
            raise ConfigError("\n".join(wrong))
        return settings

    def secret(self, *names: str) -> str | None:
        """The first of these environment variables that is set and not empty."""
        for name in names:
            if value := self.environ.get(name):
                return value
        return None

    def _mistakes(self) -> list[str]:
        """Settings that do not go together, one line each."""
        found: list[str] = []
        if (self.tls_certificate is None) != (self.tls_key is None):
            found.append("set both PARLEY_TLS_CERTIFICATE and PARLEY_TLS_KEY, or neither")
        if not _is_loopback(self.side_host) and not self.side_token:
            found.append(
                f"the side port on {self.side_host} is open to others: set PARLEY_SIDE_TOKEN, "
                "or keep PARLEY_SIDE_HOST=127.0.0.1"
            )
        return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def _port(text: str) -> int:
    if "://" in text:
        # Kubernetes sets <NAME>_PORT=tcp://… in the pods beside a Service of that name.
        raise ValueError("expected 0 to 65535 (from a Kubernetes Service: set enableServiceLinks: false)")
    port = _integer(text)
    if not 0 <= port <= 65535:
        raise ValueError("a port is 0 to 65535 (0 picks a free one)")
    return port


def _public_url(text: str) -> str:
    expected = "expected https://host[:port][/prefix]"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{expected} ({error})") from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0 or set(text) & set("?#@ \t\r\n"):
        raise ValueError(expected)
    # Scheme and host in small letters: what platforms sign is compared with this.
    return f"{url.scheme}://{url.netloc.lower()}{url.path.rstrip('/')}"


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part, strict=False) for part in _names(text))
    except ValueError as error:
        raise ValueError(f"expected networks, such as 127.0.0.1, 10.0.0.0/8 ({error})") from None


def _transports(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not names:
        raise ValueError("expected names of transports, such as telnyx,twilio")
    return names


def _names(text: str) -> tuple[str, ...]:
    """Comma-separated; twice the same counts once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _positive(text: str) -> int:
    number = _integer(text)
    if number < 1:
        raise ValueError("expected 1 or more")
    return number


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("expected a number") from None
    if not 0 <= number < math.inf:
        raise ValueError("expected 0 or more")
    return number


def _core_share(text: str) -> float | None:
    if text.strip().lower() == "off":
        return None
    try:
        percent = float(text)
    except ValueError:
        percent = 0.0
    if not 10.0 <= percent <= 100.0:
        raise ValueError("expected 10 to 100, or off")
    return percent / 100


def variables() -> tuple[str, ...]:
    """The variables that are read here; transports and providers read more of their own."""
    return tuple(variable for variable, _ in _READERS.values())


_READERS: dict[str, tuple[str, Any]] = {
    "agent_file": ("PARLEY_AGENT_FILE", Path),
    "host": ("PARLEY_HOST", str),
    "port": ("PARLEY_PORT", _port),
    "side_host": ("PARLEY_SIDE_HOST", str),
    "side_port": ("PARLEY_SIDE_PORT", _port),
    "side_token": ("PARLEY_SIDE_TOKEN", str),
    "public_url": ("PARLEY_PUBLIC_URL", _public_url),
    "trusted_proxies": ("PARLEY_TRUSTED_PROXIES", _networks),
    "tls_certificate": ("PARLEY_TLS_CERTIFICATE", Path),
    "tls_key": ("PARLEY_TLS_KEY", Path),
    "transports": ("PARLEY_TRANSPORTS", _transports),
    "max_calls": ("PARLEY_MAX_CALLS", _positive),
    "max_loop_lag_ms": ("PARLEY_MAX_LOOP_LAG_MS", _not_negative),
    "max_core_share": ("PARLEY_MAX_CORE_PERCENT", _core_share),
    "drain_s": ("PARLEY_DRAIN_S", _not_negative),
}
