/** What the children of a grid are told apart by where that is no scale: causes of failure, workers. */
import type { JSX } from "preact";
import type { Failure, Workers } from "./api";
import { count, shown } from "./format";

/** Kinds with a colour and a shape of their own. */
export const NAMED = 7;
const OTHERS = NAMED;
/** The slot of children that are of no kind. */
export const NONE = OTHERS + 1;
/** By slot: rectangles of 12 units, left, top, right, foot. */
export const SHAPES: readonly (readonly (readonly [number, number, number, number])[])[] = [
  [[0, 0, 12, 12]],
  [[0, 0, 5, 12], [7, 0, 12, 12]],
  [[0, 0, 12, 3], [0, 9, 12, 12], [0, 3, 3, 9], [9, 3, 12, 9]],
  [[0, 0, 12, 5], [0, 7, 12, 12]],
  [[4, 0, 8, 12], [0, 4, 4, 8], [8, 4, 12, 8]],
  [[0, 0, 5, 5], [7, 0, 12, 5], [0, 7, 5, 12], [7, 7, 12, 12]],
  [[0, 0, 4, 12], [4, 8, 12, 12]],
  [[0, 4, 12, 8]],
  [[4, 4, 8, 8]],
];

interface Entry { slot: number; name: string; count: number }

/** The slot and the name of each byte, and what of that the legend tells. */
export interface Kinds { title: string; slots: Uint8Array; names: string[]; entries: Entry[] }

export const causeOf = (each: Failure): string => (each.message ? `${shown(each.type)}: ${shown(each.message)}` : shown(each.type || each.fingerprint));

/** The causes for which most children failed, in the order in which they came first. */
export function causes(failures: Failure[], order: string[]): Kinds {
  const places = new Map(order.map((fingerprint, place) => [fingerprint, place + 1]));
  const ended = failures.filter((each) => each.ended > 0).sort((one, other) => other.ended - one.ended);
  const named = ended.slice(0, NAMED).map((each) => ({ byte: places.get(each.fingerprint) ?? 0, name: causeOf(each), count: each.ended })).sort((one, other) => one.byte - other.byte);
  const kinds = made("failed by", named, ended.slice(NAMED), (each) => each.ended, "other causes");
  for (const each of failures) kinds.names[places.get(each.fingerprint) ?? 0] = causeOf(each);
  kinds.names[0] = "";
  return kinds;
}

/** The workers that ran most children, by their names; `names` are those that the bytes stand for. */
export function runners(workers: Workers, names: string[]): Kinds {
  const counts = new Map(workers.items.map((each) => [each.worker, each.children]));
  const named = names.map((worker, place) => ({ byte: place + 1, name: shown(worker), count: counts.get(worker) ?? 0 }));
  const rest = workers.items.filter((each) => !names.includes(each.worker));
  const kinds = made("last run by", named, rest, (each) => each.children, "other workers");
  const more = kinds.entries.find(({ slot }) => slot === OTHERS);
  if (more) more.count += workers.others;
  else if (workers.others) kinds.entries.push({ slot: OTHERS, name: "other workers", count: workers.others });
  return kinds;
}

/** The workers to tell apart. */
export const chosen = (workers: Workers): string[] => workers.items.slice(0, NAMED).map((each) => each.worker).sort();

function made<T>(title: string, named: { byte: number; name: string; count: number }[], others: T[], number: (each: T) => number, rest: string): Kinds {
  const slots = new Uint8Array(256).fill(OTHERS);
  const names = new Array<string>(256).fill(rest);
  const entries: Entry[] = [];
  slots[0] = NONE;
  names[0] = "";
  for (const [slot, { byte, name, count: children }] of named.entries()) {
    slots[byte] = slot;
    names[byte] = name;
    entries.push({ slot, name, count: children });
  }
  if (others.length) entries.push({ slot: OTHERS, name: `${count(others.length)} ${rest}`, count: others.reduce((sum, each) => sum + number(each), 0) });
  return { title, slots, names, entries };
}

/** How many of some children are of which kind, the most common first. */
export function told(kinds: Kinds, bytes: Uint8Array | null, from: number, to: number): string {
  const counts = new Map<string, number>();
  for (let at = from; at < to; at++) {
    const name = kinds.names[bytes?.[at] ?? 0]!;
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const found = [...counts].sort((one, other) => other[1] - one[1]);
  return found.slice(0, 3).map(([name, number]) => `${count(number)} ${name.slice(0, 80)}`).join(", ") + (found.length > 3 ? " and more" : "");
}

export function KindsKey({ kinds }: { kinds: Kinds }): JSX.Element {
  return (
    <ul class="kinds" aria-label={`Children, ${kinds.title}`}>
      {kinds.entries.map(({ slot, name, count: number }) => (
        <li key={slot}>
          <svg class={`k${slot}`} viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">{SHAPES[slot]!.map(([left, top, right, foot]) => <rect key={`${left} ${top}`} x={left} y={top} width={right - left} height={foot - top} />)}</svg>
          {" "}<span class="name" title={name}>{name}</span> <small>{count(number)}</small>
        </li>
      ))}
      {!kinds.entries.length && <li>no child</li>}
    </ul>
  );
}
