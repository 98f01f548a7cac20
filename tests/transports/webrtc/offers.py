"""Offers as clients send them; addresses and keys are made up."""

_FINGERPRINT = ":".join(["AB"] * 32)

CHROME = "\r\n".join(
    f"""v=0
o=- 4962303333179871722 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS 5f2
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0 8
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:3 1 udp 2122260223 6a9c.local 46154 typ host generation 0 network-id 1
a=candidate:4 1 udp 2122260222 192.0.2.20 46155 typ host generation 0 network-id 1
a=candidate:5 1 tcp 1518280447 192.0.2.20 9 typ host tcptype active generation 0 network-id 1
a=ice-ufrag:TzQ1
a=ice-pwd:9Rg0fPv3e1dbYqvXxyzABCDE
a=ice-options:trickle
a=fingerprint:sha-256 {_FINGERPRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:5f2 7c1
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=ssrc:391423 cname:x2f
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:TzQ1
a=ice-pwd:9Rg0fPv3e1dbYqvXxyzABCDE
a=ice-options:trickle
a=fingerprint:sha-256 {_FINGERPRINT}
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
""".splitlines()
)

FIREFOX = "\r\n".join(
    f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 7195 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {_FINGERPRINT}
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 40001 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 192.0.2.30
a=candidate:0 1 UDP 2122252543 192.0.2.30 40001 typ host
a=sendrecv
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:0e7a4f1d2c3b4a5968778695a4b3c2d1
a=ice-ufrag:3a9d1f2c
a=mid:0
a=msid:- {{5d6a}}
a=rtcp:40002 IN IP4 192.0.2.30
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:1 cname:{{f00}}
m=application 40003 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.30
a=sendrecv
a=ice-pwd:0e7a4f1d2c3b4a5968778695a4b3c2d1
a=ice-ufrag:3a9d1f2c
a=mid:1
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
""".splitlines()
)

FIREFOX_MAX_BUNDLE = "\r\n".join(
    f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5263125557827835832 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {_FINGERPRINT}
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 58913 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 192.0.2.30
a=candidate:0 1 UDP 2122187007 192.0.2.30 58913 typ host
a=candidate:2 1 TCP 2105458943 192.0.2.30 9 typ host tcptype active
a=candidate:0 2 UDP 2122187006 192.0.2.30 59997 typ host
a=candidate:2 2 TCP 2105458942 192.0.2.30 9 typ host tcptype active
a=sendrecv
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap-allow-mixed
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:0e7a4f1d2c3b4a5968778695a4b3c2d1
a=ice-ufrag:3a9d1f2c
a=mid:0
a=msid:- {{5d6a}}
a=rtcp:59997 IN IP4 192.0.2.30
a=rtcp-fb:109 transport-cc
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=setup:actpass
a=ssrc:1 cname:{{f00}}
m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=bundle-only
a=sendrecv
a=ice-pwd:0e7a4f1d2c3b4a5968778695a4b3c2d1
a=ice-ufrag:3a9d1f2c
a=mid:1
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
""".splitlines()
)
"""As Firefox 153 writes it with `bundlePolicy: "max-bundle"`: the data channel is on port 0."""

OBS = "\r\n".join(
    f"""v=0
o=rtc 2733 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic:WMS *
a=setup:actpass
a=ice-ufrag:x1Yz
a=ice-pwd:0123456789abcdefghijkl
a=fingerprint:sha-256 {_FINGERPRINT}
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:1 cname:obs
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:96 H264/90000
""".splitlines()
)
