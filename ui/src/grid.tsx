/** The children of a task on a canvas: a byte each, several in a cell where there are many. */
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Arguments, type Child, get, getExact, path } from "./api";
import { useCanvas } from "./canvas";
import { layoutOf, type Layout, paint, type Range, STATE, STOPPING, tally } from "./cells";
import { count, escaped, shown, span } from "./format";
import { abridged } from "./json";
import { type Kinds, KindsKey, told } from "./kinds";
import { STATES, State } from "./parts";
import { go, link } from "./router";

export type { Range };
export type Layer = "state" | "attempts" | "duration" | "failure" | "worker";

/** What a byte of the layer of durations stands for, in milliseconds. */
const duration = (byte: number): number => 2 ** ((byte - 1) / 8);

interface Props {
  id: string; bytes: Uint8Array; version: number; layer: Layer; layerBytes: Uint8Array | null;
  /** What the bytes of the layer stand for, where they are no scale. */
  kinds: Kinds | null;
  /** Whether the server can tell more of a child as it is shown. */
  live: boolean;
  /** Which children are shown; null: all. */
  zoom: Range | null; selected: Range | null; onSelect: (range: Range | null) => void; onZoom: (range: Range) => void;
}

export function Grid({ id, bytes, version, layer, layerBytes, kinds, live, zoom, selected, onSelect, onZoom }: Props): JSX.Element {
  const [cursor, setCursor] = useState<number | null>(null);
  const [asTable, setTable] = useState(false);
  const layout = useRef<Layout>({ columns: 100, rows: 1, cell: 8, each: 1 });
  const [shape, setShape] = useState(layout.current);
  const drag = useRef<number | null>(null);
  const [from, to] = zoom ?? [0, bytes.length];
  const children = to - from;
  const bounds = useMemo(() => kinds ? null : boundsOf(layer, layerBytes, from, to), [layer, layerBytes, kinds, from, to]);
  useLayoutEffect(() => { // what it was on is elsewhere now
    setCursor(null);
    drag.current = null;
  }, [zoom]);
  const ref = useCanvas(
    (width) => {
      const made = layoutOf(children, width);
      if (made.each !== shape.each || made.columns !== shape.columns) setShape(made);
      layout.current = made;
      return layout.current.rows * layout.current.cell + 1;
    },
    (sheet) => paint(sheet, layout.current, bytes, from, children, { bytes: layerBytes, bounds, kinds }, selected, cursor),
    [bytes, version, layer, layerBytes, kinds, from, to, selected, cursor, asTable],
  );
  const at = (event: PointerEvent): number | null => {
    const { columns, cell, each, rows } = layout.current;
    const x = Math.floor(event.offsetX / cell);
    const y = Math.min(rows - 1, Math.floor(event.offsetY / cell));
    if (x < 0 || y < 0 || x >= columns) return null;
    const child = from + (y * columns + x) * each;
    return child < from + children ? child : null;
  };
  const upTo = (child: number): number => Math.min(from + children, child + layout.current.each) - 1;
  const select = (one: number, other: number): void => onSelect([Math.min(one, other), Math.max(upTo(one), upTo(other))]);
  const onDown = (event: PointerEvent): void => {
    const child = at(event);
    drag.current = child;
    setCursor(child);
    if (event.shiftKey && cursor !== null && child !== null) select(cursor, child);
    else onSelect(null);
    ref.current?.setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent): void => {
    const child = at(event);
    if (child === null) return;
    if (drag.current !== null && child !== drag.current) select(drag.current, child);
    if (child !== cursor) setCursor(child);
  };
  const onKey = (event: KeyboardEvent): void => {
    const { columns, each } = layout.current;
    const now = cursor ?? from;
    const step = { ArrowLeft: -each, ArrowRight: each, ArrowUp: -each * columns, ArrowDown: each * columns, Home: -children, End: children }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const last = from + Math.floor((children - 1) / each) * each;
      const next = cursor === null ? from : Math.max(from, Math.min(last, now + step));
      if (event.shiftKey) {
        drag.current ??= now;
        select(drag.current, next);
      } else drag.current = null;
      setCursor(next);
    } else if (event.key === "Enter" && cursor !== null) {
      if (each === 1) go(link("tasks", id, "children", cursor));
      else onZoom([cursor, upTo(cursor) + 1]);
    } else if (event.key === "Escape") {
      onSelect(null);
      drag.current = null;
    } else if (event.key === "t") setTable(!asTable);
  };
  return (
    <div class="grid">
      {asTable && <Ranges bytes={bytes} from={from} to={to} version={version} kinds={kinds} layerBytes={layerBytes} />}
      <div class="sheet" hidden={asTable}>
        <canvas
          ref={ref} tabIndex={0} role="application" aria-describedby="grid-told"
          aria-label={`Grid of ${count(children)} children. Arrow keys move, Shift selects, Enter opens, t shows a table.`}
          onPointerDown={onDown} onPointerMove={onMove} onPointerUp={() => { drag.current = null; }}
          onPointerLeave={() => { if (drag.current === null && document.activeElement !== ref.current) setCursor(null); }}
          onDblClick={() => { if (cursor !== null) { if (layout.current.each === 1) go(link("tasks", id, "children", cursor)); else onZoom([cursor, upTo(cursor) + 1]); } }}
          onKeyDown={onKey}
        />
      </div>
      <Key layer={layer} each={shape.each} columns={shape.columns} bounds={bounds} kinds={kinds} />
      {kinds && <KindsKey kinds={kinds} />}
      <div class="told" id="grid-told">
        <Told id={id} live={live} bytes={bytes} version={version} child={cursor} last={cursor === null ? 0 : upTo(cursor)} layer={layer} layerBytes={layerBytes} kinds={kinds} />
        <button type="button" class="plain" aria-pressed={asTable} onClick={() => setTable(!asTable)}>{asTable ? "as a grid" : "as a table"}</button>
      </div>
    </div>
  );
}

