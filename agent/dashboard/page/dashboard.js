// The page: follows the feed, keeps an hour of points, draws what is new.

import { CallView } from "./call.js";
import { HourChart, spark } from "./charts.js";
import { $ } from "./dom.js";
import { follow } from "./feed.js";
import { clock, ms, span } from "./format.js";
import * as panels from "./panels.js";

const VERSION = 1;
const LAG_SHOWN = 120;
const HOUR_S = 3600;

const stored = (name) => { try { return sessionStorage.getItem(name) ?? ""; } catch { return ""; } };
const token = () => stored("parley.token");
const view = new CallView(token);
const chart = new HourChart($("#hour .chart"));
const points = new Map();
const lags = [];
let greeting = { stages: [], slots: 0 };
const open = (id) => view.open(id);

function greeted(message) {
  if (message.version !== VERSION) location.reload();
  greeting = message;
  points.clear();
  remember(message.points);
  $("#agent").textContent = message.agent;
  document.title = message.agent;
}

function remember(fresh) {
  for (const point of fresh) points.set(point[0], point);
}

function present(now) {
  remember(now.points);
  for (const at of points.keys()) if (at < now.at - HOUR_S - 60) points.delete(at);
  lags.push(now.lag_ms);
  if (lags.length > LAG_SHOWN) lags.shift();
  if (document.hidden) return;
  header(now);
  tiles(now);
  chart.draw([...points.values()], now.at, budgetOf("response"));
  panels.budgets(greeting.stages, now.stages, now.blown);
  panels.waterfall(now.turns, open);
  panels.calls(now, open);
  panels.providers(now.providers, now.finalizes);
  panels.problems(now.problems, now.problem_count);
}

const budgetOf = (stage) => greeting.stages.find((entry) => entry.stage === stage)?.budget_ms ?? null;

function header(now) {
  const status = $("#status");
  status.dataset.state = now.not_ready ? "warn" : "good";
  status.textContent = now.not_ready ?? "answering calls";
  $("#time").textContent = clock(now.at);
}

function tiles(now) {
  const share = greeting.slots ? now.live / greeting.slots : 0;
  const transports = Object.entries(now.transports).map(([name, count]) => `${count} ${name}`).join(", ");
  panels.tile("tile-calls", String(now.live), "", transports || `${now.ended_count} ended, ${now.refused} refused`, share > 0.9 ? "warn" : "");
  $("#tile-calls .fill").style.setProperty("--share", `${share * 100}%`);
  const response = now.stages.response;
  const budget = budgetOf("response");
  const alarm = (value, limit) => panels.level(value, limit).replace(/none|good/, "");
  panels.tile("tile-p50", ...span(response?.[1]), response ? `${response[0]} turns in 5 min` : "no turns in 5 min");
  panels.tile("tile-p95", ...span(response?.[2]), budget ? `budget ${ms(budget)} ms` : "\u00a0", alarm(response?.[2], budget));
  const added = now.stages.added;
  panels.tile("tile-added", ...span(added?.[2]), added ? `95 %; median ${ms(added[1])} ms` : "\u00a0", alarm(added?.[2], budgetOf("added")));
  panels.tile("tile-lag", ms(now.lag_ms), "ms", now.cpu === null ? "\u00a0" : `${Math.round(now.cpu * 100)} % of a core`, now.lag_ms > 50 ? "bad" : now.lag_ms > 20 ? "warn" : "");
  spark($("#tile-lag .spark"), lags, 5);
}

function lost() {
  const status = $("#status");
  status.dataset.state = "bad";
  status.textContent = "no connection to the server";
}

function locked() {
  const dialog = $("#token");
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      try { sessionStorage.setItem("parley.token", $("input", dialog).value.trim()); } catch { /* asked again next time */ }
      done();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

const THEMES = ["", "light", "dark"];
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}
try { theme(localStorage.getItem("parley.theme") ?? ""); } catch { /* as the system says */ }
$("#theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "") + 1) % THEMES.length];
  theme(next);
  try { localStorage.setItem("parley.theme", next); } catch { /* for this visit only */ }
});

if (location.hash.length > 1) open(decodeURIComponent(location.hash.slice(1)));
follow("/dashboard/feed", { greeting: greeted, present, lost, locked }, token);
