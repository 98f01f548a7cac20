/**
 * The data channel's messages, version 1 (docs/embed.md lists them): JSON text, both ways.
 *
 * Unknown types and fields are ignored, so that either side may be newer. Nothing that comes in is trusted:
 * what is too long, no JSON or of another version is dropped and counted by the caller of `parse`.
 */

export const LABEL = "parley";
export const VERSION = 1;
/** Longest message either way, in UTF-16 units here and in bytes at the server; ASCII in practice. */
export const MAX_MESSAGE = 16 * 1024;
/** Longest typed input. */
export const MAX_TEXT = 2000;

const CHECKS = {
  hello: (m) => typeof m.call === "string",
  state: (m) => typeof m.state === "string",
  caller: (m) => typeof m.text === "string",
  agent: (m) => Number.isInteger(m.turn) && typeof m.text === "string",
  heard: (m) => Number.isInteger(m.turn) && typeof m.text === "string",
  tool: (m) => typeof m.name === "string",
  latency: (m) => Number.isInteger(m.turn) && m.stages_ms !== null && typeof m.stages_ms === "object",
  error: (m) => typeof m.text === "string",
  pong: (m) => Number.isInteger(m.id),
  bye: () => true,
};

/** The message, or null if it is to be ignored. */
export function parse(data) {
  if (typeof data !== "string" || data.length > MAX_MESSAGE) return null;
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return null;
  }
  if (message === null || typeof message !== "object" || message.v !== VERSION) return null;
  return Object.hasOwn(CHECKS, message.type) && CHECKS[message.type](message) ? message : null;
}

/** Text for the channel. */
export function encode(type, fields = {}) {
  return JSON.stringify({ v: VERSION, type, ...fields });
}
