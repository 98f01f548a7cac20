"""Stock aiortc as a voice server, for `bench.webrtc`: peer connections, tracks, its own resampler."""

import asyncio
import fractions

import av
import webrtcvad
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from bench.webrtc_replies import CYCLE_S, Replies


class StockTrack(MediaStreamTrack):
    """The agent's voice the way aiortc's documentation has it; sends nothing between replies."""

    kind = "audio"

    def __init__(self, replies: Replies) -> None:
        super().__init__()
        self._replies = replies
        self._reply = replies.next()
        self._at = 0
        self._cycle = 0
        self._began_s = asyncio.get_running_loop().time()

    async def recv(self) -> av.AudioFrame:
        if self._at >= len(self._reply):
            self._at = 0
            self._cycle += 1
            self._reply = self._replies.next()
        due_s = self._began_s + self._cycle * CYCLE_S + self._at / 48_000
        await asyncio.sleep(due_s - asyncio.get_running_loop().time())
        piece = self._reply[self._at : self._at + 960]
        frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        frame.pts = int(self._cycle * CYCLE_S * 48_000) + self._at
        frame.time_base = fractions.Fraction(1, 48_000)
        self._at += 960
        return frame


def stock_routes() -> list[web.RouteDef]:
    """aiortc as it comes: peer connection, tracks, its own resampler."""
    replies = Replies(48_000, cached=False)
    peers: set[RTCPeerConnection] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def listen(track: MediaStreamTrack) -> None:
        vad = webrtcvad.Vad(2)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000, frame_size=320)
        try:
            while True:
                received = await track.recv()
                assert isinstance(received, av.AudioFrame)
                for frame in resampler.resample(received):
                    vad.is_speech(bytes(frame.planes[0])[:640], 16_000)
        except MediaStreamError:
            pass

    async def post(request: web.Request) -> web.Response:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers.add(peer)

        def on_track(track: MediaStreamTrack) -> None:
            tasks.add(asyncio.create_task(listen(track)))

        peer.on("track", on_track)
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        peer.addTrack(StockTrack(replies))
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(
            status=201, text=peer.localDescription.sdp, content_type="application/sdp",
            headers={"Location": f"/webrtc/{id(peer)}"},
        )  # fmt: skip

    async def delete(request: web.Request) -> web.Response:
        for peer in [one for one in peers if str(id(one)) == request.match_info["session"]]:
            peers.discard(peer)
            await peer.close()
        return web.Response()

    return [web.post("/webrtc", post), web.delete("/webrtc/{session}", delete)]
