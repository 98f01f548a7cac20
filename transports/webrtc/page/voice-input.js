/** The caller's microphone during a call: which device, and whether it is open, muted or held. */

import { openMicrophone } from "./microphone.js";

/** Events: `change` (who speaks through what has changed), `unplugged` (the device went away). */
export class VoiceInput extends EventTarget {
  #track = null;
  #muted = false;
  #pushToTalk = false;
  #held = false;

  /** The audio track; null without a microphone. */
  get track() {
    return this.#track;
  }

  /** Id of the device in use, "" without. */
  get device() {
    return this.#track?.getSettings().deviceId ?? "";
  }

  /** True while the caller can be heard. */
  get open() {
    return this.#track !== null && (this.#pushToTalk ? this.#held : !this.#muted);
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#changed();
  }

  get pushToTalk() {
    return this.#pushToTalk;
  }

  set pushToTalk(on) {
    this.#pushToTalk = on;
    this.#held = false;
    this.#changed();
  }

  get held() {
    return this.#held;
  }

  /** The button or the space bar is down. */
  set held(held) {
    if (this.#held === held) return;
    this.#held = held;
    this.#changed();
  }

  /** Open or change the device. Raises `MicrophoneError`; the earlier one then stays in use. */
  async use(deviceId) {
    const track = await openMicrophone(deviceId);
    this.close();
    this.#track = track;
    // Only the system ends a track by itself: the device is gone, or its permission was taken away.
    track.addEventListener("ended", () => {
      if (this.#track !== track) return;
      this.#track = null;
      this.#changed();
      this.dispatchEvent(new Event("unplugged"));
    });
    this.#changed();
    return track;
  }

  /** Give the device back. */
  close() {
    this.#track?.stop();
    this.#track = null;
    this.#held = false;
    this.#changed();
  }

  #changed() {
    if (this.#track) this.#track.enabled = this.open;
    this.dispatchEvent(new Event("change"));
  }
}
