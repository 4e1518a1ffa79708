/** How the children of a task lie on a canvas, and what each cell looks like: one child, or several with their shares. */
import type { Sheet } from "./canvas";
import { NONE, SHAPES, type Kinds } from "./kinds";
import { STATES } from "./parts";

export const STATE = 0b111;
export const STOPPING = 0b1000;
const SUCCEEDED = 3;
const FAILED = 4;
const TALLEST = 600;
const LEAST = 3;
/** Cells of few children are so wide: enough to be pointed at. */
const WIDEST = 24;
/** How tall cells may make the grid where fewer of them to a row would do, too. */
const LOW = 300;
const COLUMNS = [10, 20, 50, 100];
export type Range = readonly [number, number];

/** How cells lie: `each` children in one, a power of ten. */
export interface Layout { columns: number; rows: number; cell: number; each: number }

/** Lay out few children in wide cells, as many to a row as there is room for; many in rows of a hundred. */
export function layoutOf(children: number, width: number): Layout {
  const cellOf = (columns: number): number => Math.min(WIDEST, Math.max(LEAST, Math.floor(width / columns)));
  const roomy = COLUMNS.filter((columns) => columns * WIDEST <= width).pop() ?? 10;
  const columns = COLUMNS.find((each) => each >= roomy && Math.ceil(children / each) * cellOf(each) <= LOW) ?? 100;
  for (let each = 1; ; each *= 10) {
    const rows = Math.max(1, Math.ceil(children / each / columns));
    const cell = Math.min(cellOf(columns), Math.floor(TALLEST / rows));
    if (cell >= LEAST || each >= 1e9) return { columns, rows, cell: Math.max(1, cell), each };
  }
}

/** How many children there are of each state. */
export function tally(bytes: Uint8Array, from: number, to: number): number[] {
  const found = [0, 0, 0, 0, 0, 0];
  for (let at = from; at < to; at++) found[bytes[at]! & STATE]!++;
  return found;
}

/** How many children there are of each slot, none last. */
function slots(bytes: Uint8Array | null, kinds: Kinds, from: number, to: number): number[] {
  const found = new Array<number>(NONE + 1).fill(0);
  for (let at = from; at < to; at++) found[kinds.slots[bytes?.[at] ?? 0]!]!++;
  return found;
}

/** What cells show beside states: bytes on a scale, or of kinds. */
export interface Shown { bytes: Uint8Array | null; bounds: Range | null; kinds: Kinds | null }

export function paint(sheet: Sheet, layout: Layout, bytes: Uint8Array, from: number, children: number, shown: Shown, selected: Range | null, cursor: number | null): void {
  const { draw, colour } = sheet;
  const { columns, cell, each } = layout;
  const states = STATES.map((name) => colour(name));
  const ramp = [0, 1, 2, 3, 4, 5].map((step) => colour(`r${step}`));
  const none = colour("waiting");
  const colours = [...SHAPES.slice(0, NONE).map((_, slot) => colour(`k${slot}`)), none];
  const gap = cell >= 4 ? 1 : 0;
  const size = cell - gap;
  const cells = Math.ceil(children / each);
  for (let at = 0; at < cells; at++) {
    const x = (at % columns) * cell;
    const y = Math.floor(at / columns) * cell;
    const first = from + at * each;
    const end = Math.min(first + each, from + children);
    if (shown.kinds) {
      if (each === 1) shape(draw, shown.kinds.slots[shown.bytes?.[first] ?? 0]!, x, y, size, colours);
      else shares(draw, slots(shown.bytes, shown.kinds, first, end), x, y, size, colours, end - first);
    } else if (shown.bounds) {
      const [least, last] = shown.bounds;
      let most = 0;
      for (let child = first; child < end; child++) most = Math.max(most, shown.bytes?.[child] ?? 0);
      draw.fillStyle = most ? ramp[Math.min(5, Math.floor(6 * (most - least) / (last - least + 1)))]! : none;
      draw.fillRect(x, y, size, size);
    } else if (each === 1) one(draw, bytes[first]!, x, y, size, states);
    else some(draw, tally(bytes, first, end), x, y, size, states, end - first);
  }
  const mark = colour("mark");
  if (selected) {
    draw.fillStyle = mark;
    draw.globalAlpha = 0.3;
    const [one, other] = [Math.floor((selected[0] - from) / each), Math.floor((selected[1] - from) / each)];
    for (let row = Math.max(0, Math.floor(one / columns)); row <= Math.min(layout.rows - 1, Math.floor(other / columns)); row++) {
      const begin = row === Math.floor(one / columns) ? one % columns : 0;
      const stop = row === Math.floor(other / columns) ? (other % columns) + 1 : columns;
      draw.fillRect(begin * cell, row * cell, (stop - begin) * cell, cell);
    }
    draw.globalAlpha = 1;
  }
  if (cursor !== null && cursor >= from && cursor < from + children) {
    const place = Math.floor((cursor - from) / each);
    draw.strokeStyle = mark;
    draw.lineWidth = 2;
    draw.strokeRect((place % columns) * cell - 1, Math.floor(place / columns) * cell - 1, cell + 1, cell + 1);
  }
}

