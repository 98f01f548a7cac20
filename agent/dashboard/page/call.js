// One call: who spoke when, and the turns with both sides' words.

import { $, el, svg } from "./dom.js";
import { headers } from "./feed.js";
import { clock, duration, ms, span, words } from "./format.js";
import { over, parts } from "./panels.js";

const LEFT = 58, LANE = 26, TOP = 6;
const LANES = { hearing: "caller", yielded: "caller", speaking: "agent", replying: "think" };
const REFRESH_MS = 1000;

export class CallView {
  constructor(token) {
    this.token = token;
    this.dialog = $("#call");
    this.id = null;
    $("button", this.dialog).addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => {
      this.id = null;
      clearTimeout(this.timer);
      if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    });
  }

  async open(id) {
    this.id = id;
    if (!this.dialog.open) this.dialog.showModal();
    history.replaceState(null, "", `#${id}`);
    await this.refresh();
  }

  async refresh() {
    const id = this.id;
    if (!id) return;
    clearTimeout(this.timer);
    let call = null;
    try {
      const answer = await fetch(`/dashboard/calls/${encodeURIComponent(id)}`, { headers: headers(this.token()), cache: "no-store" });
      if (answer.ok) call = await answer.json();
      else $("header .note", this.dialog).textContent = "This call is no longer kept here.";
    } catch { /* the feed says that the server is gone */ }
    if (this.id !== id) return;
    if (call) this.draw(call);
    if (!call || call.ended === null) this.timer = setTimeout(() => this.refresh(), REFRESH_MS);
  }

  draw(call) {
    const lasted = (call.ended ?? call.now) - call.started;
    $("#call-title").textContent = `Call ${call.call}`;
    $("header .note", this.dialog).textContent = [
      call.transport, call.language, clock(call.started), duration(lasted),
      call.ended === null ? call.state : words(call.cause),
      `${call.counters.turns} turns`, `${call.counters.barge_ins} interruptions`,
      ...(call.left_out ? [`the first ${call.left_out} are not shown`] : []),
    ].join(" · ");
    timeline($(".timeline", this.dialog), call.timeline, lasted);
    const longest = Math.max(500, ...call.turns.map((turn) => turn.stages.response ?? 0));
    $(".trace", this.dialog).replaceChildren(...call.turns.map((turn) => entry(turn, longest)));
  }
}

function entry(turn, longest) {
  const response = turn.stages.response;
  const tags = [turn.kind === "speech" ? null : words(turn.kind), turn.cache ? `cache ${turn.cache}` : null, over(turn.blown), ...turn.tools.map((name) => `tool ${name}`)];
  return el("li", {},
    turn.caller ? el("p", { class: "said caller" }, turn.caller) : null,
    turn.agent || turn.interrupted ? el("p", { class: `said agent${turn.interrupted ? " cut" : ""}` }, turn.agent || "…") : null,
    response === undefined ? null : parts(turn, longest),
    el("p", { class: "meta" }, el("span", {}, duration(turn.at_s)),
      ...(response === undefined ? [] : [el("span", {}, `answered after ${span(response).join(" ")}`)]),
      ...Object.entries(turn.stages).filter(([name]) => ["endpointing", "stt_final", "llm_first_token", "tts_first_audio", "added", "barge_in"].includes(name)).map(([name, value]) => el("span", {}, `${words(name)} ${ms(value)}`)),
      ...tags.filter(Boolean).map((tag) => el("span", { class: "tag" }, tag)),
      el("span", {}, Object.entries(turn.providers).map(([kind, name]) => `${kind} ${name}`).join(", "))));
}

/** `moments`: [seconds, state]. Wider than the drawer when the call is long: then it scrolls. */
function timeline(node, moments, lasted) {
  const room = node.parentElement.clientWidth;
  const width = Math.max(room, LEFT + Math.min(lasted * 14, 30000));
  const x = (at) => LEFT + ((width - LEFT - 6) * at) / Math.max(lasted, 1);
  const lanes = { caller: TOP, think: TOP + LANE + 4, agent: TOP + LANE + 4 };
  node.setAttribute("width", width);
  node.setAttribute("viewBox", `0 0 ${width} 112`);
  const drawn = [];
  for (const [name, top] of [["caller", lanes.caller], ["agent", lanes.agent]]) {
    drawn.push(svg("rect", { class: "lane", x: LEFT, y: top, width: width - LEFT - 6, height: LANE, rx: 7 }));
    drawn.push(svg("text", { x: 0, y: top + 17 }, name));
  }
  moments.forEach(([at, state], index) => {
    const lane = LANES[state];
    if (!lane) return;
    const end = moments[index + 1]?.[0] ?? lasted;
    const thin = lane === "think" ? 9 : 0;
    drawn.push(svg("rect", { class: lane, x: x(at), y: lanes[lane] + thin, width: Math.max(x(end) - x(at), 1), height: LANE - 2 * thin, rx: thin ? 3 : 6 },
      svg("title", {}, `${words(state)}, ${(end - at).toFixed(2)} s`)));
  });
  const step = [1, 2, 5, 10, 30, 60, 300].find((seconds) => ((width - LEFT) * seconds) / Math.max(lasted, 1) >= 56) ?? 600;
  for (let at = 0; at <= lasted; at += step) drawn.push(svg("text", { x: x(at), y: TOP + 2 * LANE + 26, "text-anchor": at ? "middle" : "start" }, duration(at)));
  if (!moments.length) drawn.push(svg("text", { x: LEFT, y: 96 }, "No timeline was kept of this call."));
  node.replaceChildren(...drawn);
}
