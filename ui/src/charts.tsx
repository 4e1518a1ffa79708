/** Durations and worker lanes. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Durations, Lanes, Piece, Spread } from "./api";
import { useCanvas } from "./canvas";
import { clock, count, percent, shown, span } from "./format";
import { go, link } from "./router";

/** How long children ran, and had waited before; each bar is twice as wide in time as the one before it. */
export function Histogram({ durations }: { durations: Durations }): JSX.Element {
  if (!durations.buckets.length) return <p class="hint">No child has ended yet.</p>;
  const { ended, measured, waits } = durations;
  const kinds = ([["ran", durations], ["waited", waits]] as const).filter(([, spread]) => spread.measured > 0);
  const marks = kinds.flatMap(([kind, spread]) => QUANTILES.map((name) => ({ kind, name, value: spread[name] ?? -1 })));
  const counts = kinds.map(([, spread]) => new Map(spread.buckets.map((bucket) => [bucket.from_ms, bucket.count])));
  const most = Math.max(...counts.flatMap((each) => [...each.values()]));
  const all = bucketsOf(kinds.map(([, spread]) => spread));
  const each = Math.ceil(all.length / LABELS);
  return (
    <div class="histogram">
      <table class="quantiles">
        <thead><tr><th scope="col"><span class="unseen">what</span></th>{QUANTILES.map((name) => <th key={name} scope="col" class="n">{name}</th>)}<th scope="col" class="n">longest</th></tr></thead>
        <tbody>{kinds.map(([kind, spread]) => (
          <tr key={kind}><th scope="row"><i class={kind} aria-hidden="true" /> {kind}</th>{[...QUANTILES, "max" as const].map((name) => <td key={name} class="n">{span(spread[name] ?? 0)}</td>)}</tr>
        ))}</tbody>
      </table>
      <div class="bars" role="list" tabIndex={0} aria-label="Children by how long they ran and had waited">
        {all.map(([from, to], at) => {
          const here = kinds.map(([kind], place) => ({ kind, count: counts[place]!.get(from) ?? 0 }));
          const told = `${span(from)} to ${span(to)}: ${here.map(({ kind, count: number }, place) => `${count(number)} ${kind}, ${percent(number, kinds[place]![1].measured)}`).join("; ")}`;
          const named = marks.filter(({ value }) => value >= from && value < to);
          return (
            <div key={from} role="listitem" title={told} aria-label={told}>
              {kinds.map(([kind]) => {
                const names = named.filter((mark) => mark.kind === kind).map(({ name }) => name).join(" ");
                return <b key={kind}>{names && <><i class={kind} /> {names}</>}</b>;
              })}
              <span>{here.map(({ kind, count: number }) => <i key={kind} class={kind} style={{ height: `${number ? Math.max(1.5, (100 * number) / most) : 0}%` }} />)}</span>
              <small>{at % each === 0 && span(from)}</small>
            </div>
          );
        })}
      </div>
      {measured < ended && <p class="hint">{count(measured)} of {count(ended)} were measured, evenly spread.</p>}
      {waits.measured < measured && <p class="hint">How long they waited, from their dispatch to their start, is known of {count(waits.measured)}.</p>}
    </div>
  );
}

const QUANTILES = ["p50", "p90", "p99"] as const;
const LABELS = 12;

/** From the first bucket of any to the last, those between them too. */
function bucketsOf(spreads: Spread[]): [number, number][] {
  const known = spreads.flatMap(({ buckets }) => buckets);
  const last = Math.max(...known.map(({ from_ms }) => from_ms));
  const found: [number, number][] = [];
  for (let from = Math.min(...known.map(({ from_ms }) => from_ms)); from <= last; from = from * 2 || 1) found.push([from, from * 2 || 1]);
  return found;
}

interface Bar { piece: Piece; row: number; begin: number; end: number }
interface Rows { worker: string; first: number; number: number; pieces: Piece[] }

/** Each worker's attempts in rows that do not overlap, as far as there is room; `hidden`: how many attempts have none. */
function packed(lanes: Lanes, now: number): { bars: Bar[]; rows: Rows[]; total: number; hidden: number } {
  const bars: Bar[] = [];
  const rows: Rows[] = [];
  let total = 0;
  let hidden = 0;
  for (const lane of lanes.items) {
    const ends: number[] = [];
    for (const piece of lane.items) {
      const begin = Date.parse(piece.started_at);
      const end = piece.finished_at ? Date.parse(piece.finished_at) : now;
      let row = ends.findIndex((each) => each <= begin + 1);
      if (row < 0) row = ends.length;
      if (row === MOST_OF_ONE || total + row === MOST_ROWS) {
        hidden += 1;
        continue;
      }
      ends[row] = end;
      bars.push({ piece, row: total + row, begin, end });
    }
    if (!ends.length) continue;
    rows.push({ worker: lane.worker, first: total, number: ends.length, pieces: lane.items });
    total += ends.length;
  }
  return { bars, rows, total, hidden };
}

