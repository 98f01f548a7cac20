"""Callers in bulk: several hundred media calls or thousands of relay calls from one process.

`loadtest.callers` is one careful synthetic caller; this is many cheap ones. What a caller sends is prepared
once (speech, base64, frame headers), so that a frame costs a few microseconds; pacing has absolute deadlines
and knows its own error, so a run in which the callers were the bottleneck can be told from a slow server.
"""
