"""TeXML answers (sheet 4.1)."""

from xml.sax.saxutils import quoteattr

from agent.audio.formats import AudioFormat, Encoding

TICKET = "ticket"
"""Name of the parameter that carries the ticket to the stream's `start`."""
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NO_STREAM_CODEC = frozenset((Encoding.L16,))
"""Not in TeXML's list of values for `codec`; the call's own codec then comes in."""


def connect_stream(url: str, outbound: AudioFormat, ticket: str) -> str:
    """Connect the call to the media socket at `url`, both ways.

    Without `bidirectionalMode` it would be `mp3`, and the caller would hear nothing.
    """
    codec = outbound.encoding.value
    attributes = {
        "url": url,
        "bidirectionalMode": "rtp",
        "bidirectionalCodec": codec,
        "codec": "default" if outbound.encoding in _NO_STREAM_CODEC else codec,
    }
    if outbound.encoding is Encoding.L16:
        attributes["bidirectionalSamplingRate"] = str(outbound.rate_hz)
    text = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return (
        f"{_HEAD}<Response><Connect><Stream {text}>"
        f"<Parameter name={quoteattr(TICKET)} value={quoteattr(ticket)}/>"
        "</Stream></Connect></Response>"
    )


def reject_busy() -> str:
    """Refuse a call that rings: the caller hears a busy tone."""
    return f'{_HEAD}<Response><Reject reason="busy"/></Response>'


def nothing() -> str:
    """Acknowledge, without instructions."""
    return f"{_HEAD}<Response/>"
