/** The past of a task: a slider over its life, and a banner that says which moment is shown. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Task } from "../api";
import { count, local } from "../format";
import type { Past } from "../model";

const STEPS = 1_000;
/** How long the slider has to rest. */
const REST_MS = 200;

/** The moment that is shown: the one that was asked for, or that of the last event before an offset; 0: not known yet. */
const momentOf = (past: Past | null): number => (past && !/^\d+$/.test(past.asOf) && Date.parse(past.asOf)) || past?.at || 0;

interface Props { past: Past | null; onGo: (asOf: string) => void }

export function PastBanner({ past, onGo }: Props): JSX.Element | null {
  if (!past) return null;
  const moment = momentOf(past);
  return (
    <div class="banner past row">
      <span role="status">The task as it was{moment > 0 && ` at ${local(moment)}`}{past.folding ? `: ${past.folding}` : `, before offset ${count(past.offset)}`}</span>
      <button type="button" onClick={() => onGo("")}>Back to now</button>
    </div>
  );
}

export function TimeSlider({ present, past, now, onGo }: Props & { present: Task; now: number }): JSX.Element {
  const [held, setHeld] = useState<number | null>(null);
  const timer = useRef(0);
  useEffect(() => { if (!past?.folding) setHeld(null); }, [past]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const begin = Date.parse(present.submitted_at);
  const life = Math.max(1, (present.finished_at ? Date.parse(present.finished_at) : now) - begin);
  const shown = momentOf(past);
  const at = held ?? (shown ? Math.max(0, Math.min(STEPS, Math.round((STEPS * (shown - begin)) / life))) : STEPS);
  const moment = (step: number): number => begin + Math.round((life * step) / STEPS);
  const told = held === null && shown ? local(shown) : at === STEPS ? "now" : local(moment(at));
  const slide = (step: number): void => {
    setHeld(step);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onGo(step === STEPS ? "" : new Date(moment(step)).toISOString()), REST_MS);
  };
  return (
    <label class="slider">
      <span>As of</span>
      <input type="range" min={0} max={STEPS} value={at} aria-valuetext={told} onInput={(event) => slide(Number(event.currentTarget.value))} />
      <span class="n">{told}</span>
    </label>
  );
}
