/** Schedules, their next times, and what became of past ones. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, may, path, type Schedule, send, type Tick } from "../api";
import { count, local, shown, span, word } from "../format";
import { ALL, watch } from "../live";
import { Parameters } from "../parameters";
import { Ago, Dialog, onArrows, Panel, State, Trouble, useLoad, useNow } from "../parts";
import { link } from "../router";

const MARKS: Record<string, string> = { succeeded: "✓", failed: "✗", cancelled: "–", fired: "▶", redriven: "↻", skipped: "⤼", missed: "!", suppressed: "⤼", dropped: "⤓", waiting: "·" };

/** What became of a time: of its task, if that has ended. */
const fate = (tick: Tick): string => (tick.outcome === "fired" || tick.outcome === "redriven" ? tick.task_outcome ?? tick.outcome : tick.outcome);

function rule(spec: unknown): string {
  if (Array.isArray(spec)) return spec.map(rule).join(", ");
  if (typeof spec !== "object" || spec === null) return String(spec);
  return Object.entries(spec).map(([name, value]) => `${name} ${rule(value)}`).join(", ");
}

function useSchedules(again: () => void): void {
  useEffect(() => {
    let timer = 0;
    const soon = (): void => { timer ||= setTimeout(() => { timer = 0; again(); }, 700); };
    const leave = watch(ALL, (news) => { if (news.tasks && (news.tasks.full || news.tasks.schedules.length || news.tasks.tasks.length)) soon(); }, soon);
    return () => { leave(); clearTimeout(timer); };
  }, []);
}

