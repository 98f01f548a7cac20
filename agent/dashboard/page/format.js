// How figures are written.

export function ms(value) {
  if (value == null) return "–";
  if (value < 10) return value.toFixed(1);
  return Math.round(value).toLocaleString("en");
}

/** 1.24 s from a second on, else 340 ms: number and unit apart. */
export function span(value) {
  if (value == null) return ["–", ""];
  return value < 1000 ? [ms(value), "ms"] : [(value / 1000).toFixed(2), "s"];
}

export function clock(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString("en-GB");
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [minutes, rest] = [Math.floor(whole / 60), String(whole % 60).padStart(2, "0")];
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export const words = (name) => name.replaceAll("_", " ");
