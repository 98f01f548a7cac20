/**
 * What happens when: the call, the microphone, the transcript and the view of one `<parley-call>`.
 */

import { Call } from "./call.js";
import { CallWatch } from "./call-watch.js";
import { Controls } from "./controls.js";
import { Levels } from "./levels.js";
import { microphoneAllowed } from "./microphone.js";
import { Orb } from "./orb.js";
import { Preferences } from "./preferences.js";
import { Settings } from "./settings.js";
import { languageName, strings } from "./strings.js";
import { Transcript } from "./transcript.js";
import { TranscriptView } from "./transcript-view.js";
import { VoiceInput } from "./voice-input.js";
import { fillSelect, showNotice } from "./view.js";
import { ANNOUNCED, ENDS, FAILURES, STATUS } from "./words-for.js";
import { request } from "./whip.js";

/** After a barge-in the speaker stays silent until the next reply, but no longer than what can still come late. */
const HUSH_MS = 400;

export class Controller {
  phase = "idle";
  transcript = new Transcript();
  stream = null;
  #host;
  #view;
  #labels;
  #options;
  #preferences = new Preferences();
  #config = null;
  #chosen = { language: "", voice: "" };
  #strings = {};
  #call = null;
  #agentState = "idle";
  #notice = null;
  #attempt = 0;
  #hush = null;
  #drawing = null;
  #input = new VoiceInput();
  #levels = new Levels();
  #gone = new AbortController();
  #transcriptView;
  #orb;
  #settings;
  #controls;
  #watch;

