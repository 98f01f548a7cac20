/**
 * The microphone: opening it, saying in one word why it cannot be had, and the devices there are.
 */

/** Echo cancellation is what keeps the agent from interrupting itself on a loudspeaker. */
const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/**
 * No microphone. `kind`:
 *  - `insecure`: the page is not on https (or localhost), so browsers offer none
 *  - `denied`: the person or the site's settings refuse it
 *  - `missing`: there is none
 *  - `busy`: the system or another application holds it
 */
export class MicrophoneError extends Error {
  constructor(kind, cause) {
    super(`microphone: ${kind}`, { cause });
    this.name = "MicrophoneError";
    this.kind = kind;
  }
}

const KINDS = {
  NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing",
  NotReadableError: "busy", AbortError: "busy",
};

/** An audio track of the device (empty id: the system's choice). Raises `MicrophoneError`. */
export async function openMicrophone(deviceId) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new MicrophoneError("insecure");
  try {
    return await open(deviceId);
  } catch (error) {
    // The remembered device is unplugged: any other is better than none.
    if (deviceId && error.kind === "missing") return open("");
    throw error;
  }
}

async function open(deviceId) {
  const audio = deviceId ? { ...WANTED, deviceId: { exact: deviceId } } : WANTED;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    return stream.getAudioTracks()[0];
  } catch (error) {
    throw new MicrophoneError(KINDS[error.name] ?? "busy", error);
  }
}

/** True if the microphone can be opened without asking. False where that cannot be known. */
export async function microphoneAllowed() {
  try {
    return (await navigator.permissions.query({ name: "microphone" })).state === "granted";
  } catch {
    return false; // Firefox before 131 does not know the name
  }
}

/** `{inputs, outputs}`, each `{id, label}`. Labels are empty until a microphone has been allowed. */
export async function devices() {
  if (!navigator.mediaDevices?.enumerateDevices) return { inputs: [], outputs: [] };
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind) => all
    .filter((device) => device.kind === kind && device.deviceId !== "")
    .map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { inputs: of("audioinput"), outputs: of("audiooutput") };
}

/** Call `changed` whenever a device comes or goes, until `signal` is aborted. */
export function watchDevices(changed, signal) {
  navigator.mediaDevices?.addEventListener?.("devicechange", changed, { signal });
}
