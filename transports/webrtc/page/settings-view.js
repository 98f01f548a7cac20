/** The settings dialog: devices with a level meter, manners, what is shown. */

import { h, icon } from "./dom.js";

function field(labels, key, control, ...more) {
  const name = labels.bind(h("label", { for: control.id }), key);
  return h("div", { class: "field" }, name, h("span", { class: "select" }, control), ...more);
}

function toggle(labels, id, key, helpKey) {
  const input = h("input", { type: "checkbox", id, role: "switch", "aria-describedby": `${id}-help` });
  const name = labels.bind(h("label", { for: id }), key);
  const help = labels.bind(h("p", { id: `${id}-help`, class: "help" }), helpKey);
  return { input, row: h("div", { class: "toggle" }, h("div", {}, name, help), input) };
}

/** The dialog and its controls, by name. */
export function settingsView(labels) {
  const heading = labels.bind(h("h2", { id: "settings-heading" }), "settings");
  const close = h("button", { type: "button", class: "round quiet" }, icon("close"));
  labels.bind(close, "close", "aria-label");
  const microphone = h("select", { id: "microphone" });
  const speaker = h("select", { id: "speaker" });
  const bar = h("div", { class: "meter-bar" });
  const meter = h(
    "div", { class: "meter", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, bar,
  );
  labels.bind(meter, "level", "aria-label");
  const test = h("button", { type: "button", class: "soft small" });
  labels.bind(test, "test");
  const language = h("select", { id: "settings-language" });
  const voice = h("select", { id: "settings-voice" });
  const voiceHelp = labels.bind(h("p", { class: "help", hidden: true }), "voiceNext");
  const speakerField = field(labels, "speaker", speaker);
  const languageField = field(labels, "language", language);
  const voiceField = field(labels, "voice", voice, voiceHelp);
  const push = toggle(labels, "push-to-talk", "pushToTalk", "pushToTalkHelp");
  const latency = toggle(labels, "show-latency", "showLatency", "showLatencyHelp");
  const dialog = h(
    "dialog", { class: "settings", "aria-labelledby": "settings-heading", part: "settings" },
    h("div", { class: "settings-head" }, heading, close),
    h("div", { class: "settings-body" },
      field(labels, "microphone", microphone, h("div", { class: "meter-row" }, meter, test)),
      speakerField, languageField, voiceField, push.row, latency.row),
  );
  return {
    dialog, close, microphone, speaker, speakerField, meter, bar, test, language, languageField, voice, voiceField,
    voiceHelp, pushToTalk: push.input, latency: latency.input,
  };
}