  constructor(host, view, labels, options) {
    this.#host = host;
    this.#view = view;
    this.#labels = labels;
    this.#options = options;
    const { signal } = this.#gone;
    this.#transcriptView = new TranscriptView(view);
    this.#orb = new Orb(view.canvas, () => this.#loudness());
    this.#settings = new Settings(view.settings, this.#preferences, this.#input, this.#levels, {
      choose: (choice) => this.choose(choice),
      speaker: () => this.#settings.applySpeaker(view.audio),
      track: () => this.#trackChanged(),
      failed: (kind) => this.#help(kind),
    }, signal);
    this.#controls = new Controls(host, view, this.#input, {
      talk: () => (this.#busy ? this.hangUp() : this.start(true)),
      type: () => this.start(false),
      say: (text) => this.sendText(text),
      key: (digit) => this.#call?.send("dtmf", { digit }) ?? false,
      microphone: () => this.#addMicrophone(),
      choose: (choice) => this.choose(choice),
      settings: () => this.#settings.open(),
    }, options.hotkeys, signal);
    this.#watch = new CallWatch(view.timer, this.#levels, () => this.#loudness(), (waited) => {
      if (this.transcript.measured(waited)) this.#drawSoon();
    });
    this.#input.pushToTalk = this.#preferences.get("pushToTalk");
    this.#input.addEventListener("change", () => this.#show(), { signal });
    this.#input.addEventListener("unplugged", () => this.#unplugged(), { signal });
    // Leaving the page ends the call: also on reload, on a closed tab, and into the back/forward cache.
    window.addEventListener("pagehide", () => this.hangUp(), { signal });
    this.#words();
    this.#show();
  }

  get #busy() {
    return ["asking", "connecting", "live", "reconnecting"].includes(this.phase);
  }

  get muted() {
    return this.#input.muted;
  }

  set muted(muted) {
    this.#input.muted = muted;
  }

  /** Learn who answers here, in which languages and voices. */
  async load() {
    try {
      const response = await request(new URL("webrtc/config", this.#options.server), { cache: "no-store" });
      this.#config = await response.json();
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#help(FAILURES[error.kind] ?? "unreachable");
      return;
    }
    const wanted = [
      this.#host.getAttribute("language"), this.#preferences.get("language"), ...navigator.languages,
      this.#config.agent.language,
    ];
    const { languages } = this.#config.agent;
    const primary = (tag) => tag.toLowerCase().split("-")[0];
    const match = (tag) => languages.find((each) => each === tag) ?? languages.find((each) => primary(each) === primary(tag));
    this.#chosen.language = wanted.filter(Boolean).map(match).find(Boolean) ?? languages[0] ?? "";
    this.#chosen.voice = this.#host.getAttribute("voice") || this.#preferences.get("voice");
    this.#words();
    this.#show();
  }

  /** `choice`: language, voice, or both. A live call changes its language at once. */
  choose(choice) {
    const before = this.#chosen.language;
    if (choice.language !== undefined && !this.#config?.agent.languages.includes(choice.language)) return;
    Object.assign(this.#chosen, choice);
    for (const [name, value] of Object.entries(choice)) this.#preferences.set(name, value);
    if (this.#chosen.language !== before && this.phase === "live") {
      this.#call.send("language", { language: this.#chosen.language });
    }
    this.#words();
    this.#show();
  }

  /** Place a call, with or without a microphone. */
  async start(microphone) {
    if (this.#busy) return;
    if (!window.RTCPeerConnection) {
      this.#help("unsupported");
      return;
    }
    const attempt = ++this.#attempt;
    const cancelled = () => attempt !== this.#attempt || this.#gone.signal.aborted;
    this.#help(null);
    this.#levels.start();
    this.transcript.clear();
    this.#enter("connecting");
    if (microphone && !(await this.#openMicrophone(cancelled))) return;
    if (this.#config === null) await this.load();
    if (cancelled()) return;
    if (this.#config === null) {
      this.#enter("idle");
      return;
    }
    this.#enter("connecting");
    this.#open();
  }

  hangUp() {
    if (!this.#busy) return;
    this.#attempt += 1;
    if (this.#call) this.#call.hangUp();
    else {
      this.#input.close();
      this.#enter("idle");
    }
  }

  sendText(text) {
    const words = text.trim();
    if (words === "" || !this.#call?.send("text", { text: words })) return false;
    this.transcript.typed(words);
    this.#drawSoon();
    return true;
  }

  close() {
    this.hangUp();
    this.#gone.abort();
    this.#settings.close();
    this.#input.close();
    this.#levels.close();
    this.#orb.close();
  }

  // --- the microphone -------------------------------------------------------------------------------------

  /** True with a microphone in use; else help is shown and the call does not begin. */
  async #openMicrophone(cancelled) {
    if (!(await microphoneAllowed()) && !cancelled()) this.#enter("asking");
    try {
      await this.#input.use(this.#preferences.get("microphone"));
    } catch (error) {
      if (cancelled()) return false;
      this.#enter("idle");
      this.#help(error.kind);
      return false;
    }
    if (cancelled()) {
      this.#input.close();
      return false;
    }
    this.#levels.caller = this.#input.track;
    return true;
  }

  async #addMicrophone() {
    try {
      await this.#input.use(this.#preferences.get("microphone"));
    } catch (error) {
      this.#help(error.kind);
      return;
    }
    await this.#trackChanged();
  }

  async #trackChanged() {
    this.#levels.caller = this.#input.track;
    await this.#call?.setTrack(this.#input.track);
    this.#show();
  }

  async #unplugged() {
    this.#help("unplugged");
    await this.#trackChanged();
    if (this.#busy) await this.#addMicrophone();
  }

  // --- the call -------------------------------------------------------------------------------------------

  #open() {
    const call = new Call({
      server: this.#options.server,
      iceServers: this.#config.iceServers ?? [],
      language: this.#chosen.language,
      voice: this.#voices().includes(this.#chosen.voice) ? this.#chosen.voice : "",
      token: () => this.#options.token(this.#config.token_required),
      track: this.#input.track,
    });
    this.#call = call;
    this.#agentState = "idle";
    const { signal } = this.#gone;
    call.addEventListener("phase", ({ detail }) => detail !== "ended" && this.#enter(detail), { signal });
    call.addEventListener("message", ({ detail }) => this.#message(detail), { signal });
    call.addEventListener("stream", ({ detail }) => this.#play(detail), { signal });
    call.addEventListener("ended", ({ detail }) => this.#ended(detail));
    this.#watch.start(call, this.#input);
    call.open();
  }

  #message(message) {
    this.#host.dispatchEvent(new CustomEvent("parley-message", { detail: message, bubbles: true, composed: true }));
    if (message.type === "state") this.#agentIs(message.state);
    if (message.type === "hello" && message.agent) this.#view.brand.textContent = message.agent;
    if (this.transcript.apply(message, this.#watch.metrics)) this.#drawSoon();
  }

  #agentIs(state) {
    this.#agentState = state;
    if (state === "yielded" || state === "hearing") this.#hushNow();
    else if (state === "replying" || state === "speaking") this.#unhush();
    this.#show();
  }

  /** What is still in the jitter buffer would be heard over the caller: be silent now, not when it is empty. */
  #hushNow() {
    this.#view.audio.muted = true;
    clearTimeout(this.#hush);
    this.#hush = setTimeout(() => this.#unhush(), HUSH_MS);
  }

  #unhush() {
    clearTimeout(this.#hush);
    this.#view.audio.muted = false;
  }

  async #play(stream) {
    this.stream = stream;
    this.#levels.agent = stream;
    const { audio } = this.#view;
    audio.srcObject = stream;
    this.#settings.applySpeaker(audio);
    try {
      await audio.play();
    } catch (error) {
      // AbortError: another stream took its place, or the call ended.
      if (error.name === "NotAllowedError") this.#help("blocked");
    }
  }

  #ended({ cause, error }) {
    this.#watch.stop();
    this.#unhush();
    this.#call = this.stream = null;
    this.#input.close();
    this.#levels.caller = null;
    this.#levels.agent = null;
    this.#view.audio.srcObject = null;
    this.#enter("ended");
    this.#view.reason.hidden = error !== null;
    this.#labels.rebind(this.#view.reason, ENDS[cause] ?? "endOther");
    if (error) this.#help(this.#failure(cause, error), error.kind === "rejected" ? error.message : "");
    this.#host.dispatchEvent(new CustomEvent("parley-end", { detail: { cause }, bubbles: true, composed: true }));
  }

  #failure(cause, error) {
    if (cause === "lost") return "lost";
    if (error.kind === "unreachable" && /no path/.test(error.message)) return "noMedia";
    return FAILURES[error.kind] ?? "rejected";
  }

  #loudness() {
    const { caller, agent } = this.#levels.read();
    return { caller: this.#input.open ? caller : 0, agent: this.#view.audio.muted ? 0 : agent };
  }

  // --- what is shown --------------------------------------------------------------------------------------

  #enter(phase) {
    if (this.phase === phase) return;
    this.phase = phase;
    if (phase === "live") this.#watch.answered();
    this.#view.reason.hidden = true;
    this.#show();
    this.#labels.rebind(this.#view.announce, ANNOUNCED[phase] ?? "");
    this.#controls.entered(phase);
    this.#host.dispatchEvent(new CustomEvent("parley-phase", { detail: phase, bubbles: true, composed: true }));
  }

  #status() {
    if (this.phase === "idle") return "ready";
    if (this.phase !== "live") return this.phase;
    if (this.#agentState !== "idle") return STATUS[this.#agentState] ?? "listening";
    if (this.#input.track === null) return "textOnly";
    if (this.#input.pushToTalk) return this.#input.held ? "listening" : "holdNow";
    return this.#input.muted ? "mutedNow" : "listening";
  }

  #show() {
    if (!this.#controls) return; // told by a part while the rest is still being built
    const status = this.#status();
    this.#labels.rebind(this.#view.status, status);
    this.#controls.show({
      phase: this.phase, status, busy: this.#busy, config: this.#config, transcript: this.transcript.entries.length > 0,
    });
    this.#orb.show(status, this.#busy);
    this.#settings.show(this.phase === "live");
  }

  /** At most once a frame, however many messages come. */
  #drawSoon() {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = null;
      this.#transcriptView.render(this.transcript.entries);
      this.#show();
    }, 16);
  }

  #voices() {
    return this.#config?.agent.voices?.[this.#chosen.language] ?? [];
  }

  /** Texts, languages and voices. */
  #words() {
    const { language, table } = strings(this.#chosen.language, ...navigator.languages);
    this.#strings = table;
    this.#labels.apply(table);
    this.#view.root.lang = language;
    const agent = this.#config?.agent;
    const name = agent?.name ?? "";
    this.#view.title.textContent = this.#view.brand.textContent = name;
    const tags = agent?.languages ?? [];
    const languages = tags.map((value) => ({ value, text: languageName(value, tags), lang: value }));
    const voices = [{ value: "", text: table.voiceDefault }, ...this.#voices().map((value) => ({ value, text: value }))];
    for (const { language: select, voice } of [this.#view, this.#view.settings]) {
      fillSelect(select, languages, this.#chosen.language);
      fillSelect(voice, voices, this.#chosen.voice);
    }
    this.#view.languagePill.hidden = this.#view.settings.languageField.hidden = languages.length < 2;
    this.#view.voicePill.hidden = this.#view.settings.voiceField.hidden = voices.length < 2;
    this.#settings.words(table);
    this.#transcriptView.configure(
      { strings: table, name, latency: this.#preferences.get("latency") }, this.transcript.entries,
    );
  }

  #help(kind, detail = "") {
    this.#notice = kind;
    showNotice(this.#view.notice, this.#labels, kind, (name) => this.#act(name), detail);
  }

  #act(name) {
    const kind = this.#notice;
    this.#help(null);
    if (name === "tryAgain") (this.#busy ? this.#addMicrophone() : this.start(true));
    else if (name === "withoutMicrophone" && !this.#busy) this.start(false);
    else if (name === "hear") this.#view.audio.play().catch(() => this.#help(kind));
    if (name !== "hear") this.#controls.focusTalk();
  }
}
