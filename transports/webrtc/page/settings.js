/** What the settings dialog does. Its DOM is in settings-view.js. */

import { devices, watchDevices } from "./microphone.js";
import { fillSelect } from "./view.js";

/** The level meter's steps on the screen a second. */
const METER_HZ = 20;

export class Settings {
  #view;
  #preferences;
  #input;
  #levels;
  #tell;
  #strings = {};
  #timer = null;
  #live = false;
  #testing = false;

  /** `tell`: choose({language} or {voice}), speaker() and track() have changed, failed(kind
   * of MicrophoneError). */
  constructor(view, preferences, input, levels, tell, signal) {
    this.#view = view;
    this.#preferences = preferences;
    this.#input = input;
    this.#levels = levels;
    this.#tell = tell;
    const on = (node, name, handle) => node.addEventListener(name, handle, { signal });
    on(view.close, "click", () => view.dialog.close());
    // A click on the backdrop hits the dialog itself, not what is in it.
    on(view.dialog, "click", (event) => event.target === view.dialog && view.dialog.close());
    on(view.dialog, "close", () => this.#closed());
    on(view.microphone, "change", () => this.#microphoneChosen());
    on(view.speaker, "change", () => this.#speakerChosen());
    on(view.test, "click", () => this.#test());
    on(view.language, "change", () => tell.choose({ language: view.language.value }));
    on(view.voice, "change", () => tell.choose({ voice: view.voice.value }));
    on(view.pushToTalk, "change", () => this.#toggle("pushToTalk", view.pushToTalk.checked));
    on(view.latency, "change", () => this.#toggle("latency", view.latency.checked));
    watchDevices(() => this.#fillDevices(), signal);
  }

  open() {
    this.#view.pushToTalk.checked = this.#preferences.get("pushToTalk");
    this.#view.latency.checked = this.#preferences.get("latency");
    this.#view.dialog.showModal();
    this.#fillDevices();
    this.#timer = setInterval(() => this.#meter(), 1000 / METER_HZ);
    this.#showTest();
  }

  close() {
    if (this.#view.dialog.open) this.#view.dialog.close();
    this.#closed();
  }

  words(strings) {
    this.#strings = strings;
    this.#showTest();
    this.#fillDevices(); // also while it is closed: browsers take a moment, and a dialog must not open empty
  }

  show(live) {
    this.#live = live;
    this.#view.voiceHelp.hidden = !live;
    this.#showTest();
  }

  /** Let the agent be heard through the chosen device, where the browser can. */
  applySpeaker(audio) {
    if (!audio.setSinkId) return;
    // A speaker that is gone: the system's choice is used, as without a choice.
    audio.setSinkId(this.#preferences.get("speaker")).catch((error) => console.info("parley: speaker:", error.message));
  }

  async #fillDevices() {
    const { inputs, outputs } = await devices();
    const list = (found, key) => [
      { value: "", text: this.#strings.systemDefault },
      ...found.filter(({ id }) => id !== "default")
        .map(({ id, label }, index) => ({ value: id, text: label || `${this.#strings[key]} ${index + 1}` })),
    ];
    fillSelect(this.#view.microphone, list(inputs, "microphone"), this.#preferences.get("microphone"));
    fillSelect(this.#view.speaker, list(outputs, "speaker"), this.#preferences.get("speaker"));
    this.#view.speakerField.hidden = outputs.length === 0 || !("setSinkId" in HTMLMediaElement.prototype);
  }

  #speakerChosen() {
    this.#preferences.set("speaker", this.#view.speaker.value);
    this.#tell.speaker();
  }

  async #microphoneChosen() {
    this.#preferences.set("microphone", this.#view.microphone.value);
    if (this.#input.track) await this.#use();
  }

  async #use() {
    this.#levels.start();
    try {
      await this.#input.use(this.#preferences.get("microphone"));
    } catch (error) {
      this.#view.dialog.close();
      this.#tell.failed(error.kind);
      return;
    }
    await this.#tell.track();
    await this.#fillDevices(); // their names are known now
  }

  async #test() {
    if (this.#testing) this.#stopTest();
    else {
      this.#testing = true;
      await this.#use();
    }
    this.#showTest();
  }

  #stopTest() {
    this.#testing = false;
    this.#levels.caller = null;
    if (!this.#live) this.#input.close();
  }

  #showTest() {
    const { test } = this.#view;
    test.hidden = this.#live;
    test.textContent = this.#testing ? this.#strings.stopTest : this.#strings.test;
  }

  #closed() {
    clearInterval(this.#timer);
    if (this.#testing) this.#stopTest();
  }

  #toggle(name, on) {
    this.#preferences.set(name, on);
    if (name === "pushToTalk") this.#input.pushToTalk = on;
    else this.#tell.choose({});
  }

  #meter() {
    const level = this.#input.track ? this.#levels.read().caller : 0;
    this.#view.bar.style.setProperty("--level", level.toFixed(3));
    this.#view.meter.setAttribute("aria-valuenow", String(Math.round(100 * level)));
  }
}