/** A child: each state has a shape of its own, as far as there is room. */
function one(draw: CanvasRenderingContext2D, byte: number, x: number, y: number, size: number, colours: string[]): void {
  const state = byte & STATE;
  draw.fillStyle = colours[state]!;
  if (size < 5) {
    draw.fillRect(x, y, state === FAILED ? size + 1 : size, state === FAILED ? size + 1 : size);
    return;
  }
  const third = Math.max(1, Math.floor(size / 3));
  if (state === SUCCEEDED) draw.fillRect(x, y, size, size);
  else if (state === FAILED) {
    draw.fillRect(x, y, size, size);
    draw.clearRect(x + Math.floor(size / 2) - (size > 7 ? 1 : 0), y, size > 7 ? 2 : 1, size); // parted
  } else if (state === 2) {
    draw.fillRect(x, y, size, size);
    draw.clearRect(x + third, y + third, size - 2 * third, size - 2 * third); // hollow
  } else if (state === 5) draw.fillRect(x, y + third, size, third); // a bar
  else if (state === 1) draw.fillRect(x, y + size - third, size, third); // a line at its foot
  else {
    const edge = Math.max(1, Math.floor(size / 4));
    draw.fillRect(x + edge, y + edge, size - 2 * edge, size - 2 * edge); // a dot
  }
  if (byte & STOPPING) {
    draw.fillStyle = colours[5]!;
    draw.fillRect(x, y, size, 1);
  }
}

const ORDER = [SUCCEEDED, 5, 2, 1, 0];

/** Children of a cell in proportion, from the bottom; those that failed are seen if there is one. */
function some(draw: CanvasRenderingContext2D, counts: number[], x: number, y: number, size: number, colours: string[], all: number): void {
  let foot = y + size;
  let before = 0;
  for (const state of ORDER) {
    if (!counts[state]) continue;
    before += counts[state]!;
    const top = before === all - counts[FAILED]! ? y : y + size - Math.round((size * before) / all);
    if (top >= foot) continue;
    draw.fillStyle = colours[state]!;
    draw.fillRect(x, top, size, foot - top);
    foot = top;
  }
  if (counts[FAILED]) { // so many of the cell's points, one at least
    const points = Math.max(1, Math.round((size * size * counts[FAILED]!) / all));
    const rows = Math.floor(points / size);
    draw.fillStyle = colours[FAILED]!;
    draw.fillRect(x, y, size, rows);
    draw.fillRect(x, y + rows, points % size, 1);
  }
}

/** A child of a kind, in the shape of its slot as far as there is room. */
function shape(draw: CanvasRenderingContext2D, slot: number, x: number, y: number, size: number, colours: string[]): void {
  draw.fillStyle = colours[slot]!;
  if (size < 6) draw.fillRect(x, y, size, size);
  else {
    const at = (units: number): number => Math.round((size * units) / 12);
    for (const [left, top, right, foot] of SHAPES[slot]!) draw.fillRect(x + at(left), y + at(top), at(right) - at(left), at(foot) - at(top));
  }
}

/** Children of a cell by their kinds, the most common at the bottom; each is seen, as far as there is room. */
function shares(draw: CanvasRenderingContext2D, counts: number[], x: number, y: number, size: number, colours: string[], all: number): void {
  const there = counts.map((number, slot) => ({ number, slot })).filter(({ number, slot }) => number > 0 && slot !== NONE).sort((one, other) => other.number - one.number);
  draw.fillStyle = colours[counts[NONE] ? NONE : there[0]!.slot]!;
  draw.fillRect(x, y, size, size);
  let foot = size;
  for (const { number, slot } of there) {
    const high = Math.min(foot, Math.max(1, Math.round((size * number) / all)));
    foot -= high;
    draw.fillStyle = colours[slot]!;
    draw.fillRect(x, y + foot, size, high);
  }
}
