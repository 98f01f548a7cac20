/** The transcript on the screen: one list item per entry, changed in place. */

import { h, icon } from "./dom.js";
import { waterfall } from "./latency.js";
import { splitHeard } from "./transcript.js";

/** Within this distance of the end the list follows what is said, px. */
const FOLLOW_PX = 80;
/** What the agent says by itself answers nobody: there is no wait to show. */
const UNASKED = new Set(["greeting", "reprompt", "not_understood", "goodbye"]);

export class TranscriptView {
  #list;
  #scroll;
  #empty;
  #items = new Map();
  #strings = {};
  #name = "";
  #showLatency = true;

  constructor({ list, scroll, empty }) {
    this.#list = list;
    this.#scroll = scroll;
    this.#empty = empty;
  }

  /** Change words or what is shown; all entries are drawn anew. */
  configure({ strings = this.#strings, name = this.#name, latency = this.#showLatency }, entries) {
    this.#strings = strings;
    this.#name = name;
    this.#showLatency = latency;
    for (const { item } of this.#items.values()) item.remove();
    this.#items.clear();
    this.render(entries);
  }

  /** Show `entries` (see transcript.js). What did not change is not touched. */
  render(entries) {
    const follow = this.#atEnd();
    const present = new Set(entries.map((entry) => entry.id));
    for (const [id, { item }] of this.#items) {
      if (present.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }
    for (const entry of entries) this.#draw(entry);
    this.#empty.hidden = entries.length > 0;
    if (follow) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
  }

  #draw(entry) {
    const known = this.#items.get(entry.id) ?? this.#add(entry);
    // Two boxes, each touched only when it changes: opened details keep their place and their focus while
    // the words beside them go on.
    const { id, stages, client, providers, measuredMs, ...spoken } = entry;
    this.#fill(known.spoken, known, "spokenState", spoken, () => this.#spoken(entry));
    if (entry.who !== "agent") return;
    const times = { stages, client, providers, measuredMs, shown: this.#showLatency };
    this.#fill(known.times, known, "timesState", times, () => [
      stages && this.#showLatency && !UNASKED.has(entry.kind) ? this.#waterfall(entry, known) : null,
    ]);
  }

  #add(entry) {
    const known = { spoken: h("div"), times: h("div"), spokenState: "", timesState: "", open: false };
    known.item = h("li", { class: `entry ${entry.who}` }, known.spoken, known.times);
    this.#items.set(entry.id, known);
    this.#list.append(known.item);
    return known;
  }

  #fill(box, known, slot, content, draw) {
    const state = JSON.stringify(content);
    if (known[slot] === state) return;
    known[slot] = state;
    box.replaceChildren(...draw().filter(Boolean));
    if ("final" in content) known.item.classList.toggle("partial", !content.final);
  }

  #spoken(entry) {
    if (entry.who === "caller") return this.#caller(entry);
    return entry.who === "agent" ? this.#agent(entry) : this.#note(entry);
  }

  #caller({ text, typed }) {
    return [
      h("p", { class: "speaker" }, this.#strings.you, typed ? ` · ${this.#strings.typed}` : null),
      h("p", { class: "words" }, text),
    ];
  }

  #note({ key, text, alert }) {
    return [h("p", { class: alert ? "note alert" : "note" }, key ? this.#strings[key] : text)];
  }

  #agent(entry) {
    const { text, heard, interrupted, done, tools } = entry;
    const words = h("p", { class: "words" });
    const [said, rest] = splitHeard(text, heard);
    words.append(h("span", { class: "heard" }, said));
    if (interrupted) words.append(...this.#cut(rest));
    else if (rest) words.append(h("span", { class: done ? "unheard" : "coming" }, rest));
    return [
      h("p", { class: "speaker" }, this.#name || this.#strings.agent),
      text ? words : null,
      tools.length ? h("p", { class: "tools" }, icon("tool"), `${this.#strings.usedTool} ${tools.join(", ")}`) : null,
    ];
  }

  /** Where the caller cut the agent short, and what was lost. */
  #cut(rest) {
    const mark = h("span", { class: "cut" }, this.#strings.interrupted);
    if (!rest.trim()) return [mark];
    const name = h("span", { class: "hidden-name" }, `${this.#strings.unheard}: `);
    return [mark, h("span", { class: "unheard" }, name, h("del", {}, rest.trim()))];
  }

  #waterfall(entry, known) {
    const { rows, totalMs } = waterfall(entry.stages, entry.client, entry.providers);
    if (rows.length === 0) return null;
    const words = this.#strings;
    const span = Math.max(totalMs, ...rows.map((row) => row.startMs + row.ms));
    const made = h(
      "details", { class: "latency", open: known.open },
      h("summary", {}, icon("bolt"), `${words.answeredIn} ${milliseconds(totalMs)}`),
      h("table", {}, h("tbody", {}, ...rows.map((row) => bar(row, span, words, entry.providers)),
        total(words.total, totalMs), entry.measuredMs === null ? null : total(words.measured, entry.measuredMs))),
    );
    made.addEventListener("toggle", () => {
      // Only what a person opens is brought into view, not what is drawn anew while it is open.
      if (made.open && !known.open) made.scrollIntoView({ block: "nearest" });
      known.open = made.open;
    });
    return made;
  }
}

const milliseconds = (ms) => (ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`);

function bar({ key, startMs, ms }, span, words, providers) {
  const stripe = h("span", { class: `stripe ${key}` });
  stripe.style.setProperty("--from", startMs / span);
  stripe.style.setProperty("--long", ms / span);
  const provider = providers[key];
  return h(
    "tr", {},
    h("th", { scope: "row" }, words[key], provider ? h("span", { class: "provider" }, ` ${provider}`) : null),
    h("td", { class: "lane", "aria-hidden": "true" }, stripe),
    h("td", { class: "ms" }, milliseconds(ms)),
  );
}

function total(name, ms) {
  return h(
    "tr", { class: "total" },
    h("th", { scope: "row" }, name), h("td", { class: "lane", "aria-hidden": "true" }),
    h("td", { class: "ms" }, milliseconds(ms)),
  );
}
