"""Calls over Telnyx media streaming, by Call Control webhooks or TeXML (protocol sheet, ways A and B)."""

from transports.telnyx.transport import Telnyx

__all__ = ["Telnyx"]
