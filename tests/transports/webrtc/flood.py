"""A flood of offers from one address, a program of its own: `python -m tests.transports.webrtc.flood PORT`.

A process apart, so that what the flood costs its sender is not taken from the server under test. It prints
how many answers had which status, as JSON, and how long it took.
"""

import asyncio
import json
import sys
from collections import Counter

from tests.transports.webrtc.offers import CHROME

OFFERS = 1_000
WITHIN_S = 1.0
CONNECTIONS = 10
_END_S = 60.0


def request(port: int) -> bytes:
    """A well-formed offer, as it stands on the wire."""
    body = CHROME.encode()
    head = f"POST /webrtc HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/sdp\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def pour(port: int, statuses: Counter[int]) -> None:
    """One connection's share: a request every so often, whether or not the one before was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    share = OFFERS // CONNECTIONS

    async def send() -> None:
        began_s = asyncio.get_running_loop().time()
        for number in range(share):
            wait_s = began_s + number * WITHIN_S / share - asyncio.get_running_loop().time()
            await asyncio.sleep(max(wait_s, 0))
            writer.write(request(port))
            await writer.drain()

    sending = asyncio.create_task(send())
    for _ in range(share):
        head = await reader.readuntil(b"\r\n\r\n")
        statuses[int(head.split(b" ", 2)[1])] += 1
        size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(size.partition(b":")[2]))
    await sending
    writer.close()
    await writer.wait_closed()


async def main(port: int) -> None:
    statuses: Counter[int] = Counter()
    began_s = asyncio.get_running_loop().time()
    async with asyncio.timeout(_END_S):
        await asyncio.gather(*(pour(port, statuses) for _ in range(CONNECTIONS)))
    took_s = asyncio.get_running_loop().time() - began_s
    sys.stdout.write(json.dumps({"statuses": statuses, "took_s": took_s}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
