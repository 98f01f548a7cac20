// The hour's chart and the spark line.

import { svg } from "./dom.js";
import { clock, ms } from "./format.js";

const HOUR_S = 3600, LEAST_S = 600; // a young server shows ten minutes, then what it has
const GAP_S = 120; // a longer pause between points is shown as one
const LEFT = 52, RIGHT = 8, TOP = 10, BOTTOM = 24;

/** `points`: [start, count, p50, p95, p99]; `budget`: ms or null. */
export class HourChart {
  constructor(node) {
    this.node = node;
    this.pointer = null;
    this.last = null;
    node.addEventListener("pointermove", (event) => { this.pointer = event.offsetX; this.redraw(); });
    node.addEventListener("pointerleave", () => { this.pointer = null; this.redraw(); });
    new ResizeObserver(() => this.redraw()).observe(node);
  }

  draw(points, now, budget) {
    this.last = { points, now, budget };
    this.redraw();
  }

  redraw() {
    if (!this.last) return;
    const { clientWidth: width, clientHeight: height } = this.node;
    if (!width || !height) return;
    const { points, now, budget } = this.last;
    const shown = points.filter((point) => point[0] >= now - HOUR_S);
    const top = scaleTop(shown, budget);
    const shownS = Math.min(Math.max(now - (shown[0]?.[0] ?? now) + 20, LEAST_S), HOUR_S);
    const x = (at) => LEFT + (width - LEFT - RIGHT) * (1 - (now - at) / shownS);
    const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - Math.min(value, top) / top);
    const parts = [...grid(width, height, top, now, shownS, x, y)];
    const runs = runsOf(shown);
    const line = (column) => runs.map((run) => path(run, column, x, y)).join("");
    const floor = height - BOTTOM;
    const area = runs.map((run) => `${path(run, 2, x, y)}L${x(run.at(-1)[0])} ${floor}L${x(run[0][0])} ${floor}Z`).join("");
    parts.push(svg("path", { class: "area", d: area }));
    for (const [name, column] of [["p99", 4], ["p95", 3], ["p50", 2]]) parts.push(svg("path", { class: name, d: line(column) }));
    if (budget && budget <= top) {
      parts.push(svg("line", { class: "budget", x1: LEFT, x2: width - RIGHT, y1: y(budget), y2: y(budget) }));
      parts.push(svg("text", { class: "budget-name", x: LEFT + 6, y: y(budget) - 6 }, `budget ${ms(budget)} ms`));
    }
    if (this.pointer !== null && shown.length) parts.push(...tip(shown, this.pointer, x, y, width, height));
    this.node.replaceChildren(...parts);
  }
}

function scaleTop(points, budget) {
  const highest = Math.max(400, (budget ?? 0) * 1.15, ...points.map((point) => point[3] * 1.15));
  const step = stepOf(highest);
  return Math.ceil(highest / step) * step;
}

function stepOf(top) {
  for (const step of [100, 200, 250, 500, 1000, 2000, 5000]) if (top / step <= 5) return step;
  return 10000;
}

function* grid(width, height, top, now, shownS, x, y) {
  for (let value = 0; value <= top; value += stepOf(top)) {
    yield svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });
    yield svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value ? `${ms(value)}` : "0 ms");
  }
  for (let quarter = 0; quarter <= 4; quarter += 1) {
    const at = now - (shownS * quarter) / 4;
    const anchor = quarter === 0 ? "end" : quarter === 4 ? "start" : "middle";
    yield svg("text", { x: x(at), y: height - 6, "text-anchor": anchor }, quarter ? clock(at).slice(0, 5) : "now");
  }
}

function runsOf(points) {
  const runs = [];
  for (const point of points) {
    const run = runs.at(-1);
    if (run && point[0] - run.at(-1)[0] <= GAP_S) run.push(point);
    else runs.push([point]);
  }
  return runs;
}

function path(run, column, x, y) {
  const steps = run.map((point) => `${x(point[0]).toFixed(1)} ${y(point[column]).toFixed(1)}`);
  if (steps.length === 1) steps.push(steps[0]); // a single point: a round dot
  return `M${steps.join("L")}`;
}

function tip(points, pointer, x, y, width, height) {
  const nearest = points.reduce((best, point) => (Math.abs(x(point[0]) - pointer) < Math.abs(x(best[0]) - pointer) ? point : best));
  const at = x(nearest[0]);
  const side = at > width * 0.7 ? "end" : "start";
  const text = `${clock(nearest[0])}  ${ms(nearest[2])} / ${ms(nearest[3])} / ${ms(nearest[4])} ms, ${nearest[1]} turns`;
  return [
    svg("line", { class: "cross", x1: at, x2: at, y1: TOP, y2: height - BOTTOM }),
    svg("text", { class: "tip", x: at + (side === "end" ? -8 : 8), y: TOP + 12, "text-anchor": side }, text),
  ];
}

/** The last values as a line; the scale never ends below `least`. */
export function spark(node, values, least) {
  const { clientWidth: width, clientHeight: height } = node;
  if (!width || values.length < 2) return;
  const top = Math.max(least, ...values);
  const steps = values.map((value, at) => `${((at / (values.length - 1)) * width).toFixed(1)} ${(height - (value / top) * height).toFixed(1)}`);
  node.replaceChildren(svg("path", { d: `M${steps.join("L")}` }));
}
