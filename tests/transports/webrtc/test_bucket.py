"""Rates."""

from ipaddress import ip_address

from transports.webrtc.bucket import MAX_ADDRESSES, AddressLimits, Bucket


def test_a_burst_passes_then_the_rate_counts() -> None:
    bucket = Bucket(per_s=2, burst=3, now_ms=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(499)
    assert bucket.take(500)
    assert bucket.wait_s() == 1


def test_addresses_do_not_share_but_an_ipv6_network_does() -> None:
    limits = AddressLimits(per_s=0.1, burst=1)
    assert limits.take(ip_address("192.0.2.1"), 0) is None
    assert limits.take(ip_address("192.0.2.2"), 0) is None
    assert limits.take(ip_address("192.0.2.1"), 0) == 10
    assert limits.take(ip_address("2001:db8::1"), 0) is None
    assert limits.take(ip_address("2001:db8::2"), 0) == 10
    assert limits.take(ip_address("2001:db8:0:1::1"), 0) is None


def test_memory_is_bounded() -> None:
    limits = AddressLimits(per_s=1, burst=1)
    first = ip_address("10.0.0.0")
    for number in range(MAX_ADDRESSES + 10):
        limits.take(first + number, 0)
    assert len(limits._buckets) == MAX_ADDRESSES
