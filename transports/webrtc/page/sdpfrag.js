/**
 * Trickle ICE fragments (`application/trickle-ice-sdpfrag`, RFC 8840) as WHIP uses them (RFC 9725, 4.3):
 * pure functions from and to SDP text.
 */

const CRLF = "\r\n";

/** Lines of SDP, whatever ends them. */
const lines = (sdp) => sdp.split(/\r?\n/).filter((line) => line !== "");

const value = (all, prefix) => all.find((line) => line.startsWith(prefix))?.slice(prefix.length) ?? null;

/** User fragment and password of a description (of its first media section, as BUNDLE shares them). */
export function credentials(sdp) {
  const all = lines(sdp);
  return { ufrag: value(all, "a=ice-ufrag:"), pwd: value(all, "a=ice-pwd:") };
}

/** `candidate:…` values of a description or fragment: of the session and its first media section. */
export function candidates(sdp) {
  const all = lines(sdp);
  const second = all.findIndex((line, at) => line.startsWith("m=") && at > all.findIndex((each) => each.startsWith("m=")));
  return (second < 0 ? all : all.slice(0, second))
    .filter((line) => line.startsWith("a=candidate:")).map((line) => line.slice(2));
}

/**
 * The fragment that tells the server of `found` (`candidate:…` strings) for the description `local`.
 * All belong to the first media section: the others are bundled with it. `done` adds end-of-candidates.
 */
export function fragment(local, found, done) {
  const all = lines(local);
  const { ufrag, pwd } = credentials(local);
  const group = all.find((line) => line.startsWith("a=group:BUNDLE"));
  const media = all.find((line) => line.startsWith("m="));
  const mid = value(all, "a=mid:");
  return [
    ...(group ? [group] : []),
    media,
    `a=mid:${mid}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...found.map((candidate) => `a=${candidate}`),
    ...(done ? ["a=end-of-candidates"] : []),
    "",
  ].join(CRLF);
}

/**
 * The earlier answer with the credentials and candidates of a restart's fragment: what
 * `setRemoteDescription` needs to go on after an ICE restart. Null if the fragment holds no credentials.
 */
export function restarted(answer, restart) {
  const { ufrag, pwd } = credentials(restart);
  if (!ufrag || !pwd) return null;
  const fresh = candidates(restart).map((candidate) => `a=${candidate}`);
  const out = [];
  let first = true;
  for (const line of lines(answer)) {
    if (line.startsWith("a=candidate:") || line === "a=end-of-candidates") continue;
    if (line.startsWith("a=ice-ufrag:")) out.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith("a=ice-pwd:")) {
      out.push(`a=ice-pwd:${pwd}`);
      if (first) out.push(...fresh, "a=end-of-candidates");
      first = false;
    } else out.push(line);
  }
  return out.join(CRLF) + CRLF;
}
