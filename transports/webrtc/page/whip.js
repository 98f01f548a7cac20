/**
 * Signalling: a WHIP client (RFC 9725) for one session. Only `fetch`, no peer connection.
 */

/** Deadline of each request. A phone on a poor network needs seconds for TLS; more is a dead network. */
const REQUEST_MS = 8000;
const FRAGMENT = "application/trickle-ice-sdpfrag";

/**
 * The server said no, or could not be reached. `kind`: `unreachable` (no answer), `token` (401, 403), `busy`
 * (503), `limited` (429), `gone` (404, 410), `rejected` (any other). `retryAfterS` where the server says.
 */
export class SignallingError extends Error {
  constructor(kind, status, detail, retryAfterS = null) {
    super(detail);
    this.name = "SignallingError";
    this.kind = kind;
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

const KINDS = { 401: "token", 403: "token", 404: "gone", 410: "gone", 429: "limited", 503: "busy" };

/** `fetch` with a deadline; raises `SignallingError` for anything but success. */
export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_MS), ...options });
  } catch (error) {
    throw new SignallingError("unreachable", 0, String(error));
  }
  if (response.ok) return response;
  const retry = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  throw new SignallingError(
    KINDS[response.status] ?? "rejected", response.status, await problem(response),
    Number.isFinite(retry) ? retry : null,
  );
}

/** What a problem+json body says, in words. */
async function problem(response) {
  try {
    const body = await response.json();
    return String(body.detail ?? body.title ?? response.statusText);
  } catch {
    return response.statusText;
  }
}

export class WhipSession {
  #server;
  #headers = {};
  #url = null;
  #etag = null;

  /** `server`: base URL with a slash at its end. */
  constructor(server) {
    this.#server = server;
  }

  /** Last part of the session's URL; null before `offer`. What `resume` takes. */
  get id() {
    return this.#url === null ? null : new URL(this.#url).pathname.split("/").pop();
  }

  /** Send the offer. `query`: language, voice, resume; empty ones are left out. Returns the answer's SDP. */
  async offer(sdp, query, token) {
    const url = new URL("webrtc", this.#server);
    for (const [name, text] of Object.entries(query)) if (text) url.searchParams.set(name, text);
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await request(url, {
      method: "POST", headers: { ...this.#headers, "Content-Type": "application/sdp" }, body: sdp,
    });
    const location = response.headers.get("Location");
    if (!location) throw new SignallingError("rejected", response.status, "the answer has no Location");
    this.#url = new URL(location, response.url).href;
    this.#etag = response.headers.get("ETag");
    return response.text();
  }

  /** Tell the server of more candidates. */
  async trickle(body) {
    await this.#patch(body, this.#etag);
  }

  /** Restart ICE: returns the server's fragment with its new credentials. */
  async restart(body) {
    const response = await this.#patch(body, '"*"');
    this.#etag = response.headers.get("ETag") ?? this.#etag;
    return response.text();
  }

  /** End the session. Goes out even while the page is being left. */
  async end() {
    if (this.#url === null) return;
    const url = this.#url;
    this.#url = null;
    await request(url, { method: "DELETE", headers: this.#headers, keepalive: true });
  }

  #patch(body, match) {
    return request(this.#url, {
      method: "PATCH",
      headers: { ...this.#headers, "Content-Type": FRAGMENT, ...(match ? { "If-Match": match } : {}) },
      body,
    });
  }
}
