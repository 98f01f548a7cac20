"""Rate limits: a token bucket, and one per address. Pure: time comes in."""

import ipaddress
import math
from collections import OrderedDict

from agent.origin import Address

MAX_ADDRESSES = 10_000
"""Addresses remembered; the one that was quiet the longest goes first, its bucket is full again by then."""
_IPV6_PREFIX = 64
"""One customer's network: who has one address of it has all of them (RFC 6177)."""


class Bucket:
    """Holds up to `burst` tokens, gains `per_s` of them a second."""

    __slots__ = ("_at_ms", "_burst", "_per_ms", "_tokens")

    def __init__(self, per_s: float, burst: float, now_ms: float) -> None:
        self._per_ms = per_s / 1000
        self._burst = burst
        self._tokens = burst
        self._at_ms = now_ms

    def take(self, now_ms: float) -> bool:
        """Take a token, if there is one."""
        self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) * self._per_ms)
        self._at_ms = now_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self) -> int:
        """Whole seconds until there is a token again, for `Retry-After`."""
        return max(math.ceil((1 - self._tokens) / self._per_ms / 1000), 1)


class AddressLimits:
    """A bucket for each address, IPv6 by network."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[object, Bucket] = OrderedDict()

    def take(self, address: Address | None, now_ms: float) -> int | None:
        """None if the address may go on, else the seconds until it may. Unknown addresses share a bucket."""
        key: object = address
        if isinstance(address, ipaddress.IPv6Address):
            key = int(address) >> (128 - _IPV6_PREFIX)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._per_s, self._burst, now_ms)
            if len(self._buckets) > MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return None if bucket.take(now_ms) else bucket.wait_s()
