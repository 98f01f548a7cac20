"""Synthetic callers: the platform's side of the wire, and somebody on the phone behind it.

markup, webhook        the voice webhook, and what its XML answer says
twilio_media, telnyx_media, twilio_relay    each protocol seen from the platform (no IO)
play, relay_speech     what the platform plays or speaks to the caller, in real time (no IO)
ear, codec             what the caller hears (no IO)
media_phone, relay_phone    the above on a WebSocket, one tick every 20 ms
caller                 follows a script on either phone and measures at its own end
"""
