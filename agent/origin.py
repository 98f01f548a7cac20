"""Where a request really came from, and under which address the platform knows us.

Forwarded headers count only from trusted proxies; signatures are checked against the configured public
URL whenever there is one, never against what a request claims.
"""

import ipaddress
import re

from aiohttp import web

from agent.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORWARDED = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
    "CF-Connecting-IP", "True-Client-IP",
)  # fmt: skip
"""What proxies and tunnels add. RFC 7239, RFC 9110 section 7.6.3, and the vendors' own."""
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""Some proxies (Traefik) call a WebSocket's scheme by its own name."""


_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+|\[([0-9A-Fa-f:.]+)\](?::\d+)?")


def client_address(request: web.BaseRequest, settings: Settings) -> Address | None:
    """The caller's IP address: the peer, or what trusted proxies say (right-most untrusted hop).

    Where every hop is trusted, the caller is one of ours: the left-most. None where the peer has no IP
    address (a unix socket) or a proxy's header cannot be read.
    """
    peer = _parse(request.remote or "")
    if peer is None or not _trusted(peer, settings):
        return peer
    address: Address | None = peer
    for hop in reversed(_hops(request)):
        address = _parse(hop)
        if address is None or not _trusted(address, settings):
            return address
    return address


def is_loopback(request: web.BaseRequest, settings: Settings) -> bool:
    """True for a caller on this machine that no proxy speaks for, and that calls this machine by such a name.

    A forwarded header on a loopback connection means a proxy or tunnel in front: its callers are not local,
    unless that proxy is trusted and says of every hop that it is. A foreign host name means a tunnel that
    passes bytes on unseen (ssh, plain TCP), or a web page whose name was pointed at this machine.
    """
    peer = _parse(request.remote or "")
    if peer is None or not peer.is_loopback or not _local_name(request.host):
        return False
    if not any(name in request.headers for name in _FORWARDED):
        return True
    hops = [_parse(hop) for hop in _hops(request)]
    return (
        _trusted(peer, settings) and bool(hops) and all(hop is not None and hop.is_loopback for hop in hops)
    )


def public_url(request: web.BaseRequest, settings: Settings, path: str | None = None) -> str:
    """The URL under which the platform called us, with the query as sent.

    `path` replaces path and query (to build callback addresses). From `settings.public_url`, else from the
    request and, where a trusted proxy sent it, its `X-Forwarded-Proto` and `X-Forwarded-Host`.
    """
    tail = request.raw_path if path is None else path
    if settings.public_url is not None:
        return settings.public_url + tail
    scheme, host = request.scheme, request.host
    peer = _parse(request.remote or "")
    if peer is not None and _trusted(peer, settings):
        scheme = _SCHEMES.get(_first(request, "X-Forwarded-Proto").lower(), scheme)
        host = _first(request, "X-Forwarded-Host") or host
    return f"{scheme}://{host}{tail}"


def websocket_url(request: web.BaseRequest, settings: Settings, path: str) -> str:
    """The same as a `wss://` (or, without TLS, `ws://`) address for `path`."""
    url = public_url(request, settings, path)
    return "ws" + url.removeprefix("http")


def _first(request: web.BaseRequest, name: str) -> str:
    """The first of a header's comma-separated values: the outermost proxy's."""
    return request.headers.get(name, "").split(",")[0].strip()


def _hops(request: web.BaseRequest) -> list[str]:
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    return [hop.strip() for hop in hops if hop.strip()]


def _local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r"(^[^:]*|\]):\d*$", host) else host
    address = _parse(name.strip("[]"))
    return address.is_loopback if address is not None else name.lower() == "localhost"


def _parse(text: str) -> Address | None:
    """An address, also with the port that some proxies add."""
    found = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((found[1] or found[2]) if found else text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _trusted(address: Address, settings: Settings) -> bool:
    return any(address in network for network in settings.trusted_proxies)
