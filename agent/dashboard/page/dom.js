// Small helpers around the DOM. No markup from data, ever: only text and attributes.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element: `el("p", { class: "note", data: { level: "bad" }, css: { "--at": "4%" } }, "text", child)`. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, { data = {}, css = {}, on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(data)) if (value != null) node.dataset[name] = value;
  for (const [name, value] of Object.entries(css)) node.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Replaces the children, but keeps the scroll position and what has the focus. */
export function show(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const top = parent.scrollTop;
  parent.replaceChildren(...children);
  parent.scrollTop = top;
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
