/**
 * What this person chose last time, kept on this device only. Without storage (private windows, sandboxed
 * frames) choices last as long as the page.
 */

const KEY = "parley-call";
const DEFAULTS = { microphone: "", speaker: "", language: "", voice: "", pushToTalk: false, latency: true };

export class Preferences {
  #values = { ...DEFAULTS };

  constructor() {
    try {
      const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      for (const [name, fallback] of Object.entries(DEFAULTS)) {
        if (typeof stored?.[name] === typeof fallback) this.#values[name] = stored[name];
      }
    } catch (error) {
      console.info("parley: no stored choices:", error.message);
    }
  }

  get(name) {
    return this.#values[name];
  }

  set(name, value) {
    this.#values[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#values));
    } catch (error) {
      console.info("parley: choices are not kept:", error.message);
    }
  }
}
