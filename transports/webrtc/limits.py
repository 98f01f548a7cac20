"""Sizes that both ends keep to."""

MAX_SDP_BYTES = 32 * 1024
"""A browser's offer of one audio section and a data channel has 2 to 4 kB; with video some 8 kB."""
MAX_MESSAGE_BYTES = 16 * 1024
"""Longest data-channel message we take; announced in the answer (RFC 8841, 6)."""
