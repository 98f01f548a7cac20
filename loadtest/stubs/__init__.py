"""Stub providers of fixed text and fixed delays, for measuring the server alone.

As entry points `stub` of the three kinds. With the option `address` they are thin clients of
`python -m loadtest.stubs.server`, so that their work is paid by another process, over real sockets; with
`inprocess: true` they do it themselves.
"""
