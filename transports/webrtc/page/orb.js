/**
 * The orb: shows who is speaking and how loud. WebGL where there is some, else a plain canvas; still, with
 * only its colours and a ring following the voices, for people who ask for reduced motion.
 */

import { FRAGMENT, VERTEX } from "./orb-shader.js";

/** Time constants of the levels on the screen, s: quick to rise, slow to fall, as meters are. */
const RISE_S = 0.04;
const FALL_S = 0.22;
/** A frame that takes longer than this, on average, is drawn with fewer pixels (software rendering). */
const SLOW_FRAME_MS = 26;
/** With reduced motion: looks per second. */
const STILL_HZ = 8;
const STATES = { thinking: "thinking" };

const channels = (colour) => (colour.match(/[\d.]+/g) ?? ["0", "0", "0"]).slice(0, 3).map((each) => each / 255);

export class Orb {
  #canvas;
  #levels;
  #painter;
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #shown = { agent: 0, caller: 0, thinking: 0, alive: 0 };
  #mode = { state: "", alive: false };
  #frame = null;
  #beforeMs = 0;
  #scale = 1;
  #slowMs = 0;
  #visible = true;
  #watching = new AbortController();
  #observer;

  /** `levels()` gives `{caller, agent}`, 0 to 1, at each frame. */
  constructor(canvas, levels) {
    this.#canvas = canvas;
    this.#levels = levels;
    this.#painter = webgl(canvas) ?? flat(canvas);
    const { signal } = this.#watching;
    this.#still.addEventListener("change", () => this.#again(), { signal });
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.#painter = null;
    }, { signal });
    canvas.addEventListener("webglcontextrestored", () => { this.#painter = webgl(canvas); }, { signal });
    this.#observer = new IntersectionObserver(([entry]) => {
      this.#visible = entry.isIntersecting;
      this.#again();
    });
    this.#observer.observe(canvas);
  }

  /** `state`: as the call's; `alive`: a call is on. */
  show(state, alive) {
    this.#mode = { state, alive };
  }

  close() {
    this.#stop();
    this.#watching.abort();
    this.#observer.disconnect();
  }

  #stop() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#frame);
    this.#frame = null;
  }

  #again() {
    this.#stop();
    if (!this.#visible) return;
    // Timers and frames share one slot; their handles come from different counters, so both are cancelled.
    this.#frame = this.#still.matches
      ? setTimeout(() => this.#draw(performance.now()), 1000 / STILL_HZ)
      : requestAnimationFrame((now) => this.#draw(now));
  }

  #draw(nowMs) {
    const elapsedS = Math.min(0.1, Math.max(0.001, (nowMs - this.#beforeMs) / 1000));
    this.#beforeMs = nowMs;
    this.#follow(elapsedS);
    this.#fit();
    if (this.#painter) {
      const still = this.#still.matches;
      this.#painter({ ...this.#shown, time: still ? 4 : nowMs / 1000, still, colours: this.#colours() });
      if (!still) this.#spare(1000 * elapsedS);
    }
    this.#again();
  }

  #follow(elapsedS) {
    const { agent, caller } = this.#levels();
    const thinking = this.#mode.state === STATES.thinking ? 1 : 0;
    const targets = { agent, caller, thinking, alive: this.#mode.alive ? 1 : 0 };
    for (const [name, target] of Object.entries(targets)) {
      const slow = name === "alive" || name === "thinking" ? 0.3 : 0;
      const constantS = slow || (target > this.#shown[name] ? RISE_S : FALL_S);
      this.#shown[name] += (target - this.#shown[name]) * (1 - Math.exp(-elapsedS / constantS));
    }
  }

  #fit() {
    const ratio = Math.min(2, devicePixelRatio) * this.#scale;
    const side = Math.max(1, Math.round(this.#canvas.clientWidth * ratio));
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
  }

  /** Halve the pixels when drawing cannot keep up: the call matters more. */
  #spare(frameMs) {
    this.#slowMs += (frameMs - this.#slowMs) * 0.05;
    if (this.#slowMs > SLOW_FRAME_MS && this.#scale > 0.26) {
      this.#scale /= 2;
      this.#slowMs = 0;
    }
  }

  /** The style sheet's colours, which know of light and dark. */
  #colours() {
    const style = getComputedStyle(this.#canvas);
    const [agent, deep, caller] = [style.color, style.outlineColor, style.caretColor].map(channels);
    const ink = channels(style.textDecorationColor);
    return { agent, deep, caller, dark: ink[0] > 0.5 ? 1 : 0 };
  }
}

/** A painter on WebGL, or null. */
function webgl(canvas) {
  const gl = canvas.getContext("webgl", { alpha: true, antialias: false, powerPreference: "low-power" });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    console.warn("parley: orb:", gl.getProgramInfoLog(program));
    return null;
  }
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  // One triangle that covers the view.
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW);
  const corner = gl.getAttribLocation(program, "corner");
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
  const names = "size time agent caller thinking alive dark agentTone deepTone callerTone".split(" ");
  const at = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
  return (look) => {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform2f(at.size, canvas.width, canvas.height);
    for (const name of ["time", "thinking", "alive"]) gl.uniform1f(at[name], look[name]);
    // With reduced motion the outline keeps still: only the glow's strength follows, softly.
    gl.uniform1f(at.agent, look.still ? 0.35 * look.agent : look.agent);
    gl.uniform1f(at.caller, look.caller);
    gl.uniform1f(at.dark, look.colours.dark);
    gl.uniform3fv(at.agentTone, look.colours.agent);
    gl.uniform3fv(at.deepTone, look.colours.deep);
    gl.uniform3fv(at.callerTone, look.colours.caller);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  };
}

/** A painter on a plain canvas: a shaded disc, with a ring for the caller. Null where there is no canvas. */
function flat(canvas) {
  const context = canvas.getContext("2d");
  if (!context) return null;
  const css = (tone, alpha) => `rgb(${tone.map((each) => Math.round(255 * each)).join(" ")} / ${alpha})`;
  return ({ agent, caller, alive, still, colours, time }) => {
    const half = canvas.width / 2;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const breath = still ? 0 : 0.012 * Math.sin(time * 1.1) + 0.12 * agent;
    const radius = half * (0.56 + breath);
    const halo = context.createRadialGradient(half, half, radius * 0.9, half, half, half);
    const loud = Math.max(agent, caller);
    halo.addColorStop(0, css(caller > agent ? colours.caller : colours.agent, 0.16 + 0.35 * loud));
    halo.addColorStop(1, css(colours.agent, 0));
    context.fillStyle = halo;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const body = context.createRadialGradient(half * 0.8, half * 0.65, 0, half, half, radius);
    body.addColorStop(0, css([1, 1, 1], 0.95));
    body.addColorStop(0.45, css(colours.agent, 0.7 + 0.3 * alive));
    body.addColorStop(1, css(colours.deep, 1));
    context.fillStyle = body;
    context.beginPath();
    context.arc(half, half, radius, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = css(colours.caller, caller);
    context.lineWidth = half * 0.03;
    context.beginPath();
    context.arc(half, half, radius + half * 0.12, -Math.PI / 2, Math.PI * (2 * caller - 0.5));
    context.stroke();
  };
}
