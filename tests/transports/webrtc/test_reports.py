"""RTCP figures."""

import pytest
from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtcpSdesPacket, RtcpSrPacket

from agent.errors import WireError
from transports.webrtc.reports import (
    Reception,
    Sent,
    build_bye,
    build_report,
    parse_report,
    round_trip_ms,
)

NOW_S = 1_800_000_000.0


def feed(reception: Reception, sequence: int, at_ms: float) -> None:
    reception.arrived(sequence & 0xFFFF, sequence * 960 & 0xFFFFFFFF, at_ms)


def test_a_steady_stream_has_no_jitter_and_no_loss() -> None:
    reception = Reception(1, 48)
    for number in range(100):
        feed(reception, number, 20.0 * number)
    assert reception.jitter_ms == pytest.approx(0)
    assert reception.lost == 0


def test_jitter_is_the_mean_deviation_of_rfc_3550() -> None:
    reception = Reception(1, 48)
    for number in range(2000):
        feed(reception, number, 20.0 * number + (8 if number % 2 else 0))
    assert reception.jitter_ms == pytest.approx(8, rel=0.01)


def test_loss_counts_over_the_wrap_of_numbers_and_since_the_last_report() -> None:
    reception = Reception(1, 48)
    for number in range(65_500, 65_600):
        if number % 10:
            feed(reception, number, 20.0 * number)
    report = reception.report(0)
    assert report.packets_lost == reception.lost == 9  # the first of the ten would be before the base
    assert report.fraction_lost == 256 * 9 // 99
    assert report.highest_sequence == 65_599
    assert reception.report(0).fraction_lost == 0


def test_reports_carry_both_directions_and_give_the_round_trip() -> None:
    reception = Reception(77, 48)
    feed(reception, 1, 0.0)
    data = build_report(Sent(11, 2**32 + 5, 3, 240), "desk", NOW_S, 1000.0, reception)
    ours, names = RtcpPacket.parse(data)
    assert isinstance(ours, RtcpSrPacket)
    assert isinstance(names, RtcpSdesPacket)
    assert (ours.ssrc, ours.sender_info.rtp_timestamp, ours.reports[0].ssrc) == (11, 5, 77)
    # The browser got it after 30 ms, kept it for 1 s and its answer took 30 ms more.
    theirs = Reception(11, 48)
    theirs.sender_report(ours.sender_info.ntp_timestamp, 5_000.0)
    answer = bytes(RtcpRrPacket(ssrc=77, reports=[theirs.report(6_000.0)]))
    view = parse_report(answer, 11).view
    assert view is not None
    assert round_trip_ms(view, NOW_S + 1.06) == pytest.approx(60, abs=0.1)


def test_a_view_without_our_report_gives_no_round_trip() -> None:
    view = Reception(11, 48).report(0)
    assert round_trip_ms(view, NOW_S) is None


def test_blocks_about_others_are_skipped_and_bye_is_seen() -> None:
    other = bytes(RtcpRrPacket(ssrc=1, reports=[Reception(5, 48).report(0)]))
    assert parse_report(other, 11).view is None
    assert parse_report(build_bye(4), 11).bye


@pytest.mark.parametrize("data", [b"\x81\xc9\x00\x01aaaa", b"\x80\xc8\x00", b"\x81\xca\x00\x00"])
def test_broken_reports_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="rtcp"):
        parse_report(data, 1)
