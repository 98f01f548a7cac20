"""What all media sockets of the process share."""

from dataclasses import dataclass

from agent.audio.formats import AudioFormat
from agent.clock import Clock
from agent.lines import CallHost
from transports.open_sessions import OpenSessions
from transports.sparing_log import SparingLog
from transports.telnyx.actions import CallActions
from transports.telnyx.background import Background
from transports.telnyx.call_control import CallWatcher
from transports.telnyx.door import Door
from transports.telnyx.options import ByteOrderChoice

TRANSPORT = "telnyx-media"
"""Label of metrics and refusals."""


@dataclass(frozen=True, slots=True)
class SessionParts:
    """One per transport."""

    host: CallHost
    clock: Clock
    door: Door
    watcher: CallWatcher
    actions: CallActions | None
    """None without an API key."""
    background: Background
    outbound: AudioFormat
    byte_order: ByteOrderChoice
    notices: SparingLog
    """For lines about sockets that are not on a call."""
    sockets: OpenSessions
