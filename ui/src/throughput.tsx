/** How many children end a second. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Lanes } from "./api";
import { type Sheet, useCanvas } from "./canvas";
import { clock } from "./format";
import type { Sample } from "./model";

const TALL = 170;
const LEFT = 44;
const FOOT = 22;
const ROOM = TALL - FOOT - 8;

/** Spans of `step` seconds, each from one of `at` on. */
interface Series { step: number; at: number[]; ended: number[]; failed: number[] }

/** Ends a second: of attempts that the server has seen, and since the page is open of children. */
function throughput(samples: Sample[], lanes: Lanes | null): Series {
  const opened = samples[0]?.at ?? Date.now();
  const ends = (lanes?.items ?? []).flatMap((lane) => lane.items).filter((piece) => piece.finished_at !== null);
  const last = Math.max(samples[samples.length - 1]?.at ?? 0, ...ends.map((piece) => Date.parse(piece.finished_at!)));
  const times = ends.map((piece) => Date.parse(piece.finished_at!)).filter((at) => at < opened);
  const first = Math.min(opened, ...times);
  const moving = samples.length > 1 && samples[samples.length - 1]!.ended > samples[0]!.ended;
  const to = moving ? last : Math.max(...times, first);
  const step = [1, 2, 5, 10, 15, 30, 60].find((each) => (to - first) / 1000 / each <= 120) ?? 60;
  const begin = Math.floor(first / 1000 / step) * step;
  const number = Math.max(1, Math.ceil((to / 1000 - begin) / step));
  const made: Series = { step, at: [], ended: [], failed: [] };
  for (let each = 0; each < number; each++) {
    made.at.push(begin + each * step);
    made.ended.push(0);
    made.failed.push(0);
  }
  const put = (at: number, ended: number, failed: number): void => {
    const place = Math.min(number - 1, Math.floor((at / 1000 - begin) / step));
    if (place < 0) return;
    made.ended[place]! += ended / step;
    made.failed[place]! += failed / step;
  };
  for (const piece of ends) {
    const at = Date.parse(piece.finished_at!);
    if (at < opened) put(at, 1, piece.outcome === "failed" ? 1 : 0);
  }
  for (let each = 1; each < samples.length; each++) put(samples[each]!.at, Math.max(0, samples[each]!.ended - samples[each - 1]!.ended), Math.max(0, samples[each]!.failed - samples[each - 1]!.failed));
  return made;
}

/** A round number of which at most four are below `most`. */
function stepOf(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  return power * ([1, 2, 5, 10].find((each) => each * power * 4 >= most) ?? 10);
}

function paint({ draw, width, colour }: Sheet, { step, at, ended, failed }: Series, most: number, told: number | null): void {
  const [first, long] = [at[0]!, at.length * step];
  const x = (time: number): number => LEFT + ((width - LEFT) * (time - first)) / long;
  const y = (value: number): number => TALL - FOOT - (ROOM * value) / most;
  draw.font = "11px system-ui, sans-serif";
  draw.textBaseline = "middle";
  const by = stepOf(most);
  for (let value = 0; value <= most; value += by) {
    draw.fillStyle = colour("line");
    draw.fillRect(LEFT, Math.round(y(value)), width, 1);
    draw.fillStyle = colour("muted");
    draw.textAlign = "right";
    draw.fillText(String(Number(value.toPrecision(3))), LEFT - 6, y(value));
  }
  const marks = Math.max(1, Math.floor((width - LEFT) / 120));
  draw.textAlign = "left";
  for (let mark = 0; mark < marks; mark++) {
    const time = first + (long * mark) / marks;
    draw.fillStyle = colour("line");
    draw.fillRect(Math.round(x(time)), 8, 1, ROOM + 6);
    draw.fillStyle = colour("muted");
    draw.fillText(clock(1000 * time), x(time) + 2, TALL - FOOT / 2 + 2);
  }
  const trace = (values: number[]): void => {
    draw.beginPath();
    values.forEach((value, place) => {
      draw.lineTo(x(at[place]!), y(value));
      draw.lineTo(x(at[place]! + step), y(value));
    });
  };
  draw.lineWidth = 1.5;
  trace(ended);
  draw.strokeStyle = colour("running");
  draw.stroke();
  draw.lineTo(x(first + long), y(0));
  draw.lineTo(LEFT, y(0));
  draw.fillStyle = colour("wash");
  draw.fill();
  trace(failed);
  draw.strokeStyle = colour("failed");
  draw.setLineDash([4, 3]);
  draw.stroke();
  draw.setLineDash([]);
  if (told === null) return;
  draw.fillStyle = colour("mark");
  draw.fillRect(Math.round(x(at[told]! + step / 2)), 8, 1, ROOM);
}

export function Throughput({ samples, lanes }: { samples: Sample[]; lanes: Lanes | null }): JSX.Element {
  const [pointed, setPointed] = useState<number | null>(null);
  const data = throughput(samples, lanes);
  const most = Math.max(0, ...data.ended);
  const told = pointed === null ? null : Math.min(data.at.length - 1, Math.floor(pointed * data.at.length));
  const ref = useCanvas(() => TALL, (sheet) => { if (most) paint(sheet, data, 1.1 * most, told); }, [samples, lanes, told]);
  const point = (event: PointerEvent): void => {
    const wide = (event.currentTarget as HTMLElement).clientWidth - LEFT;
    setPointed(event.offsetX < LEFT ? null : (event.offsetX - LEFT) / Math.max(1, wide));
  };
  return (
    <div>
      <div class="plot" hidden={!most}><canvas ref={ref} role="img" aria-label={`Ends a second, at most ${most.toFixed(1)}`} onPointerMove={point} onPointerLeave={() => setPointed(null)} /></div>
      <p class="hint" hidden={!!most}>No child has ended since this page was opened, nor as far as the server has seen in the last ten minutes.</p>
      <p class="hint" hidden={!most}>{told === null ? <><i class="swatch line-ended" aria-hidden="true" /> ended a second <i class="swatch line-failed" aria-hidden="true" /> failed a second; before this page was opened attempts, as far as the server has seen them</>
        : <>{clock(1000 * data.at[told]!)}: {data.ended[told]!.toFixed(1)} ended a second, {data.failed[told]!.toFixed(1)} failed</>}</p>
    </div>
  );
}
