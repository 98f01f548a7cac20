/** Which of the texts in strings.js stands for what. */

/** By the agent's state. */
export const STATUS = { idle: "listening", hearing: "hearing", replying: "thinking", speaking: "speaking", yielded: "yielded" };
/** By the cause of a call's end. */
export const ENDS = { hung_up: "endHungUp", agent_hung_up: "endAgent", transferred: "endTransfer" };
/** What a screen reader says of a phase; the agent's own greeting tells of the others. */
export const ANNOUNCED = { asking: "asking", connecting: "connecting", reconnecting: "reconnecting", ended: "ended" };
/** Help for a failed call, by SignallingError.kind. */
export const FAILURES = {
  unreachable: "unreachable", token: "token", busy: "busyServer", limited: "limited", gone: "rejected",
  rejected: "rejected",
};
