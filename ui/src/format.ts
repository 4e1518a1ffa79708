/** Texts for people. */

// Control characters, and those that turn or hide text.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]/gu;

/** A text in one line, its control characters shown. */
export function shown(text: unknown): string {
  return escaped(typeof text === "string" ? text : text === undefined ? "" : JSON.stringify(text)).replace(/\n/g, "\\n").replace(/\t/g, "\\t");
}

/** A text of many lines, its control characters shown but for those that part lines. */
export function escaped(text: string): string {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, (found) => {
    const code = found.codePointAt(0) ?? 0;
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

const WHOLE = new Intl.NumberFormat("en-US");
export const count = (value: number): string => WHOLE.format(value);

/** A share in percent: never 0 % of some, nor 100 % of not all. */
export function percent(part: number, whole: number): string {
  if (!whole || !part) return "0 %";
  if (part === whole) return "100 %";
  const share = (100 * part) / whole;
  if (share < 0.01) return "< 0.01 %";
  if (share > 99.9) return "99.9 %";
  return `${share < 10 ? share.toFixed(share < 1 ? 2 : 1) : Math.floor(share)} %`;
}

export function span(ms: number): string {
  if (ms < 1) return "0 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  const parts: [number, string][] = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "m"], [seconds % 60, "s"]];
  const first = parts.findIndex(([value]) => value > 0);
  return parts.slice(first, first + 2).filter(([value]) => value).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

export function ago(at: string | number | null, now: number): string {
  if (at === null) return "—";
  const ms = now - (typeof at === "number" ? at : Date.parse(at));
  if (ms > -5000 && ms < 1000) return "now"; // the clock of a page ticks each few seconds
  return ms > 0 ? `${span(ms)} ago` : `in ${span(-ms)}`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** A time in this browser's zone. */
export function local(at: string | number | null, seconds = true): string {
  if (at === null) return "—";
  const time = new Date(at);
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}${seconds ? `:${two(time.getSeconds())}` : ""}`;
}

export function clock(at: number): string {
  const time = new Date(at);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return "—";
  if (perSecond >= 100) return `${count(Math.round(perSecond))}/s`;
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`;
  return `${(perSecond * 60).toFixed(perSecond * 60 >= 10 ? 0 : 1)}/min`;
}

/** A word of a shell. */
export function word(text: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}
