"""The codecs that a browser and this server can agree on."""

from dataclasses import dataclass
from enum import StrEnum


class CodecName(StrEnum):
    """By their names in SDP, best first. RFC 7874 makes Opus and G.711 mandatory for browsers."""

    OPUS = "opus"
    PCMU = "PCMU"
    PCMA = "PCMA"


CLOCK_HZ = {CodecName.OPUS: 48_000, CodecName.PCMU: 8_000, CodecName.PCMA: 8_000}
"""RTP clock rates (RFC 7587, 4.1; RFC 3551, table 4)."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What was agreed on for one call, in both directions."""

    name: CodecName
    payload_type: int
    """The number that the offer gave it."""

    @property
    def clock_khz(self) -> float:
        """RTP timestamp units in a millisecond."""
        return CLOCK_HZ[self.name] / 1000
