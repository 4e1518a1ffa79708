/** The list of tasks. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, type Page, query, type Task } from "../api";
import { count, percent, shown, span } from "../format";
import { ALL, watch } from "../live";
import { Ago, onArrows, State, StateBar, Trouble, useNow } from "../parts";
import { link, place, replaceQuery } from "../router";

const STATES = ["requested", "planning", "running", "paused", "failing", "succeeding", "cancelling", "succeeded", "failed", "cancelled", "refused"];
const PAGE = 50;
/** What a page has at most. */
const MOST = 1_000;
interface Filter { state: string; template: string; label: string; since: string }

function filterOf(search: URLSearchParams): Filter {
  return { state: search.get("state") ?? "", template: search.get("template") ?? "", label: search.get("label") ?? "", since: search.get("since") ?? "" };
}

const address = (filter: Filter, limit: number, cursor?: string | null): string =>
  `/v1/tasks${query({ ...filter, label: filter.label.split(/\s+/).filter(Boolean), limit, cursor })}`;

/** How many rows this entry of the browser's history had, as far as one page holds them. */
const rowsBefore = (): number => Math.min(MOST, Number((history.state as { rows?: number } | null)?.rows ?? PAGE));

/** Tasks that meet a filter, kept up to date: those that are listed as messages tell, new ones by loading the first page again.
 * Where it is not told which have changed, all that were listed are loaded again, as far as one page holds them. */
export function useTasks(filter: Filter): { items: Task[]; next: string | null; error: unknown; loading: boolean; more: () => void } {
  const [state, setState] = useState<{ items: Task[]; next: string | null; error: unknown; loading: boolean }>({ items: [], next: null, error: null, loading: true });
  const key = JSON.stringify(filter);
  const latest = useRef(state);
  latest.current = state;
  const stop = useRef(new AbortController());
  const turn = useRef(Promise.resolve());
  const load = useRef(async (_: "first" | "further" | "anew", __: AbortSignal) => {});
  load.current = async (what, signal) => {
    if (signal.aborted) return;
    try {
      const page = await get<Page<Task>>(address(filter, what === "anew" ? rowsBefore() : PAGE, what === "further" ? latest.current.next : null), signal);
      if (what === "further") history.replaceState({ rows: latest.current.items.length + page.items.length }, "");
      setState((before) => {
        if (what === "further") return { ...before, items: [...before.items, ...page.items], next: page.next, error: null, loading: false };
        const rest = what === "first" && before.items.length > PAGE ? before.items.filter((task) => !page.items.some((each) => each.task_id === task.task_id)) : [];
        return { items: [...page.items, ...rest], next: rest.length ? before.next : page.next, error: null, loading: false };
      });
    } catch (error) {
      if (!signal.aborted) setState((before) => ({ ...before, error, loading: false }));
    }
  };
  /** One page after another: one that is loaded again does not take away one that was asked for. */
  const inTurn = (what: "first" | "further" | "anew"): void => {
    const { signal } = stop.current;
    turn.current = turn.current.then(() => load.current(what, signal));
  };
  useEffect(() => {
    setState((before) => ({ ...before, items: [], next: null, loading: true }));
    stop.current = new AbortController();
    inTurn("anew");
    let timer = 0;
    let missed = false;
    const soon = (): void => { timer ||= setTimeout(() => { timer = 0; inTurn(missed ? "anew" : "first"); missed = false; }, 700); };
    const anew = (): void => { missed = true; soon(); };
    const fits = (task: Task): boolean => !filter.state || task.state === filter.state;
    const leave = watch(ALL, (news) => {
      const told = news.tasks;
      if (!told) return;
      const known = new Set(latest.current.items.map((task) => task.task_id));
      if (told.full) anew();
      else if (told.tasks.some((task) => fits(task) && !known.has(task.task_id))) soon();
      const found = new Map(told.tasks.map((task) => [task.task_id, task]));
      setState((before) => ({ ...before, items: before.items.map((task) => ({ ...task, ...found.get(task.task_id) })).filter(fits) }));
    }, anew);
    return () => { leave(); clearTimeout(timer); stop.current.abort(); };
  }, [key]);
  return { ...state, more: () => inTurn("further") };
}

