"""Recording calls as timed events, and replaying them: same events, same decisions, byte for byte.

`record.RecordingRegistry` records live calls; `player.play` runs a recording through the call's own code on a
virtual loop; `parley replay FILE` tells whether the decisions are still the same. See `docs/replay.md`.
"""

from agent.replay.player import Playback, play, play_virtually
from agent.replay.record import Recorder, RecordingRegistry
from agent.replay.tape import Entry, Recording, RecordingError, load_recording

__all__ = [
    "Entry",
    "Playback",
    "Recorder",
    "Recording",
    "RecordingError",
    "RecordingRegistry",
    "load_recording",
    "play",
    "play_virtually",
]