export function SchedulesPage(): JSX.Element {
  const found = useLoad((signal) => get<{ items: Schedule[] }>("/v1/schedules", signal), "");
  const now = useNow();
  const [version, setVersion] = useState(0);
  useSchedules(() => { found.again(); setVersion((value) => value + 1); });
  useEffect(() => { document.title = "Schedules · streamsched"; }, []);
  const items = found.data?.items ?? [];
  return (
    <>
      <h1>Schedules</h1>
      <Trouble error={found.error} />
      {found.data && !items.length && <p class="hint">There are none. <code>streamsched schedule create schedule.yaml</code> makes one.</p>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Schedules">
          <table onKeyDown={onArrows}>
            <thead><tr><th scope="col">Schedule</th><th scope="col">State</th><th scope="col">Next</th><th scope="col" class="wide">The last times</th><th scope="col" class="n">Running</th></tr></thead>
            <tbody>{items.map((each, at) => (
              <tr key={each.schedule_id}>
                <td><a data-row class="id" href={link("schedules", each.schedule_id)}>{shown(each.schedule_id)}</a><br /><small>{shown(each.template)} · {shown(rule(each.spec).slice(0, 120))}</small></td>
                <td><State name={each.state} /></td>
                <td>{each.next[0] ? <><Ago at={each.next[0]} now={now} /><br /><small>{shown(each.next[0])}</small></> : "none"}</td>
                <td>{at < 30 ? <Strip id={each.schedule_id} last={40} version={version} /> : "…"}</td>
                <td class="n">{count(each.running.length)}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** Decided times in a row, the latest last. */
function Strip({ id, last, version }: { id: string; last: number; version: number }): JSX.Element {
  const found = useLoad((signal) => get<{ items: Tick[] }>(`${path("schedules", id, "ticks")}?limit=${last}`, signal), `${id} ${last}`);
  useEffect(() => { if (version) found.again(); }, [version]);
  if (found.error) return <small>unknown</small>;
  const items = found.data?.items ?? [];
  const told = Object.entries(items.reduce<Record<string, number>>((sum, tick) => ({ ...sum, [fate(tick)]: (sum[fate(tick)] ?? 0) + 1 }), {})).map(([name, number]) => `${number} ${name}`).join(", ");
  return <span class="strip" role="img" aria-label={told || "none yet"}>{items.map((tick) => <i key={`${tick.nominal}${tick.kind}`} class={`t-${fate(tick)}`} title={`${tick.nominal}: ${fate(tick)}${tick.reason && `, ${shown(tick.reason)}`}`}>{MARKS[fate(tick)]}</i>)}</span>;
}

export function SchedulePage({ id }: { id: string }): JSX.Element {
  const now = useNow();
  const found = useLoad((signal) => get<Schedule>(path("schedules", id), signal), id);
  const ticks = useLoad((signal) => get<{ items: Tick[]; more: boolean }>(`${path("schedules", id, "ticks")}?limit=500`, signal), id);
  const [kind, setKind] = useState<"" | "pause" | "resume" | "trigger">("");
  const [picked, setPicked] = useState<Tick | null>(null);
  useSchedules(() => { found.again(); ticks.again(); });
  useEffect(() => { document.title = `${shown(id)} · streamsched`; }, [id]);
  const schedule = found.data;
  const crumbs = <p class="crumbs"><a href="#/schedules">Schedules</a></p>;
  if (!schedule) return <>{crumbs}<h1>{shown(id)}</h1><Trouble error={found.error} /></>;
  const days = new Map<string, Tick[]>();
  for (const tick of ticks.data?.items ?? []) {
    const day = local(tick.nominal).slice(0, 10);
    days.set(day, [...(days.get(day) ?? []), tick]);
  }
  const cannot = may("operator") ? "" : "this needs the role operator";
  const button = (name: "pause" | "resume" | "trigger", title: string): JSX.Element => (
    <button type="button" aria-disabled={!!cannot} title={cannot} onClick={() => { if (!cannot) setKind(name); }}>{title}{cannot && <span class="unseen"> ({cannot})</span>}</button>
  );
  return (
    <>
      <header class="head">
        <div>
          {crumbs}
          <h1>{shown(id)} <State name={schedule.state} /></h1>
          {schedule.note && <p class="why">{shown(schedule.note)}</p>}
          <p class="facts">{shown(rule(schedule.spec).slice(0, 500))} · {shown(schedule.template)}<small>@{shown(schedule.template_version)}</small> · version {schedule.version}, changed <Ago at={schedule.changed_at} now={now} /> by {shown(schedule.changed_by)}</p>
        </div>
        <div class="actions">{schedule.state === "paused" ? button("resume", "Resume") : button("pause", "Pause")}{button("trigger", "Trigger now")}</div>
      </header>
      <Trouble error={found.error ?? ticks.error} />
      <div class="two even">
        <Panel title="Next times" aside={shown(schedule.zone)}>
          {schedule.next.length ? <ol class="times">{schedule.next.map((at) => <li key={at}><code>{shown(at)}</code> <small>in {span(Math.max(0, Date.parse(at) - now))}</small></li>)}</ol> : <p class="hint">None.</p>}
          {schedule.state === "paused" && <p class="hint">It is paused: these will be suppressed.</p>}
        </Panel>
        <Panel title="So far">
          <ul class="legend">{Object.entries(schedule.counts).filter(([, number]) => number).map(([name, number]) => <li key={name}><b>{count(number)}</b> {shown(name)}</li>)}</ul>
          {schedule.running.length > 0 && <p>Runs: {schedule.running.slice(0, 10).map((task, at) => <span key={task}>{at > 0 && ", "}<a href={link("tasks", task)}>{shown(task)}</a></span>)}</p>}
          {schedule.waiting > 0 && <p>{count(schedule.waiting)} wait.</p>}
          {schedule.backfill && <p>Backfill {schedule.backfill.number}, <b>{shown(schedule.backfill.state)}</b>: {Object.entries(schedule.backfill.counts).map(([name, number]) => `${count(number)} ${shown(name)}`).join(", ") || "nothing yet"}</p>}
        </Panel>
      </div>
      <Panel title="Past times" aside={ticks.data?.more ? "the last 500" : ""}>
        {days.size === 0 && <p class="hint">{ticks.loading ? "loading…" : "None yet."}</p>}
        <div class="ledger" onKeyDown={onLedger}>
          {[...days].reverse().slice(0, 60).map(([day, items]) => (
            <div key={day}><time dateTime={day}>{day}</time><span class="strip">{items.map((tick) => (
              <button key={`${tick.nominal}${tick.kind}`} type="button" class={`t-${fate(tick)}`} aria-pressed={picked?.nominal === tick.nominal} aria-label={`${tick.nominal}: ${fate(tick)}`} title={`${tick.nominal}: ${fate(tick)}`} data-row onClick={() => setPicked(tick)} onFocus={() => setPicked(tick)}>{MARKS[fate(tick)]}</button>
            ))}</span></div>
          ))}
        </div>
        <p aria-live="polite">{picked ? <>
          <code>{shown(picked.nominal)}</code> <b>{shown(fate(picked))}</b>{picked.kind !== "tick" && ` (${shown(picked.kind)})`}{picked.reason && <>: {shown(picked.reason)}</>}; decided {local(picked.decided_at)}.
          {picked.task_id && <> <a href={link("tasks", picked.task_id)}>{shown(picked.task_id)}</a></>}
        </> : days.size > 0 && <span class="hint">Choose one to read why.</span>}</p>
      </Panel>
      <Parameters title="Parameters and policy" value={{ params: schedule.params, policy: schedule.policy, spec: schedule.spec }} command={`streamsched schedule show ${word(id)} --json`} />
      {kind && <ScheduleDialog id={id} kind={kind} onClose={() => setKind("")} onDone={() => { setKind(""); found.again(); ticks.again(); }} />}
    </>
  );
}

/** Arrow keys move from time to time, and to the first one of another day. */
function onLedger(event: KeyboardEvent): void {
  const here = document.activeElement!;
  const day = here.closest(".ledger > div");
  const all = [...document.querySelectorAll<HTMLElement>(".ledger button")];
  const next = {
    ArrowLeft: all[all.indexOf(here as HTMLElement) - 1], ArrowRight: all[all.indexOf(here as HTMLElement) + 1],
    ArrowUp: day?.previousElementSibling?.querySelector("button"), ArrowDown: day?.nextElementSibling?.querySelector("button"),
  }[event.key];
  if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  next.focus();
}

function ScheduleDialog({ id, kind, onClose, onDone }: { id: string; kind: "pause" | "resume" | "trigger"; onClose: () => void; onDone: () => void }): JSX.Element {
  const [note, setNote] = useState("");
  const [error, setError] = useState<unknown>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      const { data } = await send<{ task_id: string | null }>("POST", path("schedules", id, kind), kind === "trigger" ? {} : { note });
      onDone();
      if (data.task_id) location.hash = link("tasks", data.task_id);
    } catch (problem) {
      setError(problem);
    }
  };
  const said = { pause: "Its times are suppressed until it is resumed.", resume: "Its next times fire again.", trigger: "A task is made now, beside its times." }[kind];
  return (
    <Dialog title={`${kind[0]!.toUpperCase()}${kind.slice(1)} ${shown(id)}`} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <p>{said}</p>
        {kind !== "trigger" && <label>Note <input value={note} onInput={(event) => setNote(event.currentTarget.value)} /></label>}
        <Trouble error={error} />
        <div class="ends"><button type="button" onClick={onClose}>Not now</button><button type="submit" class="main">{kind}</button></div>
      </form>
    </Dialog>
  );
}
