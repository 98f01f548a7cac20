"""Where a request really came from, and under which address the platform knows us.

Forwarded headers count only from trusted proxies; signatures are checked against the configured public
URL whenever there is one, never against what a request claims.
"""

import ipaddress

from aiohttp import web

from agent.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: web.BaseRequest, settings: Settings) -> Address | None:
    """The caller's IP address: the peer, or what trusted proxies say (right-most untrusted hop).

    None where the peer has no IP address (a unix socket) or a proxy's header cannot be read.
    """
    peer = _parse(request.remote or "")
    if peer is None or not _trusted(peer, settings):
        return peer
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
        address = _parse(hop)
        if address is None or not _trusted(address, settings):
            return address
    return peer


def is_loopback(request: web.BaseRequest, settings: Settings) -> bool:
    """True for a caller on this machine that no proxy speaks for.

    A forwarded header on a loopback connection means a proxy or tunnel in front: its callers are not local,
    unless that proxy is trusted and says that they are.
    """
    peer = _parse(request.remote or "")
    if peer is None or not peer.is_loopback:
        return False
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"))
    if not forwarded:
        return True
    address = client_address(request, settings)
    return _trusted(peer, settings) and address is not None and address.is_loopback


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
        scheme = request.headers.get("X-Forwarded-Proto", scheme).split(",")[0].strip()
        host = request.headers.get("X-Forwarded-Host", host).split(",")[0].strip()
    return f"{scheme}://{host}{tail}"


def websocket_url(request: web.BaseRequest, settings: Settings, path: str) -> str:
    """The same as a `wss://` (or, without TLS, `ws://`) address for `path`."""
    url = public_url(request, settings, path)
    return "ws" + url.removeprefix("http")


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _trusted(address: Address, settings: Settings) -> bool:
    return any(address in network for network in settings.trusted_proxies)
