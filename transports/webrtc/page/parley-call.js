/**
 * `<parley-call>`: talk to a Parley agent from any page.
 *
 *     <script type="module" src="https://voice.example.com/page/parley-call.js"></script>
 *     <parley-call></parley-call>
 *
 * Attributes, methods, events and style hooks are described in docs/embed.md.
 */

import { Controller } from "./controller.js";
import { Labels } from "./dom.js";
import { buildView } from "./view.js";
import { request } from "./whip.js";

const HERE = new URL(".", import.meta.url);
/** The server that this module came from, unless the element names another. */
const SERVER = new URL("..", HERE);

/** Constructed, not linked: it needs no style-src of the embedding page, and all elements share it. */
const sheet = request(new URL("parley-call.css", HERE))
  .then((response) => response.text())
  .then((css) => {
    const made = new CSSStyleSheet();
    made.replaceSync(css);
    return made;
  });

export class ParleyCall extends HTMLElement {
  static observedAttributes = ["language", "voice"];

  /** Where tokens come from, instead of the attributes: `async () => "…"`. */
  tokenProvider = null;
  #controller = null;

  async connectedCallback() {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    try {
      root.adoptedStyleSheets = [await sheet];
    } catch (error) {
      console.error("parley: the style sheet cannot be loaded", error);
    }
    // Removed again while the style sheet was on its way, or connected twice.
    if (!this.isConnected || this.#controller) return;
    const labels = new Labels();
    const view = buildView(labels);
    root.replaceChildren(view.root);
    view.title.setAttribute("aria-level", this.getAttribute("heading-level") ?? "2");
    this.#controller = new Controller(this, view, labels, {
      server: this.#server(),
      token: (required) => this.#token(required),
      hotkeys: this.hasAttribute("hotkeys"),
    });
    await this.#controller.load();
  }

  disconnectedCallback() {
    this.#controller?.close();
    this.#controller = null;
  }

  attributeChangedCallback(name, _before, value) {
    this.#controller?.choose({ [name]: value ?? "" });
  }

  /** idle, asking, connecting, live, reconnecting, ended. */
  get phase() {
    return this.#controller?.phase ?? "idle";
  }

  /** What was said so far: entries as in transcript.js, copied. */
  get transcript() {
    return structuredClone(this.#controller?.transcript.entries ?? []);
  }

  /** The agent's audio while a call is on, else null. */
  get stream() {
    return this.#controller?.stream ?? null;
  }

  get muted() {
    return this.#controller?.muted ?? false;
  }

  set muted(muted) {
    if (this.#controller) this.#controller.muted = Boolean(muted);
  }

  /** Call. Browsers want a click or key press for the microphone and the sound. */
  async start({ microphone = true } = {}) {
    await this.#controller?.start(microphone);
  }

  hangUp() {
    this.#controller?.hangUp();
  }

  /** Say something in writing; false while no call is on. */
  sendText(text) {
    return this.#controller?.sendText(text) ?? false;
  }

  #server() {
    const named = this.getAttribute("server");
    return named ? new URL(named.endsWith("/") ? named : `${named}/`, document.baseURI).href : SERVER.href;
  }

  /** From the provider, the `token` attribute, the site's `token-url`, or the server itself; null if none is needed. */
  async #token(required) {
    if (this.tokenProvider) return this.tokenProvider();
    if (this.hasAttribute("token")) return this.getAttribute("token");
    if (!required) return null;
    const own = this.getAttribute("token-url");
    const url = own ? new URL(own, document.baseURI) : new URL("webrtc/token", this.#server());
    const response = await request(url, { method: "POST", credentials: own ? "same-origin" : "omit" });
    return (await response.json()).token;
  }
}

// Two copies of the script on one page, or an element of the site's own by that name: the first one stays.
if (!customElements.get("parley-call")) customElements.define("parley-call", ParleyCall);

