"""WebRTC: calls from browsers, and the page they come from."""

from transports.webrtc.transport import WebRTC

__all__ = ["WebRTC"]
