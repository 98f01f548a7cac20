"""Where browsers can reach us by ICE."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IceOptions:
    """What the operator has set."""

    hosts: tuple[str, ...] = ()
    """Addresses to bind; empty for all of this machine's."""
    ports: range = range(1)
    """UDP ports to bind; `range(1)` for any."""
    public_address: str | None = None
    """Under which our ports are seen from outside (NAT, ports mapped one to one)."""
