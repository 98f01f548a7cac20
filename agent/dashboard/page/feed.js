// Server-sent events over fetch: EventSource cannot send the token.

const SILENT_MS = 4000; // the server speaks once a second
const RETRY_MS = [500, 1000, 2000, 5000];

/** Calls `on.greeting`, `on.present` with data, `on.lost()`, and `on.locked()` (a promise of a token). */
export async function follow(url, on, token = () => "") {
  for (let failures = 0; ; failures += 1) {
    try {
      await once(url, on, token(), () => { failures = -1; });
    } catch (error) {
      if (error.status === 401 || error.status === 403) await on.locked(error.status);
    }
    on.lost();
    await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(Math.max(failures, 0), RETRY_MS.length - 1)]));
  }
}

async function once(url, on, token, alive) {
  const stop = new AbortController();
  let silence = setTimeout(() => stop.abort(), SILENT_MS);
  try {
    const answer = await fetch(url, { headers: headers(token), signal: stop.signal, cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error(answer.statusText), { status: answer.status });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENT_MS);
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const [event, data] = text.slice(0, end).split("\n");
        text = text.slice(end + 2);
        alive();
        on[event.slice(7)]?.(JSON.parse(data.slice(6)));
      }
    }
  } finally {
    clearTimeout(silence);
    stop.abort();
  }
}

export const headers = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
