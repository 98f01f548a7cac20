/**
 * What this device knows of the call's quality, from getStats, as the `client` message wants it. Counters are
 * of the last interval, not since the start.
 */

/** What a sample waits for its 20 ms frame, in the mean, and for the look-ahead of libopus: 312 samples at 48 kHz. */
const ENCODING_MS = 10 + 6.5;

const round = (value) => Math.round(value * 10) / 10;

/** Figures that are numbers, rounded. */
function measured(figures) {
  return Object.fromEntries(
    Object.entries(figures).filter(([, value]) => Number.isFinite(value)).map(([key, value]) => [key, round(value)]),
  );
}

export class QualityMeter {
  #before = {};

  /** A new connection counts from zero. */
  reset() {
    this.#before = {};
  }

  /** The metrics since the last look. `track`: the caller's, or null; `outputMs`: see `Levels.outputMs`. */
  async look(connection, track, outputMs) {
    const report = [...(await connection.getStats()).values()];
    const inbound = report.find((each) => each.type === "inbound-rtp" && each.kind === "audio") ?? {};
    const outbound = report.find((each) => each.type === "outbound-rtp" && each.kind === "audio") ?? {};
    const pair = report.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded");
    const grown = (name) => this.#grown(name, inbound[name]);
    const queued = this.#grown("totalPacketSendDelay", outbound.totalPacketSendDelay) ?? 0;
    const sent = this.#grown("packetsSent", outbound.packetsSent);
    const emitted = grown("jitterBufferEmittedCount");
    const delayed = grown("jitterBufferDelay");
    const processing = grown("totalProcessingDelay");
    const lost = grown("packetsLost");
    const received = grown("packetsReceived");
    const concealed = grown("concealedSamples");
    const samples = grown("totalSamplesReceived");
    const latency = track?.getSettings().latency;
    const bufferMs = emitted > 0 ? (1000 * delayed) / emitted : undefined;
    return measured({
      l1_capture_ms: latency > 0 ? 1000 * latency : undefined,
      // Browsers tell of echo cancelling nothing, of encoding only how long packets then wait to be sent.
      l2_processing_ms: track !== null && sent > 0 ? ENCODING_MS + (1000 * queued) / sent : undefined,
      // From the packet to the sound: the jitter buffer, decoding, and what else the browser does.
      l8_rendering_ms: emitted > 0 && processing > 0 ? (1000 * processing) / emitted : bufferMs,
      l9_output_ms: outputMs ?? undefined,
      rtt_ms: pair?.currentRoundTripTime === undefined ? undefined : 1000 * pair.currentRoundTripTime,
      jitter_ms: inbound.jitter === undefined ? undefined : 1000 * inbound.jitter,
      lost,
      received,
      concealed: samples > 0 ? concealed / samples : undefined,
      jitter_buffer_ms: bufferMs,
    });
  }

  #grown(name, value) {
    if (!Number.isFinite(value)) return undefined;
    const before = this.#before[name] ?? 0;
    this.#before[name] = value;
    return value - before;
  }
}
