/** What runs beside a call: its clock, the timing of answers, quality figures, a screen that stays on. */

import { AnswerTimer } from "./latency.js";
import { QualityMeter } from "./stats.js";

/** Looks at the levels for the answer's timing: half a frame of speech. */
const LOOK_MS = 10;
/** `client` messages go out at most once a second (docs/embed.md). */
const QUALITY_MS = 1000;

export class CallWatch {
  /** This device's latest figures, as in the `client` message. */
  metrics = {};
  #timer;
  #levels;
  #loudness;
  #waited;
  #timers = [];
  #answeredMs = null;
  #wakeLock = null;
  #call = null;
  #input = null;
  #quality = new QualityMeter();
  #answers = new AnswerTimer();
  #awake = () => this.#stayAwake();

  /** `timer`: node for the clock; `loudness()`: both levels; `waited(ms)`: told of each answer's delay. */
  constructor(timer, levels, loudness, waited) {
    this.#timer = timer;
    this.#levels = levels;
    this.#loudness = loudness;
    this.#waited = waited;
  }

  start(call, input) {
    this.stop();
    this.#call = call;
    this.#input = input;
    this.#timer.textContent = "0:00";
    this.#quality.reset();
    this.#timers = [setInterval(() => this.#look(), LOOK_MS), setInterval(() => this.#measure(), QUALITY_MS)];
    document.addEventListener("visibilitychange", this.#awake);
    this.#stayAwake();
  }

  /** The call is through (for the first time, or again). */
  answered() {
    this.#answeredMs ??= performance.now();
    this.#quality.reset();
  }

  stop() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#call = this.#answeredMs = null;
    this.metrics = {};
    document.removeEventListener("visibilitychange", this.#awake);
    this.#sleep();
  }

  #look() {
    const { caller, agent } = this.#loudness();
    const waited = this.#answers.feed(performance.now(), caller, agent);
    if (waited !== null) this.#waited(waited);
  }

  async #measure() {
    const call = this.#call;
    this.#clock();
    if (!call?.connection || call.phase !== "live") return;
    this.metrics = await this.#quality.look(call.connection, this.#input.track, this.#levels.outputMs);
    call.send("client", { metrics: this.metrics });
  }

  #clock() {
    if (this.#answeredMs === null) return;
    const seconds = Math.floor((performance.now() - this.#answeredMs) / 1000);
    this.#timer.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  /** Phones turn their screen off, and the page with it, in the middle of a sentence. */
  async #stayAwake() {
    if (document.visibilityState !== "visible" || !navigator.wakeLock) return;
    try {
      this.#wakeLock = await navigator.wakeLock.request("screen");
      if (this.#call === null) await this.#sleep();
    } catch (error) {
      console.info("parley: the screen may turn off:", error.message); // battery saver
    }
  }

  async #sleep() {
    const lock = this.#wakeLock;
    this.#wakeLock = null;
    await lock?.release();
  }
}
