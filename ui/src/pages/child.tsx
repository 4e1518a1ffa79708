/** A child of a task. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ActionDialog, obstacle } from "../actions";
import { type Answer, type Arguments, type Child, get, getExact, path, query, type Task } from "../api";
import { count, escaped, local, shown, span, word } from "../format";
import { watch } from "../live";
import { Ago, Copy, Panel, State, Trouble, useLoad, useNow, Value } from "../parts";
import { link } from "../router";
import { Attempts } from "./attempts";
import { Output } from "./output";

/** Inputs that are shown. */
const INPUTS = 20;

export function ChildPage({ id, child }: { id: string; child: string }): JSX.Element {
  const now = useNow();
  const [redrive, setRedrive] = useState(false);
  const written = useRef(""); // the position of what was done here
  const found = useLoad(async (signal) => {
    const at_least = written.current;
    const [detail, why, task] = await Promise.all([
      getExact<Child>(path("tasks", id, "children", child) + query({ at_least }), signal), get<Answer>(path("tasks", id, "why") + query({ child, at_least }), signal),
      get<Task>(path("tasks", id) + query({ at_least }), signal),
    ]);
    return { detail, why, task };
  }, `${id} ${child}`);
  const given = useLoad((signal) => getExact<Arguments>(path("tasks", id, "children", child, "arguments"), signal), `${id} ${child}`);
  useEffect(() => { document.title = `${shown(child)} of ${shown(id)} · streamsched`; }, [id, child]);
  useEffect(() => {
    let timer = 0;
    const soon = (): void => { timer ||= setTimeout(() => { timer = 0; found.again(); }, 700); };
    const number = Number(child);
    const leave = watch(`${path("tasks", id)}/events`, (news) => {
      const runs = news.task?.grid;
      const touched = runs?.some(([first, length]) => number >= first && number < first + length);
      const missed = news.task?.full || news.tasks?.full;
      if (touched || missed || news.tasks?.tasks.some((task) => task.task_id === id) || Number.isNaN(number)) soon();
    }, soon);
    return () => { leave(); clearTimeout(timer); };
  }, [id, child]);
  const crumbs = <p class="crumbs"><a href="#/tasks">Tasks</a> / <a href={link("tasks", id)}>{shown(id)}</a></p>;
  if (!found.data) return <>{crumbs}<h1>Child {shown(child)}</h1><Trouble error={found.error} />{found.loading && <p class="hint" role="status">loading…</p>}</>;
  const { detail, why, task } = found.data;
  const number = Number(child);
  const cannot = obstacle("redrive", task) || (Number.isNaN(number) ? "redrive the task" : "");
  const took = detail.started_at ? (detail.finished_at ? Date.parse(detail.finished_at) : now) - Date.parse(detail.started_at) : null;
  const rows: [string, JSX.Element | string][] = [
    ["Attempt", detail.attempt ? String(detail.attempt) : "none yet"], ["Dispatches", String(detail.dispatches)], ["Worker", shown(detail.worker ?? "") || "—"],
    ["Started", detail.started_at ? <>{local(detail.started_at)} <small><Ago at={detail.started_at} now={now} /></small></> : "—"],
    ["Finished", detail.finished_at ? <>{local(detail.finished_at)} <small><Ago at={detail.finished_at} now={now} /></small></> : "—"],
    [detail.finished_at ? "Took" : "Runs for", took === null ? "—" : span(took)], ["Checkpoint", detail.sequence ? `number ${detail.sequence}` : "none"],
  ];
  return (
    <>
      <header class="head">
        <div>
          {crumbs}
          <h1>Child {shown(child)} <State name={detail.state} /></h1>
          <p class={`why w-${detail.state}`}>{shown(why.why)}{why.change && <>: {shown(why.change)}</>}</p>
        </div>
        <div class="actions">
          {number > 0 && <a class="button" href={link("tasks", id, "children", number - 1)}>← {number - 1}</a>}
          {!Number.isNaN(number) && number + 1 < task.children.total && <a class="button" href={link("tasks", id, "children", number + 1)}>{number + 1} →</a>}
          <button type="button" aria-disabled={!!cannot} title={cannot} onClick={() => { if (!cannot) setRedrive(true); }}>Redrive{cannot && <span class="unseen"> ({cannot})</span>}</button>
        </div>
      </header>
      <Trouble error={found.error} />
      <dl class="rows">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      {detail.error_type && (
        <Panel title={`${detail.state === "failed" ? "" : "Last failure: "}${shown(detail.error_type)}`} aside={detail.group && <span>group <code>{shown(detail.group)}</code></span>}>
          <p class="message">{escaped(detail.message ?? "")}</p>
          {detail.traceback && <pre tabIndex={0} aria-label="Traceback">{escaped(detail.traceback)}</pre>}
        </Panel>
      )}
      {detail.state === "succeeded" && <Panel title="Result"><Value value={detail.result} label="Result" /></Panel>}
      <Attempts id={id} child={child} detail={detail} />
      <Panel title="Arguments" aside={given.data && <code>{shown(given.data.runs)}</code>}>
        {given.data ? <Value value={given.data.args} label="Arguments" /> : <Trouble error={given.error} />}
        {given.data && given.data.inputs.length > 0 && <ul aria-label="Inputs">{given.data.inputs.slice(0, INPUTS).map((each, at) => <li key={at}>reads <code>{shown(each.path)}</code>{each.format && `, ${each.format === "topic" ? "offsets" : "bytes"} ${count(each.start)} to ${count(each.end)}`}</li>)}</ul>}
        {given.data && given.data.inputs.length > INPUTS && <p class="hint">and {count(given.data.inputs.length - INPUTS)} more</p>}
      </Panel>
      <Output id={id} child={child} />
      <details><summary>The same from a terminal</summary><Copy label="Commands" text={`streamsched children ${word(id)} ${child}\nstreamsched logs ${word(id)} ${child}`} /></details>
      {redrive && <ActionDialog task={task} wanted={{ kind: "redrive", where: `index=${child}`, all: detail.state === "succeeded", title: `Redrive child ${child}` }} onClose={() => setRedrive(false)} onDone={(position) => { written.current = position; setRedrive(false); found.again(); }} />}
    </>
  );
}
