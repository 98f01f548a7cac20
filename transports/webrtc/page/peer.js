/**
 * One peer connection with its WHIP session and data channel. A call may use several, one after the other,
 * when the network changes so much that ICE cannot follow (see call.js).
 */

import { LABEL, MAX_MESSAGE, encode } from "./messages.js";
import { candidates, fragment, restarted } from "./sdpfrag.js";
import { SignallingError, WhipSession } from "./whip.js";

/** Wait for candidates before the offer goes out. Host candidates take 5-30 ms; the rest is trickled. */
const GATHER_MS = 60;
/** Candidates that come within this time share one PATCH. */
const TRICKLE_MS = 40;
/** From the answer to a working connection; browsers give up by themselves after 15-30 s. */
const CONNECT_MS = 12000;
/** Least jitter buffer asked for. Talk suffers more from delay than from a rare concealed packet. */
const JITTER_TARGET_MS = 20;
/** Data channel backlog beyond which messages are dropped. */
const MAX_BACKLOG = 8 * MAX_MESSAGE;

/** Resolves true once `test()` holds, false after `ms`. Looked at on each event `name` of `target`. */
export function until(target, name, test, ms) {
  return new Promise((resolve) => {
    const finish = (held) => {
      clearTimeout(timer);
      target.removeEventListener(name, look);
      resolve(held);
    };
    const look = () => test() && finish(true);
    const timer = setTimeout(() => finish(false), ms);
    target.addEventListener(name, look);
    look();
  });
}

/** Events: `message` (detail: text), `stream` (detail: MediaStream), `down` (detail: why), `up`. */
export class Peer extends EventTarget {
  #pc;
  #server;
  #channel;
  #whip;
  #audio;
  #answer = "";
  #found = [];
  #gathered = false;
  #timer = null;
  #sending = Promise.resolve();
  #closed = false;

  constructor(server, iceServers, track) {
    super();
    this.#server = new URL(server);
    this.#whip = new WhipSession(server);
    // One transport from the start: no candidates, and at a TURN server no allocations, that are thrown away.
    this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#channel = this.#pc.createDataChannel(LABEL, { ordered: true });
    // Both directions from the start, so that a microphone can come later without another offer.
    this.#audio = this.#pc.addTransceiver(track ?? "audio", { direction: "sendrecv" });
    this.#audio.receiver.jitterBufferTarget = JITTER_TARGET_MS;
    this.#listen();
  }

  get connection() {
    return this.#pc;
  }

  get session() {
    return this.#whip.id;
  }

  get up() {
    return this.#pc.connectionState === "connected";
  }

  /** Offer, answer, connect. Raises `SignallingError`; `unreachable` also when no path for media is found. */
  async open(query, token) {
    const offered = await this.#described();
    this.#answer = await this.#whip.offer(offered, query, token);
    if (this.#closed) throw new SignallingError("rejected", 0, "hung up while connecting");
    await this.#pc.setRemoteDescription({ type: "answer", sdp: this.#answer });
    this.#trickleSoon();
    await this.#connected();
  }

  /** New ICE credentials on the same connection. Raises `SignallingError` when the server cannot or will not. */
  async restart() {
    this.#pc.restartIce();
    const local = await this.#described();
    const body = fragment(local, candidates(local), this.#gathered);
    const answer = restarted(this.#answer, await this.#whip.restart(body));
    if (answer === null) throw new SignallingError("rejected", 200, "the restart has no credentials");
    this.#answer = answer;
    await this.#pc.setRemoteDescription({ type: "answer", sdp: answer });
    this.#trickleSoon();
    await this.#connected();
  }

  /** Speak through `track` from now on; null: silence. */
  async replaceTrack(track) {
    await this.#audio.sender.replaceTrack(track);
  }

  /** Send a message; false if the channel is not open or too far behind. */
  send(type, fields) {
    return !this.#closed && this.#tell(type, fields);
  }

  #tell(type, fields) {
    if (this.#channel.readyState !== "open" || this.#channel.bufferedAmount > MAX_BACKLOG) return false;
    this.#channel.send(encode(type, fields));
    return true;
  }

  /** Close; with `hangUp` the server is told. Safe to call twice. */
  close(hangUp) {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    if (!hangUp) {
      this.#pc.close();
      return;
    }
    // From another origin the request needs a preflight, for which a page that is being left has no time.
    if (this.#server.origin !== location.origin) this.#tell("hangup");
    // The connection is closed after the request: otherwise the server notices that first, and the request
    // finds no session. Where it is out of reach it notices by itself.
    this.#whip.end()
      .catch((error) => console.info("parley: hang-up request:", error.message))
      .finally(() => this.#pc.close());
  }

  #listen() {
    const pc = this.#pc;
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate === null) this.#gathered = true;
      // The other sections are bundled with the first; candidates of their own are of no use.
      else if (candidate.candidate && candidate.sdpMLineIndex === 0) this.#found.push(candidate.candidate);
      this.#trickleSoon();
    });
    pc.addEventListener("track", ({ track, streams }) => {
      this.#emit("stream", streams[0] ?? new MediaStream([track]));
    });
    pc.addEventListener("connectionstatechange", () => {
      const state = pc.connectionState;
      if (state === "connected") this.#emit("up");
      else if (state === "disconnected" || state === "failed" || state === "closed") this.#emit("down", state);
    });
    this.#channel.addEventListener("message", ({ data }) => this.#emit("message", data));
    this.#channel.addEventListener("close", () => this.#emit("down", "channel"));
  }

  /** Our description, with the candidates that could be had at once; later ones are trickled. */
  async #described() {
    // `iceGatheringState` still says complete right after a restart: the end of this gathering is the event.
    this.#gathered = false;
    this.#found = [];
    await this.#pc.setLocalDescription();
    await until(this.#pc, "icecandidate", () => this.#gathered, GATHER_MS);
    this.#found = [];
    return this.#pc.localDescription.sdp;
  }

  async #connected() {
    const settled = () => this.up || this.#closed || this.#pc.connectionState === "failed";
    await until(this.#pc, "connectionstatechange", settled, CONNECT_MS);
    if (!this.up) throw new SignallingError("unreachable", 0, "no path for audio to the server");
  }

  #trickleSoon() {
    if (this.#timer !== null || this.#whip.id === null || this.#found.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const found = this.#found.splice(0);
      if (this.#closed || found.length === 0 || this.#whip.id === null) return;
      const body = fragment(this.#pc.localDescription.sdp, found, this.#gathered);
      // One after the other: each needs the session as the one before left it. A server without trickle
      // answers 405; the candidates in the offer then have to do.
      this.#sending = this.#sending
        .then(() => this.#whip.trickle(body))
        .catch((error) => console.info("parley: trickle:", error.message));
    }, TRICKLE_MS);
  }

  #emit(type, detail) {
    if (!this.#closed) this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
