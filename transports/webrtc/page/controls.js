/** Buttons, keys and fields: what the person does, and which controls there are at the moment. */

import { Keypad } from "./keypad.js";

/** Where the space bar has a meaning of its own. */
const TAKES_SPACE = "input, select, textarea, button, summary, [contenteditable]";

export class Controls {
  #view;
  #input;
  #act;
  #keypad;
  #phase = "idle";

  /** `act`: talk, type, say(text), key(digit), microphone, choose, settings. `hotkeys`: the space bar counts on the whole page. */
  constructor(host, view, input, act, hotkeys, signal) {
    this.#view = view;
    this.#input = input;
    this.#act = act;
    this.#keypad = new Keypad(view, act.key, signal);
    const on = (node, name, handle) => node.addEventListener(name, handle, { signal });
    on(view.talk, "click", () => act.talk());
    on(view.typing, "click", () => this.#typeClicked());
    on(view.openSettings, "click", () => act.settings());
    on(view.mute, "click", () => this.#muteClicked());
    on(view.language, "change", () => act.choose({ language: view.language.value }));
    on(view.voice, "change", () => act.choose({ voice: view.voice.value }));
    on(view.composer, "submit", (event) => this.#submit(event));
    on(view.hold, "pointerdown", (event) => this.#press(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
      on(view.hold, name, () => { input.held = false; });
    }
    on(view.hold, "contextmenu", (event) => event.preventDefault());
    const keys = hotkeys ? document : host;
    on(keys, "keydown", (event) => this.#key(event, true));
    on(keys, "keyup", (event) => this.#key(event, false));
    on(window, "blur", () => { input.held = false; });
  }

  /** Show what can be done now. */
  show({ phase, status, busy, config, transcript }) {
    const { root, talk, mute, hold, typing, choices, composer, message, timer } = this.#view;
    const { track, muted, pushToTalk, held } = this.#input;
    const live = phase === "live" || phase === "reconnecting";
    root.dataset.phase = phase;
    root.dataset.status = status;
    root.toggleAttribute("data-conversation", busy || transcript);
    root.toggleAttribute("data-muted", track !== null && muted);
    talk.rename(busy ? "hangUp" : phase === "ended" ? "again" : "start");
    talk.classList.toggle("live", busy);
    typing.hidden = busy;
    choices.hidden = busy || config === null;
    hold.hidden = !live || !pushToTalk || track === null;
    hold.setAttribute("aria-pressed", String(held));
    mute.hidden = !live || (pushToTalk && track !== null);
    mute.setAttribute("aria-pressed", String(track !== null && muted));
    mute.classList.toggle("off", track === null || muted);
    mute.rename(track === null ? "addMicrophone" : "mute");
    this.#keypad.show(phase === "live");
    composer.hidden = !live;
    message.disabled = phase !== "live";
    timer.hidden = !live;
  }

  /** The call entered `phase`: keep the keyboard where it is of use. */
  entered(phase) {
    const before = this.#phase;
    this.#phase = phase;
    if (phase !== "live" || before === "reconnecting") return;
    const root = this.#view.root.getRootNode();
    // Only if the focus is still where the call was begun.
    if (root.activeElement !== this.#view.talk) return;
    if (this.#input.track === null) this.#view.message.focus();
    else if (this.#input.pushToTalk) this.#view.hold.focus();
  }

  focusTalk() {
    this.#view.talk.focus();
  }

  #typeClicked() {
    this.#view.talk.focus(); // this button goes away
    this.#act.type();
  }

  #muteClicked() {
    if (this.#input.track === null) this.#act.microphone();
    else this.#input.muted = !this.#input.muted;
  }

  #submit(event) {
    event.preventDefault();
    if (this.#act.say(this.#view.message.value)) this.#view.message.value = "";
  }

  #press(event) {
    this.#view.hold.setPointerCapture(event.pointerId);
    this.#input.held = true;
  }

  #key(event, down) {
    if (event.code !== "Space" || !this.#input.pushToTalk || this.#input.track === null) return;
    const target = event.composedPath()[0];
    const ours = target === this.#view.hold;
    if (!ours && target instanceof Element && target.closest(TAKES_SPACE)) return;
    event.preventDefault();
    this.#input.held = down;
  }
}
