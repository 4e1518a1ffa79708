/** The children of a task that meet a selector: how many there are, which, and what can be done to all of them. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { obstacle, type Wanted } from "../actions";
import { type Child, get, type Page, path, query, type Task } from "../api";
import { count, shown, span, word } from "../format";
import { Copy, onArrows, State, Trouble, useLoad } from "../parts";
import { link } from "../router";

interface Counted { children: number; states: Record<string, number>; next: string | null }

/** Count children, over as many requests as that takes. */
async function counted(id: string, where: string, signal: AbortSignal): Promise<Counted> {
  const found: Counted = { children: 0, states: {}, next: null };
  do {
    const part = await get<Counted>(path("tasks", id, "count") + query({ where, cursor: found.next }), signal);
    found.children += part.children;
    for (const [state, number] of Object.entries(part.states)) found.states[state] = (found.states[state] ?? 0) + number;
    found.next = part.next;
  } while (found.next !== null);
  return found;
}

/** Children that meet a selector, a page at a time. */
export function ChildList({ id, task, where, onWhere, onWant, known }: { id: string; task: Task; where: string; known: Set<string>; onWhere: (text: string) => void; onWant: (wanted: Wanted) => void }): JSX.Element {
  const [text, setText] = useState(where);
  const [more, setMore] = useState<Child[]>([]);
  const [next, setNext] = useState<string | null>(null);
  useEffect(() => setText(where), [where]);
  const first = useLoad<Page<Child> | null>(async (signal) => {
    setMore([]);
    setNext(null);
    if (!where) return null;
    const page = await get<Page<Child>>(path("tasks", id, "children") + query({ where, limit: 50 }), signal);
    setNext(page.next);
    return page;
  }, `${id} ${where}`);
  const all = useLoad<Counted | null>(async (signal) => (where && first.data ? counted(id, where, signal) : null), `${id} ${where} ${first.data !== null}`);
  const items = [...(first.data?.items ?? []), ...more];
  const load = async (): Promise<void> => {
    const page = await get<Page<Child>>(path("tasks", id, "children") + query({ where, limit: 50, cursor: next }));
    setMore((before) => [...before, ...page.items]);
    setNext(page.next);
  };
  const cannot = obstacle("redrive", task);
  return (
    <section class="panel" id="children" aria-label="List of children">
      <form class="filter" onSubmit={(event) => { event.preventDefault(); onWhere(text.trim()); }}>
        <label for="where">Children where</label>
        <input id="where" class="mono" data-search value={text} spellcheck={false} placeholder="state=failed and index=100..200" onInput={(event) => setText(event.currentTarget.value)} />
        <button type="submit">List</button>
        {where && <button type="button" onClick={() => onWhere("")}>Clear</button>}
        {where && <button type="button" aria-disabled={!!cannot} title={cannot} onClick={() => { if (!cannot) onWant({ kind: "redrive", where }); }}>Redrive these…</button>}
      </form>
      <Trouble error={first.error} />
      {where && first.loading && <p class="hint" role="status">searching…</p>}
      {first.data && <p class="hint" role="status">{all.data ? <Total found={all.data} /> : all.error ? "" : "counting…"}</p>}
      <Trouble error={all.error} />
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Children">
          <table onKeyDown={onArrows}>
            <thead><tr><th scope="col">Child</th><th scope="col">State</th><th scope="col" class="n">Dispatches</th><th scope="col">Worker</th><th scope="col" class="n">Took</th><th scope="col">Error</th></tr></thead>
            <tbody>{items.map((each) => (
              <tr key={each.child}>
                <td><a data-row href={link("tasks", id, "children", each.child)}>{count(each.child)}</a></td><td><State name={each.state} /></td><td class="n">{each.dispatches}</td><td>{shown(each.worker ?? "")}</td>
                <td class="n">{each.started_at && each.finished_at ? span(Date.parse(each.finished_at) - Date.parse(each.started_at)) : ""}</td>
                <td class="message">{each.error_type && <><b>{shown(each.error_type)}</b> {shown(each.message ?? "")}</>}{each.group && !known.has(each.group) && <small> {shown(each.group)}</small>}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {next && <button type="button" onClick={() => void load()}>More</button>}
      {first.data && items.length > 0 && <details><summary>The same from a terminal</summary><Copy label="Command" text={`streamsched children ${word(id)} --where ${word(where)}`} /></details>}
    </section>
  );
}

function Total({ found }: { found: Counted }): JSX.Element {
  if (!found.children) return <>None.</>;
  const states = Object.entries(found.states).map(([state, number]) => `${count(number)} ${state}`).join(", ");
  return <><b>{count(found.children)}</b> {found.children === 1 ? "child" : "children"}: {states}</>;
}