/** What the first and the last colour stand for, or more; null where the colours are those of states. */
function boundsOf(layer: Layer, bytes: Uint8Array | null, from: number, to: number): Range | null {
  if (layer !== "attempts" && layer !== "duration") return null;
  if (layer === "attempts") return [1, 6];
  if (!bytes) return [0, 0];
  let least = 255;
  let most = 1;
  for (let at = from; at < to; at++) {
    const value = bytes[at] ?? 0;
    if (value && value < least) least = value;
    if (value > most) most = value;
  }
  return [Math.min(least, most), most];
}

function Key({ layer, each, columns, bounds, kinds }: { layer: Layer; each: number; columns: number; bounds: Range | null; kinds: Kinds | null }): JSX.Element {
  const rows = `${count(columns * each)} children a row${each > 1 ? `, ${count(each)} a cell` : ""}`;
  const told = (value: number): string => (layer === "attempts" ? String(value) : value ? span(duration(value)) : "?");
  if (kinds) return <p class="key">{rows}{each > 1 ? ", in each their shares" : ""}; {kinds.title}:</p>;
  if (!bounds) return <p class="key">{rows}{each > 1 ? "; in each their shares, those that failed on top" : ""}</p>;
  return (
    <p class="key">
      {rows}; {layer === "attempts" ? "dispatches" : "last attempt"}{each > 1 ? ", the most of a cell" : ""}: {told(bounds[0])}
      {" "}{[0, 1, 2, 3, 4, 5].map((step) => <i key={step} class={`ramp r${step}`} />)}{" "}
      {told(bounds[1])}{layer === "attempts" && " or more"}
    </p>
  );
}

