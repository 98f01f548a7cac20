"""STUN and TURN servers as browsers are told of them. Pure.

Credentials are limited in time, as coturn's `use-auth-secret` has it: the user name is the end of their
validity and the password its HMAC-SHA1 (draft-uberti-behave-turn-rest-00, section 2.2). The server itself
uses neither: browsers come to it.
"""

import hmac
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class IceServers:
    """What browsers may use."""

    urls: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)
    """Shared with the TURN server."""
    ttl_s: int = 3600
    """How long credentials hold: a call's length, since a TURN allocation is refreshed with them."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def has_credentials(self) -> bool:
        """TURN can be used."""
        return bool(self.secret or (self.user and self.password))

    def without_relays(self) -> "IceServers":
        """Only those that need no credentials."""
        return IceServers(tuple(url for url in self.urls if not url.startswith("turn")))

    def for_browser(self, name: str, unix_s: float) -> list[dict[str, Any]]:
        """As `RTCPeerConnection` takes them. `name` tells callers apart in the TURN server's log."""
        servers: list[dict[str, Any]] = []
        plain = [url for url in self.urls if url.startswith("stun")]
        if plain:
            servers.append({"urls": plain})
        relays = [url for url in self.urls if url.startswith("turn")]
        if relays:
            user, password = self._credentials(name, unix_s)
            servers.append({"urls": relays, "username": user, "credential": password})
        return servers

    def link_headers(self, name: str, unix_s: float) -> list[str]:
        """As WHIP tells them (RFC 9725, 4.6)."""
        headers = []
        user, password = self._credentials(name, unix_s)
        for url in self.urls:
            header = f'<{url}>; rel="ice-server"'
            if url.startswith("turn"):
                header += f'; username="{user}"; credential="{password}"; credential-type="password"'
            headers.append(header)
        return headers

    def _credentials(self, name: str, unix_s: float) -> tuple[str, str]:
        if self.secret is None:
            return self.user or "", self.password or ""
        user = f"{int(unix_s) + self.ttl_s}:{name}"
        return user, b64encode(hmac.digest(self.secret.encode(), user.encode(), "sha1")).decode()
