"""Cartesia: speech synthesis over one WebSocket that all calls share (Sonic)."""

from providers.cartesia.client import Cartesia

__all__ = ["Cartesia"]
