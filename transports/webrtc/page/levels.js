/**
 * How loud each side is: an AnalyserNode on each stream, read on demand. Nothing is played from here; the
 * agent's voice goes through an <audio> element, which is what browsers' echo cancellation knows.
 */

/** 21 ms at 48 kHz: about one frame of speech. */
const WINDOW = 1024;
/** Root mean square that counts as silence and as full, dBFS: a quiet room and a close, loud voice. */
const FLOOR_DB = -58;
const CEILING_DB = -14;

/** Root mean square (full scale 1) as 0 to 1 on a scale of decibels. */
export function scaled(rms) {
  if (rms <= 0) return 0;
  return Math.min(1, Math.max(0, (20 * Math.log10(rms) - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}

class Tap {
  #context;
  #analyser;
  #source = null;
  #buffer = new Float32Array(WINDOW);

  constructor(context) {
    this.#context = context;
    this.#analyser = new AnalyserNode(context, { fftSize: WINDOW, smoothingTimeConstant: 0 });
  }

  /** Listen to `stream`; null: to nothing. */
  listen(stream) {
    this.#source?.disconnect();
    this.#source = stream === null ? null : this.#context.createMediaStreamSource(stream);
    this.#source?.connect(this.#analyser);
  }

  level() {
    if (this.#source === null) return 0;
    this.#analyser.getFloatTimeDomainData(this.#buffer);
    let sum = 0;
    for (const sample of this.#buffer) sum += sample * sample;
    return scaled(Math.sqrt(sum / WINDOW));
  }
}

export class Levels {
  #context = null;
  #caller = null;
  #agent = null;

  /** Must be called from a click or key press: browsers keep audio contexts silent until then. */
  start() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    this.#caller ??= new Tap(this.#context);
    this.#agent ??= new Tap(this.#context);
    // Refused without a gesture; the levels then stay at 0, which harms nobody.
    this.#context.resume().catch((error) => console.info("parley: levels:", error.message));
  }

  /** The caller's track; null: none. */
  set caller(track) {
    this.#caller?.listen(track === null ? null : new MediaStream([track]));
  }

  /** The agent's stream; null: none. */
  set agent(stream) {
    this.#agent?.listen(stream);
  }

  /** `{caller, agent}`, each 0 to 1. */
  read() {
    return { caller: this.#caller?.level() ?? 0, agent: this.#agent?.level() ?? 0 };
  }

  /** What the operating system adds before sound is heard, ms; null if unknown. */
  get outputMs() {
    const context = this.#context;
    if (context === null) return null;
    return 1000 * (context.baseLatency + (context.outputLatency ?? 0));
  }

  close() {
    // Closing twice is refused; it was closed, which is what is wanted.
    this.#context?.close().catch(() => {});
    this.#context = this.#caller = this.#agent = null;
  }
}
