/**
 * Building DOM without markup strings: nothing a caller or an agent says can become markup, and the page runs
 * under a Content-Security-Policy without 'unsafe-inline' and under Trusted Types.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `attributes`: `class`, `hidden` and the like as given; true sets an empty attribute, false, null
 * and undefined leave it out. `children`: nodes or text.
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same in the SVG namespace. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Stroked 24-unit glyphs. */
const GLYPHS = {
  mic: ["M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3Z", "M5.5 11.5a6.5 6.5 0 0 0 13 0", "M12 18v3"],
  micOff: [
    "M15 10V6.5a3 3 0 0 0-5.7-1.3", "M9 9v2.5a3 3 0 0 0 4.6 2.5", "M5.5 11.5a6.5 6.5 0 0 0 10.6 5",
    "M18.2 13.6a6.5 6.5 0 0 0 .3-2.1", "M12 18v3", "M4 4l16 16",
  ],
  hangUp: [
    "M3.2 14.6c-.5-1.500-.2-3 1.100-4.100 4.300-3.400 11.100-3.400 15.400 0 1.300 1.100 1.600 2.600 1.100 4.100l-.3.800a1.300 1.300 0 0 1-1.500.8l-2.700-.6a1.300 1.300 0 0 1-1-1.200l-.1-1.900a10.600 10.600 0 0 0-6.400 0l-.1 1.900a1.300 1.300 0 0 1-1 1.200l-2.700.6a1.300 1.300 0 0 1-1.500-.8Z",
  ],
  settings: ["M4 7h9", "M17 7h3", "M4 17h3", "M11 17h9", "M15 4.800v4.400", "M9 14.800v4.400"],
  keyboard: [
    "M4.500 6.500h15a1.500 1.500 0 0 1 1.500 1.500v8a1.500 1.500 0 0 1-1.500 1.500h-15a1.500 1.500 0 0 1-1.500-1.500v-8a1.500 1.500 0 0 1 1.500-1.500Z",
    "M7 10h.01", "M10.300 10h.01", "M13.700 10h.01", "M17 10h.01", "M8 14h8",
  ],
  keypad: ["M6 5h.01", "M12 5h.01", "M18 5h.01", "M6 12h.01", "M12 12h.01", "M18 12h.01", "M6 19h.01", "M12 19h.01", "M18 19h.01"],
  send: ["M12 19V5.500", "M6 11.200l6-6 6 6"],
  close: ["M6.500 6.500l11 11", "M17.500 6.500l-11 11"],
  warning: ["M12 4.200 21 19.500H3Z", "M12 10v4.500", "M12 17.200h.01"],
  bolt: ["M13 3 5.500 13.500H11L10 21l8-11h-5.500Z"],
  tool: ["M14.500 6.500a4 4 0 0 1 5-1l-2.600 2.600 1.500 1.500 2.600-2.600a4 4 0 0 1-5.300 5L9.500 18.200a2 2 0 1 1-3-3l6.200-6.200a4 4 0 0 1 1.800-2.500Z"],
};

/** A glyph of `GLYPHS`, hidden from assistive technology: its button has a name of its own. */
export function icon(name) {
  return svg(
    "svg",
    { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" },
    ...GLYPHS[name].map((path) => svg("path", { d: path })),
  );
}

/** Texts that follow the chosen language: nodes are bound once, `apply` fills them. */
export class Labels {
  #bound = [];
  #strings = {};

  /** Fill `node` (or its `attribute`) from `key` now and at each change. Returns the node. */
  bind(node, key, attribute = null) {
    this.#bound.push([node, key, attribute]);
    this.#fill(node, key, attribute);
    return node;
  }

  /** Give an already bound node another key: a button that changes its meaning. */
  rebind(node, key, attribute = null) {
    const entry = this.#bound.find(([each, , where]) => each === node && where === attribute);
    if (!entry) return this.bind(node, key, attribute);
    if (entry[1] !== key) {
      entry[1] = key;
      this.#fill(node, key, attribute);
    }
    return node;
  }

  apply(strings) {
    this.#strings = strings;
    for (const entry of this.#bound) this.#fill(...entry);
  }

  #fill(node, key, attribute) {
    const text = this.#strings[key] ?? "";
    if (attribute === null) node.textContent = text;
    else node.setAttribute(attribute, text);
  }
}