/** What is under the pointer. */
function Told({ id, live, bytes, version, child, last, layer, layerBytes, kinds }: { id: string; live: boolean; bytes: Uint8Array; version: number; child: number | null; last: number; layer: Layer; layerBytes: Uint8Array | null; kinds: Kinds | null }): JSX.Element {
  const [detail, setDetail] = useState<Child | null>(null);
  const single = child !== null && child === last;
  const byte = child === null ? 0 : bytes[child] ?? 0;
  useEffect(() => {
    setDetail(null);
    if (!single || !live) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => void get<Child>(path("tasks", id, "children", child), stop.signal).then(setDetail, () => {}), 120);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [id, live, child, single, byte]);
  const [given, setGiven] = useState<Arguments | null>(null);
  useEffect(() => {
    setGiven(null);
    if (!single) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => void getExact<Arguments>(path("tasks", id, "children", child, "arguments"), stop.signal).then(setGiven, () => {}), 120);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [id, child, single]);
  const counts = useMemo(() => (child === null || single ? [] : tally(bytes, child, last + 1)), [bytes, version, child, last]);
  if (child === null) return <span aria-live="polite">Point at a child, or drag over some.</span>;
  if (!single) {
    const states = counts.map((value, state) => (value ? `${count(value)} ${STATES[state]}` : "")).filter(Boolean).join(", ");
    const of = kinds && told(kinds, layerBytes, child, last + 1);
    return <span aria-live="polite"><b>{count(child)} to {count(last)}</b> {states}{of && `; ${kinds.title} ${of}`}</span>;
  }
  const extra = layer === "duration" && layerBytes?.[child] ? `about ${span(duration(layerBytes[child]!))}` : "";
  const took = detail?.started_at && detail.finished_at ? `${span(Date.parse(detail.finished_at) - Date.parse(detail.started_at))}` : extra;
  const of = !detail && kinds ? kinds.names[layerBytes?.[child] ?? 0] : "";
  return (
    <span aria-live="polite">
      <a href={link("tasks", id, "children", child)}>child {count(child)}</a> <State name={STATES[byte & STATE] ?? "waiting"} />
      {byte & STOPPING ? " told to stop" : ""}{detail && detail.dispatches > 1 ? ` dispatch ${detail.dispatches}` : ""}{took && ` ${took}`}{of && ` ${kinds?.title} ${of}`}
      {detail?.worker && ` on ${shown(detail.worker)}`}{detail?.error_type && <> <b>{shown(detail.error_type)}</b>: {shown(detail.message ?? "")}</>}
      {given && <> <code>{escaped(abridged(given.args, 160))}</code></>}
    </span>
  );
}

const MOST_RANGES = 200;

/** The same as a table of ranges. */
function Ranges({ bytes, from, to, version, kinds, layerBytes }: { bytes: Uint8Array; from: number; to: number; version: number; kinds: Kinds | null; layerBytes: Uint8Array | null }): JSX.Element {
  const [rows, more] = useMemo(() => {
    const found: [number, number, number, string][] = [];
    const named = (child: number): string => kinds?.names[layerBytes?.[child] ?? 0] ?? "";
    for (let at = from; at < to; ) {
      const state = bytes[at]! & STATE;
      const name = named(at);
      let end = at + 1;
      while (end < to && (bytes[end]! & STATE) === state && named(end) === name) end++;
      if (found.length === MOST_RANGES) return [found, true];
      found.push([at, end - 1, state, name]);
      at = end;
    }
    return [found, false];
  }, [bytes, version, from, to, kinds, layerBytes]);
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Children as ranges">
      <table>
        <thead><tr><th scope="col">Children</th><th scope="col" class="n">Number</th><th scope="col">State</th>{kinds && <th scope="col">{kinds.title}</th>}</tr></thead>
        <tbody>{rows.map(([first, last, state, name]) => <tr key={first}><td>{count(first)}{last > first ? ` to ${count(last)}` : ""}</td><td class="n">{count(last - first + 1)}</td><td><State name={STATES[state] ?? "waiting"} /></td>{kinds && <td>{name}</td>}</tr>)}</tbody>
      </table>
      {more && <p class="hint">These are the first {MOST_RANGES} ranges: select fewer children to see the rest.</p>}
    </div>
  );
}
