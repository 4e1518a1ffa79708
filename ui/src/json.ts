/** JSON whose numbers stay what they are: a browser would write 2.0 as 2, and round integers of 17 digits. */

import { count } from "./format";

export class Exact {
  constructor(private readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

export function integer(text: string): number | Exact {
  const found = Number(text);
  return Number.isSafeInteger(found) ? found : new Exact(String(BigInt(text.replace("+", ""))));
}

export function real(text: string): number | Exact {
  const found = Number(text);
  if (!Number.isInteger(found)) return found;
  const written = Object.is(found, -0) ? "-0" : String(found);
  return new Exact(written.includes("e") ? written : `${written}.0`);
}

/** Read JSON. An older browser does not tell how a number is written, and may round it. */
export function exact(text: string): unknown {
  const read = (_: string, value: unknown, { source }: { source?: string } = {}): unknown =>
    (typeof value !== "number" || source === undefined ? value : /^-?\d+$/.test(source) ? integer(source) : real(source));
  return JSON.parse(text, read as (name: string, value: unknown) => unknown);
}

export function json(value: unknown): string {
  if (value instanceof Exact) return String(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(json)}]`;
  return `{${Object.entries(value).filter(([, each]) => each !== undefined).map(([name, each]) => `${JSON.stringify(name)}:${json(each)}`)}}`;
}

/** JSON over several lines, whole or only its beginning. */
export function indented(text: string): string {
  let level = 0;
  return text.replace(/"(?:[^"\\]|\\.)*"?|\{\}|\[\]|[{}[\],:]/g, (sign) => {
    if (sign === ":") return ": ";
    if (sign === ",") return `,\n${" ".repeat(level)}`;
    if (sign === "{" || sign === "[") return `${sign}\n${" ".repeat(++level)}`;
    if (sign === "}" || sign === "]") return `\n${" ".repeat(--level)}${sign}`;
    return sign;
  });
}

const LEAST = 24;

/** A value as JSON; where that is longer, about so many characters of it, with how much is left out: as cli/abridged.py has it. */
export function abridged(value: unknown, limit: number): string {
  const whole = json(value);
  return whole.length <= limit ? whole : cut(value, limit);
}

function cut(value: unknown, room: number): string {
  const more = (left: number): string[] => (left ? [`... ${count(left)} more`] : []);
  if (typeof value === "string") {
    const left = value.length - room;
    return left <= 0 ? json(value) : `${json(value.slice(0, room)).slice(0, -1)}..." (${count(left)} more characters)`;
  }
  if (Array.isArray(value)) {
    const entries: string[] = [];
    for (const each of value) {
      const entry = cut(each, Math.max(LEAST, Math.floor(room / 2)));
      if (entries.length && entry.length > room) break;
      entries.push(entry);
      room -= entry.length + 2;
    }
    return `[${[...entries, ...more(value.length - entries.length)].join(", ")}]`;
  }
  if (typeof value !== "object" || value === null || value instanceof Exact) return json(value);
  const all = Object.entries(value);
  const first = all.slice(0, Math.max(1, Math.floor(room / LEAST)));
  const inner = Math.max(LEAST, Math.floor(room / Math.max(1, first.length)));
  return `{${[...first.map(([name, each]) => `${cut(name, LEAST)}: ${cut(each, inner)}`), ...more(all.length - first.length)].join(", ")}}`;
}
