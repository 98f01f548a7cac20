"""Deepgram: live recognition (Nova, `/v1/listen`)."""

from providers.deepgram.client import Deepgram

__all__ = ["Deepgram"]
