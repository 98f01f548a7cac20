// The cards: each turns a part of the present into rows.

import { $, el, show } from "./dom.js";
import { clock, duration, ms, span, words } from "./format.js";

export const PARTS = ["endpointing", "stt_final", "llm_first_sentence", "tts_first_audio", "added"];
const LISTED = 9; // more calls than this are cells
const BUDGETED = ["response", "endpointing", "stt_final", "llm_first_token", "llm_first_sentence", "tts_first_audio", "added", "barge_in"];

export function tile(id, value, unit, note, level = "") {
  const node = document.getElementById(id);
  const big = $("[data-value]", node);
  big.replaceChildren(value, ...(unit ? [el("small", {}, unit)] : []));
  big.dataset.level = level;
  $("[data-note]", node).textContent = note;
}

export function level(value, budget) {
  if (value == null || !budget) return "none";
  return value <= budget ? "good" : value <= budget * 1.3 ? "warn" : "bad";
}

/** What was done about blown budgets, such as "filler 2, none 1". */
const done = (actions) => Object.entries(actions).map(([action, count]) => `${words(action)} ${count}`).join(", ");

/** A turn's blown budgets, such as "over budget: llm first token (filler)"; empty where there is none. */
export function over(blown) {
  const found = Object.entries(blown ?? {}).map(([stage, action]) => `${words(stage)} (${words(action)})`);
  return found.length ? `over budget: ${found.join(", ")}` : "";
}

export function budgets(stages, figures, blown) {
  const known = stages.filter(({ stage }) => figures[stage] && (BUDGETED.includes(stage) || stages.find((s) => s.stage === stage).code));
  known.sort((a, b) => rank(a.stage) - rank(b.stage));
  const rows = known.map(({ stage, code, text, budget_ms }) => {
    const [count, median, high] = figures[stage];
    const late = blown[stage];
    const full = Math.max(high, budget_ms ?? 0, 1) * 1.08;
    return el("div", { class: "budget-row", title: `${text}. ${count} turns${late ? `; over budget: ${done(late)}` : ""}`, data: { level: level(high, budget_ms), stage } },
      el("b", {}, ...(code ? [el("span", { class: "code" }, code)] : []), el("span", { class: "name" }, words(stage)),
        ...(late ? [el("span", { class: "over" }, `▲ ${Object.values(late).reduce((sum, count) => sum + count, 0)}`)] : [])),
      el("div", { class: "track" },
        el("i", { css: { "--width": `${(high / full) * 100}%` } }),
        el("i", { class: "median", css: { "--width": `${(median / full) * 96}%` } }),
        ...(budget_ms ? [el("u", { css: { "--at": `${(budget_ms / full) * 100}%` } })] : [])),
      el("span", { class: "figure" }, el("strong", {}, ms(high)), budget_ms ? ` of ${ms(budget_ms)} ms` : " ms"));
  });
  show($("#budgets .rows"), ...(rows.length ? rows : [el("p", { class: "empty" }, "No turns in the last five minutes.")]));
}

const rank = (stage) => (BUDGETED.includes(stage) ? BUDGETED.indexOf(stage) : 99);

export function parts(turn, longest) {
  const stages = withWait(turn);
  return el("span", { class: "parts" }, ...PARTS.filter((part) => stages[part] > 0).map((part) =>
    el("i", { data: { part }, title: `${words(part)} ${ms(stages[part])} ms`, css: { "--width": `${(stages[part] / longest) * 100}%` } })));
}

/**
 * Where a filler sounded first, the model's sentence is no part of the response: the wait for it until then is.
 * On text lines the first token is what the response waited for.
 */
function withWait({ stages, blown }) {
  if (stages.llm_first_sentence !== undefined) return stages;
  if (!Object.values(blown ?? {}).includes("filler")) return { ...stages, llm_first_sentence: stages.llm_first_token ?? 0 };
  const known = PARTS.reduce((sum, part) => sum + (stages[part] ?? 0), 0);
  return { ...stages, llm_first_sentence: stages.response - known };
}

export function waterfall(turns, open) {
  const newest = turns.toReversed();
  const longest = Math.max(500, ...newest.map((turn) => turn.stages.response));
  const rows = newest.map((turn) => el("button", {
    class: "turn", type: "button", data: { key: `${turn.call}.${turn.turn}` }, on: { click: () => open(turn.call) },
    "aria-label": `turn at ${clock(turn.at)}, ${ms(turn.stages.response)} ms${over(turn.blown) && `, ${over(turn.blown)}`}: show the call`,
    title: over(turn.blown),
  }, el("time", {}, clock(turn.at)), parts(turn, longest),
    el("span", { class: "ms" }, ...(over(turn.blown) ? [el("span", { class: "over" }, "▲ ")] : []), span(turn.stages.response).join(" "))));
  show($("#turns .rows"), ...(rows.length ? rows : [el("p", { class: "empty" }, "No turn yet. Call, and it shows here.")]));
}

export function calls(present, open) {
  const { calls: live, ended, at } = present;
  const nodes = [];
  if (live.length > LISTED) {
    nodes.push(el("div", { class: "cells" }, ...live.map(([id, transport, language, state, started, turns]) => el("button", {
      type: "button", data: { state, key: id }, on: { click: () => open(id) },
      title: `${transport}, ${language}, ${duration(at - started)}, ${turns} turns: ${state}`, "aria-label": `call ${id}, ${state}`,
    }))));
  } else {
    nodes.push(...live.map((call) => row(call, at, open)));
    if (!live.length) nodes.push(el("p", { class: "empty" }, "Nobody is calling."));
  }
  if (ended.length && live.length <= LISTED) {
    nodes.push(el("p", { class: "subtitle" }, "ended"), ...ended.toReversed().slice(0, LISTED + 3 - live.length).map((call) => row(call, null, open)));
  }
  show($("#calls .rows"), ...nodes);
}

function row([id, transport, language, state, started, turns, response, cause], at, open) {
  return el("button", { class: "call-row", type: "button", data: { key: id, state }, on: { click: () => open(id) } },
    el("i"), el("span", {}, el("b", {}, transport), ` ${language}`), el("span", {}, at === null ? words(cause) : state),
    el("span", {}, at === null ? clock(started).slice(0, 5) : duration(at - started)),
    el("span", {}, response === null ? `${turns} turns` : `${ms(response)} ms`));
}

export function providers(list, [used, wasted]) {
  $("#providers [data-early]").textContent = used + wasted ? `asked early: ${used} of ${used + wasted} used` : "";
  const rows = list.map(({ kind, name, turns, failures, ms: times }) => {
    const state = failures > turns * 0.1 && failures ? "bad" : turns ? "good" : "none";
    return el("div", { class: "provider", data: { level: state } },
      el("span", { class: "dot" }), el("span", { class: "kind" }, kind), el("b", {}, name),
      el("span", { class: "figure" },
        ...(failures ? [el("span", { class: "failures" }, `${failures} failed  `)] : []),
        times ? `${ms(times[0])} / ${ms(times[1])} ms` : `${turns} turns`));
  });
  show($("#providers .rows"), ...rows);
}

export function problems(list, count) {
  $("#problems [data-count]").textContent = count ? `${count} since start` : "";
  const rows = list.toReversed().map(([number, at, severity, logger, text]) => el("div", { class: "problem", data: { level: severity, key: number }, title: logger },
    el("time", {}, clock(at)), el("p", {}, text)));
  show($("#problems .rows"), ...(rows.length ? rows : [el("p", { class: "empty" }, "None.")]));
}
