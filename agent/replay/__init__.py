"""Recording calls as timed events, and replaying them: same events, same decisions, byte for byte.

`record.RecordingRegistry` records live calls; `player.play_virtually` runs a recording through the call's own
code on a virtual loop; `parley replay FILE` tells whether the decisions are still the same. See
`docs/replay.md`. Import the modules themselves: a server that records has no use for the player.
"""
