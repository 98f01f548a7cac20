/**
 * Where the time of a turn went, as rows of a waterfall. Pure: from the server's stages and this device's own
 * figures. All milliseconds from the caller's last voiced sample.
 */

/** The server's name for a reply that was ready beforehand, where a provider's would stand. */
const STORED = "stored";
const known = (value) => (Number.isFinite(value) && value > 0 ? value : 0);

/**
 * Rows `{key, startMs, ms}` in the order in which they end, and the total. `stages`: the server's, by the names
 * of its metrics; `client`: `rtt_ms`, `jitter_buffer_ms`, `l9_output_ms` as measured here (all optional).
 *
 * A reply that began on a partial transcript overlaps with the endpointing wait, so what comes after the
 * endpoint is laid out backwards from the response; a row never starts before 0. The network's row is the
 * way up and the way down together.
 */
export function waterfall(stages, client = {}, providers = {}) {
  const network = known(client.rtt_ms);
  const rows = [];
  const forward = (key, ms) => {
    const startMs = rows.at(-1) ? rows.at(-1).startMs + rows.at(-1).ms : 0;
    if (ms > 0) rows.push({ key, startMs, ms });
  };
  forward("endpointing", known(stages.endpointing));
  forward("stt", known(stages.stt_final));
  const cache = known(stages.cache) || known(stages.cache_lookup);
  const model = known(stages.llm_first_sentence) || known(stages.llm_first_token);
  // An answer that no model wrote; it has its row even where its time rounds to nothing.
  const stored = providers.cache || providers.llm === STORED;
  const after = [
    model && !stored ? ["llm", model] : ["cache", cache || model],
    ["tts", known(stages.tts_first_audio)],
    ["added", known(stages.added)],
  ].filter(([key, ms]) => ms > 0 || (stored && key === "cache"));
  const spent = rows.reduce((sum, row) => sum + row.ms, 0) + after.reduce((sum, [, ms]) => sum + ms, 0);
  const response = known(stages.response) || spent;
  let startMs = Math.max(0, response - after.reduce((sum, [, ms]) => sum + ms, 0));
  for (const [key, ms] of after) {
    rows.push({ key, startMs, ms });
    startMs += ms;
  }
  if (network) rows.push({ key: "network", startMs: response, ms: network });
  const playback = known(client.jitter_buffer_ms) + known(client.l9_output_ms);
  if (playback) rows.push({ key: "playback", startMs: response + network, ms: playback });
  return { rows, responseMs: response, totalMs: response + network + playback };
}

/** Signal level (0 to 1, as levels.js scales it) above which there is a voice. */
const VOICED = 0.18;
/** Sound of this length counts: shorter ones are clicks. */
const ONSET_MS = 30;
/** The agent's silence after which its next sound is the beginning of a reply. */
const GAP_MS = 250;
/** Longer waits have another reason than latency. */
const LONGEST_MS = 15000;

/** Notices from the two levels how long the caller waited for an answer. Fed at each look, in any rhythm. */
export class AnswerTimer {
  #callerMs = null;
  #agentSinceMs = null;
  #agentLastMs = -Infinity;

  /** Returns the milliseconds from the caller's last sound to the agent's first, once per answer; else null. */
  feed(nowMs, caller, agent) {
    if (caller > VOICED && nowMs - this.#agentLastMs > GAP_MS) this.#callerMs = nowMs;
    if (agent <= VOICED) {
      this.#agentSinceMs = null;
      return null;
    }
    if (nowMs - this.#agentLastMs > GAP_MS) this.#agentSinceMs ??= nowMs;
    if (this.#agentSinceMs === null) {
      this.#agentLastMs = nowMs;
      return null;
    }
    if (nowMs - this.#agentSinceMs < ONSET_MS) return null;
    const waited = this.#callerMs === null ? null : this.#agentSinceMs - this.#callerMs;
    this.#agentLastMs = nowMs;
    this.#agentSinceMs = null;
    this.#callerMs = null;
    return waited !== null && waited > 0 && waited < LONGEST_MS ? waited : null;
  }
}
