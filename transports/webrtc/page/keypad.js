/** The dial pad, for agents that ask for a number: keys by pointer, touch or keyboard. */

import { h } from "./dom.js";

const KEYS = "123456789*0#";
/** What a screen reader calls them. */
const NAMES = { "*": "star", "#": "hash" };
/** Digits on its display. */
const SHOWN = 18;

/** A popover: Escape and a click elsewhere close it. */
export function keypadView(labels) {
  const keys = [...KEYS].map((digit) => {
    const key = h("button", { type: "button", value: digit, autofocus: digit === "1" }, digit);
    return NAMES[digit] ? labels.bind(key, NAMES[digit], "aria-label") : key;
  });
  // Not announced: a screen reader says each key that is pressed as it is.
  const pressed = h("p", { class: "pressed", "aria-hidden": "true" });
  const keypad = h("div", { class: "keypad", popover: "auto", role: "group", part: "keypad" },
    pressed, h("div", { class: "keys" }, ...keys));
  labels.bind(keypad, "keypad", "aria-label");
  return { keypad, pressed };
}

export class Keypad {
  #view;
  #press;
  #open = false;

  /** `dial`: the button that opens it; `press(digit)` sends one, false if it could not. */
  constructor({ keypad, pressed, dial }, press, signal) {
    this.#view = { keypad, pressed, dial };
    this.#press = press;
    dial.popoverTargetElement = keypad;
    // Browsers give the focus back by themselves, but not within a shadow tree.
    keypad.addEventListener("beforetoggle", ({ newState }) => {
      if (newState === "closed" && keypad.matches(":focus-within")) dial.focus();
    }, { signal });
    keypad.addEventListener("toggle", ({ newState }) => {
      this.#open = newState === "open";
      pressed.textContent = "";
    }, { signal });
    keypad.addEventListener("click", ({ target }) => target.value && this.#pressed(target.value), { signal });
    keypad.addEventListener("keydown", (event) => this.#typed(event), { signal });
  }

  /** Whether there is a call to press keys in. */
  show(live) {
    const { keypad, dial } = this.#view;
    dial.hidden = !live || !keypad.showPopover; // Firefox has popovers since 125, Safari since 17
    if (!live && this.#open) keypad.hidePopover();
  }

  #typed(event) {
    if (event.key.length !== 1 || !KEYS.includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const key = this.#view.keypad.querySelector(`[value="${event.key}"]`);
    key.focus();
    if (!event.repeat) this.#pressed(event.key);
  }

  #pressed(digit) {
    const { pressed } = this.#view;
    if (this.#press(digit)) pressed.textContent = (pressed.textContent + digit).slice(-SHOWN);
  }
}
