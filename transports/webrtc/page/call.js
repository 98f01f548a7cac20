/**
 * One call: from the first offer to the end, over network changes.
 *
 *     connecting > live <> reconnecting > ended
 *
 * When the network breaks or changes, ICE is restarted on the same connection (a PATCH); if that does not help,
 * a new offer asks the server to go on with the same call (`resume`), again and again with growing pauses.
 */

import { parse } from "./messages.js";
import { Peer, until } from "./peer.js";
import { SignallingError } from "./whip.js";

/** A connection that browsers call `disconnected` often comes back by itself; longer than this is an outage. */
const GRACE_MS = 800;
/** All attempts together. The server keeps a lost call for a bounded time too. */
const RECONNECT_MS = 30000;
/** Pauses between new offers; the last one repeats. */
const PAUSES_MS = [0, 500, 1000, 2000, 4000];
/** From `state: ended` to `bye`. */
const BYE_MS = 1500;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Causes for which another attempt is of no use. */
const HOPELESS = new Set(["token", "rejected"]);

/**
 * Events: `phase` (detail: connecting, live, reconnecting, ended), `message` (detail: a parsed message),
 * `stream` (detail: the agent's MediaStream), `ended` (detail: `{cause, error}`; error null if all went well).
 */
export class Call extends EventTarget {
  #options;
  #peer = null;
  #track;
  #phase = "new";
  #recovering = false;
  #grace = null;
  #said = false;
  #stopListening = new AbortController();

  /** `options`: server, iceServers, language, voice, token (async, gives a token or null), track (or null). */
  constructor(options) {
    super();
    this.#options = options;
    this.#track = options.track;
    const { signal } = this.#stopListening;
    window.addEventListener("offline", () => this.#phase === "live" && this.#recover("offline"), { signal });
    window.addEventListener("online", () => this.#phase === "live" && this.#recover("online"), { signal });
    this.#watchNetworkKind(signal);
  }

  get phase() {
    return this.#phase;
  }

  /** The peer connection in use, for statistics; null when there is none. */
  get connection() {
    return this.#peer?.connection ?? null;
  }

  /** Begin. Failures end the call (event `ended`), they are not raised. */
  async open() {
    this.#enter("connecting");
    try {
      await this.#offer(null);
      if (!this.over) this.#enter("live");
    } catch (error) {
      this.#end("failed", error);
    }
  }

  get over() {
    return this.#phase === "ended";
  }

  send(type, fields) {
    return this.#peer?.send(type, fields) ?? false;
  }

  /** Speak through `track` from now on; null: silence. */
  async setTrack(track) {
    this.#track = track;
    await this.#peer?.replaceTrack(track);
  }

  hangUp() {
    this.#end("hung_up", null, true);
  }

  async #offer(resume) {
    const { server, iceServers, language, voice, token } = this.#options;
    const peer = new Peer(server, iceServers, this.#track);
    const earlier = this.#peer;
    this.#peer = peer;
    this.#hearFrom(peer);
    try {
      await peer.open({ language, voice, resume }, await token());
    } catch (error) {
      // The server may hold a session that never connected; but one that has taken the call over may live.
      peer.close(resume === null);
      if (this.over) earlier?.close(true);
      else this.#peer = earlier;
      throw error;
    }
    // Not before: where the old path still works, the server takes its end for the end of the call.
    earlier?.close(false);
  }

  #hearFrom(peer) {
    const current = (handle) => (event) => this.#peer === peer && !this.over && handle(event.detail);
    peer.addEventListener("message", current((data) => this.#message(data)));
    peer.addEventListener("stream", current((stream) => this.#emit("stream", stream)));
    peer.addEventListener("up", current(() => this.#up()));
    peer.addEventListener("down", current((why) => this.#down(why)));
  }

  #message(data) {
    const message = parse(data);
    if (message === null) return;
    this.#emit("message", message);
    if (message.type === "bye") this.#end(message.cause ?? "ended");
    else if (message.type === "state" && message.state === "ended") {
      this.#said = true;
      setTimeout(() => this.#end("ended"), BYE_MS);
    }
  }

  #up() {
    clearTimeout(this.#grace);
    this.#grace = null;
  }

  #down(why) {
    if (this.#phase !== "live") return;
    if (this.#said) this.#end("ended");
    else if (why === "disconnected") {
      this.#grace ??= setTimeout(() => {
        this.#grace = null;
        if (!this.#peer?.up) this.#recover(why);
      }, GRACE_MS);
    } else this.#recover(why);
  }

  async #recover(why) {
    if (this.#recovering || this.over) return;
    this.#recovering = true;
    this.#enter("reconnecting");
    const from = performance.now();
    const left = () => RECONNECT_MS - (performance.now() - from);
    try {
      if (!navigator.onLine) await until(window, "online", () => navigator.onLine || this.over, left());
      if (!(await this.#restarted(why))) await this.#offerAgain(left);
      if (!this.over) this.#enter("live");
    } catch (error) {
      this.#end("lost", error);
    } finally {
      this.#recovering = false;
    }
  }

  /** True if an ICE restart brought the connection back. */
  async #restarted(why) {
    if (why === "closed" || why === "channel" || this.over) return false;
    try {
      await this.#peer.restart();
      return true;
    } catch (error) {
      console.info("parley: ICE restart:", error.message);
      return false;
    }
  }

  async #offerAgain(left) {
    const resume = this.#peer.session;
    for (let attempt = 0; !this.over; attempt += 1) {
      await pause(PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)]);
      if (this.over) return;
      try {
        await this.#offer(resume);
        return;
      } catch (error) {
        if (!(error instanceof SignallingError) || HOPELESS.has(error.kind) || left() <= 0) throw error;
        console.info("parley: new offer:", error.message);
      }
    }
  }

  /** Phones change between Wi-Fi and mobile without going offline; `type` is only known there. */
  #watchNetworkKind(signal) {
    const network = navigator.connection;
    if (!network || network.type === undefined) return;
    let kind = network.type;
    network.addEventListener("change", () => {
      if (network.type === kind) return;
      kind = network.type;
      if (this.#phase === "live") this.#recover("network");
    }, { signal });
  }

  #enter(phase) {
    if (this.#phase === phase || this.over) return;
    this.#phase = phase;
    this.#emit("phase", phase);
  }

  #end(cause, error = null, tell = false) {
    if (this.over) return;
    clearTimeout(this.#grace);
    this.#stopListening.abort();
    // Also after a failure the server is told: it may keep the call for a while.
    this.#peer?.close(tell || error !== null);
    this.#enter("ended");
    this.#emit("ended", { cause, error });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
