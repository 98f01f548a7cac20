/**
 * What was said, as a list of entries made from the data channel's messages. Pure: no DOM, no time.
 *
 * An entry: `{id, who, …}` with `who`
 *  - `caller`: `text`, `final`, `typed`
 *  - `agent`: `turn`, `text` (all that is meant to be said), `heard` (the part that has been heard),
 *    `done`, `interrupted`, `tools` (names), `stages` and `providers` and
 *    `client` (latency), `measuredMs`
 *  - `note`: `key` of a text in strings.js, or `text`
 */

/** Entries kept; a call of hours must not fill a phone's memory. */
const MAX_ENTRIES = 400;

const plain = (text) => text.trim().replace(/\s+/g, " ");

/**
 * `text` cut where the caller stopped hearing it: `[heard, rest]`. The server's `heard` is the same words with
 * other spacing at most; where it is not, words are counted.
 */
export function splitHeard(text, heard) {
  if (text.startsWith(heard)) return [text.slice(0, heard.length), text.slice(heard.length)];
  const count = plain(heard) === "" ? 0 : plain(heard).split(" ").length;
  const words = text.match(/\s*\S+/g) ?? [];
  return [words.slice(0, count).join(""), words.slice(count).join("")];
}

export class Transcript {
  entries = [];
  #next = 1;
  #call = null;
  /** Turns count from the start in each call; entries before this one belong to earlier calls. */
  #since = 0;

  /** Take a message in. `client`: this device's figures at the moment. Returns true if entries changed. */
  apply(message, client = {}) {
    switch (message.type) {
      case "hello": return this.#hello(message);
      case "caller": return this.#caller(message);
      case "agent": return this.#agent(message);
      case "heard": return this.#heard(message);
      case "tool": return this.#tool(message);
      case "latency": return this.#latency(message, client);
      case "error": return this.note({ text: message.text, alert: true });
      default: return false;
    }
  }

  /** What the caller typed; the server's echo of it joins this entry. */
  typed(text) {
    this.#add({ who: "caller", text: plain(text), final: true, typed: true });
  }

  /** A line of our own. */
  note(fields) {
    this.#add({ who: "note", ...fields });
    return true;
  }

  /** Time from the caller's last sound to the agent's first as noticed on this device. */
  measured(ms) {
    const entry = this.#last("agent");
    if (entry && entry.measuredMs === null) entry.measuredMs = ms;
    return entry ?? null;
  }

  clear() {
    this.entries = [];
    this.#since = 0;
    this.#call = null;
  }

  #add(entry) {
    this.entries.push({ id: this.#next++, ...entry });
    if (this.entries.length > MAX_ENTRIES) {
      this.entries.shift();
      this.#since = Math.max(0, this.#since - 1);
    }
    return this.entries.at(-1);
  }

  #last(who) {
    return this.entries.slice(this.#since).findLast((entry) => entry.who === who);
  }

  #hello({ call }) {
    if (this.#call === call) return false;
    const again = this.#call !== null;
    this.#call = call;
    if (!again) return false;
    this.#since = this.entries.length;
    return this.note({ key: "noteNewCall" });
  }

  #caller({ text, final }) {
    const words = plain(text);
    const last = this.entries.at(-1);
    const open = last?.who === "caller" && !last.final ? last : null;
    if (words === "") return this.#noWords(open, final);
    if (open) return Boolean(Object.assign(open, { text: words, final: Boolean(final) }));
    const before = this.#last("caller");
    if (before?.typed && before.text === words) return false;
    if (before && !before.typed && this.#continues(before, words)) {
      this.#reopen(before);
      return Boolean(Object.assign(before, { text: words, final: Boolean(final) }));
    }
    this.#add({ who: "caller", text: words, final: Boolean(final), typed: false });
    return true;
  }

  /** A sound that was no words. */
  #noWords(open, final) {
    if (!open || !final) return false;
    this.entries.pop();
    return true;
  }

  /** The caller went on before the reply was heard: both halves are one turn. */
  #continues(before, words) {
    const since = this.entries.slice(this.entries.indexOf(before) + 1);
    return words.startsWith(before.text) && since.every((each) => each.who === "agent" && each.heard === "");
  }

  #reopen(before) {
    this.entries.length = this.entries.indexOf(before) + 1;
  }

  #turn(turn) {
    const found = this.entries
      .slice(this.#since).findLast((entry) => entry.who === "agent" && entry.turn === turn);
    return found ?? this.#add({
      who: "agent", turn, text: "", heard: "", done: false, interrupted: false, tools: [], stages: null,
      providers: {}, client: {}, measuredMs: null,
    });
  }

  #agent({ turn, text, kind }) {
    Object.assign(this.#turn(turn), { text, kind: kind ?? "speech" });
    return true;
  }

  #heard({ turn, text, done, interrupted }) {
    const entry = this.#turn(turn);
    const known = entry.text === "" ? text : entry.text;
    const complete = done && !interrupted;
    Object.assign(entry, {
      text: known, heard: complete ? known : text, done: Boolean(done), interrupted: Boolean(interrupted),
    });
    return true;
  }

  #tool({ turn, name }) {
    const entry = Number.isInteger(turn) ? this.#turn(turn) : this.#last("agent");
    entry?.tools.push(name);
    return Boolean(entry);
  }

  #latency({ turn, stages_ms: stages, providers }, client) {
    Object.assign(this.#turn(turn), { stages, providers: providers ?? {}, client: { ...client } });
    return true;
  }
}
