"""Twilio: ConversationRelay and Media Streams."""

from transports.twilio.transport import Twilio

__all__ = ["Twilio"]
