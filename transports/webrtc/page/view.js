/**
 * The element's DOM: built once, then only texts, attributes and visibility change. It decides nothing; the
 * element (parley-call.js) tells it what to show and listens to its controls.
 */

import { h, icon } from "./dom.js";
import { keypadView } from "./keypad.js";
import { MAX_TEXT } from "./messages.js";
import { settingsView } from "./settings-view.js";

const HELP = {
  denied: ["tryAgain", "withoutMicrophone"], missing: ["tryAgain", "withoutMicrophone"],
  busy: ["tryAgain", "withoutMicrophone"], insecure: ["withoutMicrophone"], blocked: ["hear"],
};

/** A button with a glyph and a visible or hidden name. */
function button(labels, glyph, key, attributes = {}, { hidden = false } = {}) {
  const name = labels.bind(h("span", { class: hidden ? "hidden-name" : "name" }), key);
  const made = h("button", { type: "button", ...attributes }, icon(glyph), name);
  return Object.assign(made, { rename: (next) => labels.rebind(name, next) });
}

/** Everything the element needs to reach, by name. */
export function buildView(labels) {
  const parts = { ...bar(labels), ...stage(labels), ...conversation(labels), ...keypadView(labels), settings: settingsView(labels) };
  const stageBox = h(
    "section", { class: "stage", part: "stage" },
    h("div", { class: "orb" }, parts.canvas),
    h("div", { class: "who" }, parts.title, parts.status, parts.reason, parts.announce),
    parts.notice, parts.dock, parts.choices,
  );
  const body = h("div", { class: "body" }, stageBox, parts.conversation);
  const root = h("div", { class: "root", part: "root" }, parts.bar, body, parts.settings.dialog, parts.keypad, parts.audio);
  return { ...parts, root };
}

function bar(labels) {
  const name = h("p", { class: "brand" });
  const timer = h("span", { class: "timer", hidden: true });
  const network = h("span", { class: "quality", hidden: true });
  const openSettings = button(labels, "settings", "settings", { class: "round quiet" }, { hidden: true });
  const made = h("header", { class: "bar", part: "bar" }, name, network, timer, openSettings);
  return { bar: made, brand: name, timer, network, openSettings };
}

function stage(labels) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const title = h("p", { class: "title", role: "heading", "aria-level": 2 });
  // Not a live region: a screen reader that read every "listening" and "speaking" out would talk over the
  // agent, and into the microphone. `announce` speaks only when the call itself changes.
  const status = h("p", { class: "status" });
  const announce = h("p", { class: "hidden-name", role: "status" });
  const reason = h("p", { class: "reason", hidden: true });
  const notice = h("div", { class: "notice-box", role: "alert" });
  const talk = button(labels, "mic", "start", { class: "talk", part: "button" });
  const hangUpGlyph = icon("hangUp");
  hangUpGlyph.classList.add("when-live");
  talk.firstChild.classList.add("when-idle");
  talk.prepend(hangUpGlyph);
  const mute = button(labels, "mic", "mute", { class: "round", "aria-pressed": "false", hidden: true }, { hidden: true });
  mute.firstChild.classList.add("when-open");
  const off = icon("micOff");
  off.classList.add("when-muted");
  mute.prepend(off);
  const hold = button(labels, "mic", "hold", { class: "hold", "aria-pressed": "false", hidden: true });
  const dial = button(labels, "keypad", "keypad", { class: "round dial", hidden: true }, { hidden: true });
  const typing = button(labels, "keyboard", "typeInstead", { class: "link" });
  const dock = labels.bind(
    h("div", { class: "dock", role: "group" }, mute, hold, talk, dial, typing), "controls", "aria-label",
  );
  const language = h("select", { id: "pick-language" });
  const voice = h("select", { id: "pick-voice" });
  const pick = (select, key) => h("label", { class: "pill", hidden: true }, labels.bind(h("span"), key),
    h("span", { class: "select" }, select));
  const languagePill = pick(language, "language");
  const voicePill = pick(voice, "voice");
  const choices = h("div", { class: "choices" }, languagePill, voicePill);
  const audio = h("audio", { autoplay: true, playsinline: true });
  return {
    canvas, title, status, announce, reason, notice, talk, mute, hold, dial, typing, dock, language, voice, languagePill, voicePill,
    choices, audio,
  };
}

function conversation(labels) {
  const list = h("ol", { class: "transcript" });
  const empty = labels.bind(h("p", { class: "empty" }), "empty");
  // Focusable, so that the keyboard can scroll it.
  const scroll = h("div", { class: "scroll", tabindex: "0" }, empty, list);
  labels.bind(scroll, "conversation", "aria-label");
  scroll.setAttribute("role", "region");
  const message = h("input", {
    type: "text", id: "message", maxlength: MAX_TEXT, autocomplete: "off", enterkeyhint: "send",
  });
  labels.bind(message, "message", "placeholder");
  const name = labels.bind(h("label", { class: "hidden-name", for: "message" }), "message");
  const send = button(labels, "send", "send", { type: "submit", class: "round send" }, { hidden: true });
  const composer = h("form", { class: "composer", hidden: true }, name, message, send);
  const section = h("section", { class: "conversation", part: "conversation" }, scroll, composer);
  labels.bind(section, "conversation", "aria-label");
  scroll.removeAttribute("role");
  return { conversation: section, scroll, list, empty, message, send, composer };
}

/**
 * Show help of a kind in `box`: title, what to do, and buttons (`act(name)` is called with a key of
 * strings.js). Null clears it. `detail`: the server's own words.
 */
export function showNotice(box, labels, kind, act, detail = "") {
  box.replaceChildren();
  if (kind === null) return;
  const buttons = (HELP[kind] ?? []).map((key, index) => {
    const made = labels.bind(h("button", { type: "button", class: index === 0 ? "solid" : "soft" }), key);
    made.addEventListener("click", () => act(key));
    return made;
  });
  const dismiss = h("button", { type: "button", class: "round quiet dismiss" }, icon("close"));
  labels.bind(dismiss, "close", "aria-label");
  dismiss.addEventListener("click", () => act("dismiss"));
  const text = h("p", {}, labels.bind(h("span"), kind), detail ? ` ${detail}` : null);
  box.append(h(
    "div", { class: `notice ${kind}`, part: "notice" },
    icon("warning"),
    h("div", {}, labels.bind(h("p", { class: "notice-title" }), `${kind}Title`), text,
      buttons.length ? h("div", { class: "notice-buttons" }, ...buttons) : null),
    dismiss,
  ));
}

/** Fill a select with `{value, text, lang}`; keeps the choice where it is still offered. Returns the choice. */
export function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(({ value, text, lang }) => h("option", { value, lang }, text)));
  select.value = options.some(({ value }) => value === chosen) ? chosen : (options[0]?.value ?? "");
  return select.value;
}
