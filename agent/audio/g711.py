"""The standard library's `audioop`, taken from one place: G.711 and the level of PCM16.

Python 3.11 and 3.12 announce that 3.13 drops it; from there on the package audioop-lts takes its place under
the same name. In C, 0.1 to 0.5 us a frame; a numpy table takes 1.4 us.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from audioop import alaw2lin, lin2alaw, lin2ulaw, rms, ulaw2lin

__all__ = ["alaw2lin", "lin2alaw", "lin2ulaw", "rms", "ulaw2lin"]