const ROW = 12;
const HEAD = 16;
const MOST_ROWS = 60;
const MOST_OF_ONE = 16;

export function LaneChart({ id, lanes }: { id: string; lanes: Lanes }): JSX.Element {
  const [told, setTold] = useState<Bar | null>(null);
  const made = useRef<{ bars: Bar[]; from: number; to: number }>({ bars: [], from: 0, to: 1 });
  const now = Date.now();
  const { bars, rows, total, hidden } = packed(lanes, now);
  const running = bars.some((bar) => bar.piece.outcome === "running");
  const to = running ? now : Math.max(...bars.map((bar) => bar.end), 1);
  const from = Math.max(Math.min(...bars.map((bar) => bar.begin)), to - 600_000);
  const scale = (width: number, at: number): number => (width * (at - from)) / Math.max(1, to - from);
  const ref = useCanvas(
    () => HEAD + total * ROW + rows.length * 14,
    ({ draw, width, height, colour: of }) => {
      made.current = { bars, from, to };
      draw.font = "11px system-ui, sans-serif";
      draw.textBaseline = "top";
      const steps = Math.max(2, Math.min(8, Math.floor(width / 120)));
      for (let step = 0; step < steps; step++) {
        const at = from + ((to - from) * step) / steps;
        draw.fillStyle = of("line");
        draw.fillRect(scale(width, at), HEAD - 2, 1, height);
        draw.fillStyle = of("muted");
        draw.fillText(clock(at), scale(width, at) + 3, 0);
      }
      for (const [at, lane] of rows.entries()) {
        draw.fillStyle = of("ink");
        draw.fillText(shown(lane.worker || "?").slice(0, 60), 2, HEAD + lane.first * ROW + at * 14 + 1);
      }
      for (const bar of bars) {
        const lane = rows.findIndex((each) => bar.row >= each.first && bar.row < each.first + each.number);
        const y = HEAD + bar.row * ROW + (lane + 1) * 14;
        const x = Math.max(0, scale(width, bar.begin));
        const wide = Math.max(1, scale(width, bar.end) - x - 0.5);
        draw.fillStyle = of(bar.piece.outcome === "running" ? "running" : bar.piece.outcome);
        draw.fillRect(x, y, wide, ROW - 2);
        if (bar.piece.outcome === "failed" && wide > 3) draw.clearRect(x + wide / 2 - 0.5, y, 1, ROW - 2);
        if (bar === told) {
          draw.strokeStyle = of("mark");
          draw.lineWidth = 2;
          draw.strokeRect(x - 1, y - 1, wide + 2, ROW);
        }
      }
    },
    [lanes, told],
  );
  const at = (event: PointerEvent): Bar | null => {
    const width = (event.currentTarget as HTMLElement).clientWidth;
    const time = from + ((to - from) * event.offsetX) / Math.max(1, width);
    const slack = (to - from) / Math.max(1, width);
    return bars.find((bar) => {
      const lane = rows.findIndex((each) => bar.row >= each.first && bar.row < each.first + each.number);
      const y = HEAD + bar.row * ROW + (lane + 1) * 14;
      return event.offsetY >= y - 1 && event.offsetY <= y + ROW && time >= bar.begin - slack && time <= bar.end + slack;
    }) ?? null;
  };
  if (!bars.length) return <p class="hint">No attempt has run in the last ten minutes, as far as this server has seen.</p>;
  return (
    <div class="lanes">
      <div class="sheet">
        <canvas ref={ref} role="img" aria-label={rows.map((lane) => `${shown(lane.worker)}: ${count(lane.pieces.length)} attempts, ${count(lane.pieces.filter((piece) => piece.outcome === "failed").length)} failed`).join("; ")}
          onPointerMove={(event) => setTold(at(event))} onPointerLeave={() => setTold(null)}
          onClick={() => { if (told) go(link("tasks", id, "children", told.piece.child)); }} />
      </div>
      <p class="hint">{told ? <>child {count(told.piece.child)}, attempt {told.piece.attempt}: {told.piece.outcome}, {span(told.end - told.begin)}, from {clock(told.begin)} on</> : rows.map((lane) => `${shown(lane.worker)} ${count(lane.pieces.length)}`).slice(0, 8).join(" · ") + " attempts"}</p>
      {hidden > 0 && <p class="hint">{count(hidden)} of {count(bars.length + hidden)} attempts are not shown: there is room for {MOST_OF_ONE} at once of a worker, and for {MOST_ROWS} of all.{rows.length < lanes.items.length && ` Of ${count(lanes.items.length - rows.length)} workers nothing is shown.`}</p>}
    </div>
  );
}