export function TasksPage(): JSX.Element {
  const filter = filterOf(place.value.query);
  const { items, next, error, loading, more } = useTasks(filter);
  const now = useNow(5000);
  useEffect(() => { document.title = "Tasks · streamsched"; }, []);
  const change = (part: Partial<Filter>): void => replaceQuery(query({ ...filter, ...part }));
  const any = Object.values(filter).some(Boolean);
  return (
    <>
      <h1>Tasks</h1>
      <form class="filter" onSubmit={(event) => event.preventDefault()} role="search">
        <label>State
          <select value={filter.state} onChange={(event) => change({ state: event.currentTarget.value })}>
            <option value="">any</option>{STATES.map((state) => <option key={state}>{state}</option>)}
          </select>
        </label>
        <label>Template <input data-search value={filter.template} onChange={(event) => change({ template: event.currentTarget.value.trim() })} placeholder="its whole name" /></label>
        <label>Label <input value={filter.label} onChange={(event) => change({ label: event.currentTarget.value.trim() })} placeholder="team=data" /></label>
        <label>Since <input type="date" value={filter.since} onChange={(event) => change({ since: event.currentTarget.value })} /></label>
        {any && <button type="button" onClick={() => replaceQuery("")}>Clear</button>}
        <span class="spring" />
        <Open />
      </form>
      <Trouble error={error} />
      <TaskTable items={items} now={now} />
      {!items.length && !error && <p class="hint" role="status">{loading ? "loading…" : any ? "No task meets this filter." : <>There are no tasks yet. <a href="#/new">Make one</a>, or: <code>streamsched submit template.yaml</code></>}</p>}
      {next && <p><button type="button" onClick={more}>More</button></p>}
    </>
  );
}

/** Go to a task by its id. */
function Open(): JSX.Element {
  const [id, setId] = useState("");
  return <label>Open <input value={id} placeholder="task id" onInput={(event) => setId(event.currentTarget.value)} onKeyDown={(event) => { if (event.key === "Enter" && id.trim()) location.hash = link("tasks", id.trim()); }} /></label>;
}

export function TaskTable({ items, now }: { items: Task[]; now: number }): JSX.Element | null {
  if (!items.length) return null;
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Tasks">
      <table class="tasks" onKeyDown={onArrows}>
        <thead><tr><th scope="col">Task</th><th scope="col">State</th><th scope="col" class="wide">Children</th><th scope="col" class="n">Ended</th><th scope="col" class="n">Failed</th><th scope="col">Submitted</th><th scope="col">Took, or left</th></tr></thead>
        <tbody>{items.map((task) => {
          const { succeeded, failed, cancelled, total } = task.children;
          const ended = succeeded + failed + cancelled;
          return (
            <tr key={task.task_id}>
              <td><a data-row class="id" href={link("tasks", task.task_id)}>{shown(task.task_id)}</a><br /><small>{shown(task.template)} {Object.entries(task.labels).map(([name, value]) => <span key={name} class="label">{shown(name)}={shown(value)}</span>)}</small></td>
              <td><State name={task.state} /></td>
              <td><StateBar counts={task.children} slim /></td>
              <td class="n">{count(ended)}<small> of {count(total)}<br />{percent(ended, total)}</small></td>
              <td class={failed ? "n bad" : "n"}>{count(failed)}</td>
              <td><Ago at={task.submitted_at} now={now} /><br /><small>{shown(task.submitted_by)}</small></td>
              <td>{task.finished_at && task.started_at ? span(Date.parse(task.finished_at) - Date.parse(task.started_at)) : task.eta ? `${span(Math.max(0, Date.parse(task.eta.at) - now))} left` : "—"}</td>
            </tr>
          );
        })}</tbody>
      </table>
    </div>
  );
}
