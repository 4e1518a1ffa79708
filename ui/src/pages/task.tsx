/** A task. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { ActionDialog, Actions, isDone, obstacle, type Wanted } from "../actions";
import { type Failure, query, type Stragglers, type Task } from "../api";
import { Histogram, LaneChart } from "../charts";
import { count, local, percent, rate, shown, span, word } from "../format";
import { Grid, type Layer, type Range } from "../grid";
import { causes, type Kinds, runners } from "../kinds";
import { OF_PAST, rateOf, TaskModel } from "../model";
import { Parameters } from "../parameters";
import { Ago, type ChildState, Legend, Panel, State, StateBar, Trouble, onArrows, useNow } from "../parts";
import { link, place, replaceQuery } from "../router";
import { Throughput } from "../throughput";
import { ChildList } from "./children";
import { Choose } from "./choose";
import { EventLog } from "./events";
import { PastBanner, TimeSlider } from "./past";

export function TaskPage({ id }: { id: string }): JSX.Element {
  const model = useMemo(() => new TaskModel(id), [id]);
  const [wanted, setWanted] = useState<Wanted | null>(null);
  const [selected, setSelected] = useState<Range | null>(null);
  const [zoom, setZoom] = useState<Range | null>(null);
  const where = useSignal(place.value.query.get("where") ?? "");
  const now = useNow();
  const asOf = place.value.query.get("as_of") ?? "";
  useLayoutEffect(() => {
    model.open(asOf);
    setSelected(null);
    setZoom(null);
    return () => model.close();
  }, [model]);
  useEffect(() => { if (asOf !== (model.past.value?.asOf ?? "")) void model.show(asOf); }, [asOf]);
  const task = model.task.value;
  const past = model.past.value;
  const show = (moment: string): void => replaceQuery(query({ as_of: moment, where: where.value }));
  useEffect(() => { // after a while: a selection that is drawn changes often
    const timer = setTimeout(() => replaceQuery(query({ as_of: place.peek().query.get("as_of"), where: where.value })), 500);
    return () => clearTimeout(timer);
  }, [where.value]);
  useEffect(() => { document.title = `${shown(id)} · streamsched`; }, [id]);
  const kinds = useMemo(() => kindsOf(model), [model.layer.value, model.failures.value, model.order.value, model.workers.value]);
  if (!task) return <><PastBanner past={past} onGo={show} />{model.error.value ? <><p class="crumbs"><a href="#/tasks">Tasks</a></p><h1>{shown(id)}</h1><Trouble error={model.error.value} /></> : <p class="hint" role="status">loading {shown(id)}…</p>}</>;
  const select = (range: Range | null): void => {
    setSelected(range);
    if (range) where.value = `index=${range[0]}..${range[1]}`;
    else if (/^index=\d+\.\.\d+$/.test(where.value)) where.value = "";
  };
  const pick = (clause: string): void => {
    where.value = clause;
    document.getElementById("children")?.scrollIntoView({ block: "nearest" });
  };
  const total = model.bytes.value.length;
  const near = zoom && zoom[1] <= total ? zoom : null;
  const hasGroup = new Set(model.failures.value.map((each) => each.fingerprint));
  return (
    <article class="task" data-complete={model.complete.value}>
      <PastBanner past={past} onGo={show} />
      <Head task={task} now={past?.at || now}>{!past && <Actions task={task} onWant={setWanted} />}</Head>
      <Trouble error={model.error.value} />
      <StateBar counts={task.children} />
      <Legend counts={task.children} {...(past ? {} : { onPick: (state: ChildState) => pick(`state=${state === "queued" ? "running" : state}`) })} />
      {model.present.value && <TimeSlider present={model.present.value} past={past} now={now} onGo={show} />}
      <Figures task={task} model={model} now={past?.at || now} />
      <div class="two">
        <Panel title="Children" aside={<Layers model={model} />} class="wide">
          {total > 0 ? (
            <Grid id={id} bytes={model.bytes.value} version={model.version.value} layer={model.layer.value} layerBytes={model.layerBytes.value} kinds={kinds}
              live={!past} zoom={near} selected={selected} onSelect={select} onZoom={(range) => { setZoom(range); select(null); }} />
          ) : <p class="hint">{(task.split === "running" || task.split === "queued") ? "Its children are being found." : "It has no children yet."}</p>}
          <div class="chosen">
            {near && <><span>shown: {count(near[0])} to {count(near[1] - 1)}</span> <button type="button" onClick={() => { setZoom(null); select(null); }}>Show all</button></>}
            {selected && <>
              <span><b>{count(selected[1] - selected[0] + 1)}</b> selected: {count(selected[0])} to {count(selected[1])}</span>
              <button type="button" onClick={() => { setZoom([selected[0], selected[1] + 1]); setSelected(null); }}>Zoom in</button>
              {!past && <button type="button" aria-disabled={!!obstacle("redrive", task)} title={obstacle("redrive", task)} onClick={() => { if (!obstacle("redrive", task)) setWanted({ kind: "redrive", where: where.value }); }}>Redrive these…</button>}
              <button type="button" onClick={() => select(null)}>Clear</button>
            </>}
            {!selected && total > 0 && <Choose window={near ?? [0, total]} onSelect={select} />}
          </div>
        </Panel>
        <Panel title="Failures" aside={model.failures.value.length ? `${count(model.failures.value.length)} ${model.failures.value.length === 1 ? "cause" : "causes"}` : ""}>
          <Failures task={task} items={model.failures.value} now={past?.at || now} live={!past} onShow={(each) => pick(selector(each))}
            onRedrive={(each) => setWanted({ kind: "redrive", where: selector(each), title: `Redrive what failed by ${shown(each.type)}` })} />
        </Panel>
      </div>
      {!past && <><ChildList id={id} task={task} where={where.value} known={hasGroup} onWhere={(text) => { where.value = text; }} onWant={setWanted} />
      <div class="two even">
        <Panel title="Stragglers" aside={model.stragglers.value?.median_ms != null ? `median ${span(model.stragglers.value.median_ms)}` : ""}>
          <StragglerTable id={id} found={model.stragglers.value} />
        </Panel>
        <Panel title="Durations">{model.durations.value ? <Histogram durations={model.durations.value} /> : <p class="hint">…</p>}</Panel>
      </div>
      <Panel title="Workers" aside="the last ten minutes">{model.lanes.value ? <LaneChart id={id} lanes={model.lanes.value} /> : <p class="hint">…</p>}</Panel>
      </>}
      <div class={past ? "" : "two even"}>
        {!past && <Panel title="Throughput"><Throughput samples={model.samples.value} lanes={model.lanes.value} /></Panel>}
        <Panel title="Events" aside={model.position.value && `position ${model.position.value}`}><EventLog model={model} onGo={show} /></Panel>
      </div>
      <Parameters title="Parameters" value={task.params as object} command={`streamsched status ${word(task.task_id)} --json`} />
      {wanted && <ActionDialog task={task} wanted={wanted} onClose={() => setWanted(null)} onDone={(position) => { setWanted(null); void model.reload(position); }} />}
    </article>
  );
}

/** What the bytes of the layer stand for; null where that is a scale, or states. */
function kindsOf(model: TaskModel): Kinds | null {
  const workers = model.workers.value;
  if (model.layer.value === "failure") return causes(model.failures.value, model.order.value);
  return model.layer.value === "worker" ? runners(workers?.all ?? { items: [], others: 0 }, workers?.names ?? []) : null;
}

const quoted = (text: string): string => (/^[^\s|"'=!<>]+$/.test(text) ? text : `"${text.replace(/"/g, "")}"`);

/** The children that failed by this cause for good. */
function selector(group: Failure): string {
  return group.fingerprint === group.type ? `state=failed and error=${quoted(group.type)}` : `state=failed and group=${quoted(group.fingerprint)}`;
}

function Head({ task, now, children }: { task: Task; now: number; children: ComponentChildren }): JSX.Element {
  const limits = Object.entries(task.limits ?? {}).filter(([, value]) => value !== null);
  const labels = Object.entries(task.labels);
  const why = task.why || (task.state === "running" ? "" : task.reason); // while it runs, that is a failure that is tolerated
  return (
    <header class="head">
      <div>
        <p class="crumbs"><a href="#/tasks">Tasks</a> / <a href={`#/tasks?template=${encodeURIComponent(task.template)}`}>{shown(task.template)}</a><small>@{shown(task.template_version)}</small></p>
        <h1>{shown(task.task_id)} <State name={task.state} /></h1>
        {why && <p class={`why w-${task.state}`}>{shown(why)}</p>}
        <p class="facts">
          submitted <Ago at={task.submitted_at} now={now} /> by {shown(task.submitted_by)} <small>({shown(task.origin)})</small>
          {task.started_at && <> · {isDone(task) && task.finished_at ? <>took {span(Date.parse(task.finished_at) - Date.parse(task.started_at))}, ended <Ago at={task.finished_at} now={now} /></> : <>runs for {span(now - Date.parse(task.started_at))}</>}</>}
          {task.redrive > 0 && <> · redrive {task.redrive}</>}
          {task.priority !== 0 && <> · priority {task.priority}</>}
          {task.split && <> · split <State name={task.split} /></>}
          {task.reduce && <> · reduce <State name={task.reduce} /></>}
          {limits.map(([name, value]) => <span key={name}> · {name} <b>{name === "deadline" ? local(String(value)) : shown(value)}</b></span>)}
        </p>
        {labels.length > 0 && <ul class="labels">{labels.map(([name, value]) => <li key={name}><a href={`#/tasks?label=${encodeURIComponent(`${name}=${value}`)}`}>{shown(name)}={shown(value)}</a></li>)}</ul>}
      </div>
      {children}
    </header>
  );
}

function Figures({ task, model, now }: { task: Task; model: TaskModel; now: number }): JSX.Element {
  const { succeeded, failed, cancelled, total, running, queued } = task.children;
  const ended = succeeded + failed + cancelled;
  const done = isDone(task);
  const still = done || model.past.value !== null;
  const eta = task.eta;
  const elapsed = task.started_at ? Math.max(0, (task.finished_at ? Date.parse(task.finished_at) : now) - Date.parse(task.started_at)) : 0;
  return (
    <dl class="figures">
      <div><dt>Ended</dt><dd>{count(ended)}<small> of {count(total)}, {percent(ended, total)}</small></dd></div>
      <div><dt>Failed</dt><dd class={failed ? "bad" : ""}>{count(failed)}<small> {percent(failed, total)}</small></dd></div>
      <div><dt>Running</dt><dd>{count(running)}{queued > 0 && <small> and {count(queued)} queued</small>}</dd></div>
      <div><dt>{still ? "Mean rate" : "Rate"}</dt><dd>{rate(still ? (elapsed ? (1000 * (ended - cancelled)) / elapsed : 0) : rateOf(model, now))}</dd></div>
      <div><dt>{done ? "Took" : still ? "Ran for" : "Left"}</dt><dd>{still ? span(elapsed) : eta ? <>{span(Math.max(0, Date.parse(eta.at) - now))}<small> {span(Math.max(0, Date.parse(eta.earliest) - now))} to {span(Math.max(0, Date.parse(eta.latest) - now))}</small></> : "unknown"}</dd></div>
    </dl>
  );
}

const LAYERS: Layer[] = ["state", "attempts", "duration", "failure", "worker"];

function Layers({ model }: { model: TaskModel }): JSX.Element {
  return (
    <fieldset class="choice"><legend class="unseen">Colour by</legend>
      {(model.past.value ? OF_PAST : LAYERS).map((layer) => (
        <label key={layer}><input type="radio" name="layer" checked={model.layer.value === layer} onChange={() => void model.setLayer(layer)} /><span>{layer === "failure" ? "cause of failure" : layer}</span></label>
      ))}
    </fieldset>
  );
}

function Failures({ task, items, now, live, onShow, onRedrive }: { task: Task; items: Failure[]; now: number; live: boolean; onShow: (group: Failure) => void; onRedrive: (group: Failure) => void }): JSX.Element {
  if (!items.length) return <p class="hint">No attempt has failed.</p>;
  const all = items.reduce((sum, each) => sum + each.count, 0);
  const cannot = obstacle("redrive", task);
  return (
    <ol class="failures">
      {items.map((each) => (
        <li key={each.fingerprint}>
          <div class="share" aria-hidden="true"><i style={{ width: `${Math.max(1, (100 * each.count) / all)}%` }} /></div>
          <h3>{shown(each.type)} <small>{percent(each.count, all)} of failed attempts</small></h3>
          <p class="message">{shown(each.message)}</p>
          <p class="hint">
            <b>{count(each.count)}</b> {each.count === 1 ? "attempt" : "attempts"}, <b>{count(each.ended)}</b> {each.ended === 1 ? "child" : "children"} failed for good; first <Ago at={each.first_at} now={now} />, last <Ago at={each.last_at} now={now} />.
            {" "}Such as {each.samples.map((child, at) => <span key={child}>{at > 0 && ", "}<a href={link("tasks", task.task_id, "children", child)}>{shown(String(child))}</a></span>)}
          </p>
          {live && each.fingerprint !== "other" && each.ended > 0 && (
            <p class="row">
              <button type="button" onClick={() => onShow(each)}>List</button>
              <button type="button" aria-disabled={!!cannot} title={cannot} onClick={() => { if (!cannot) onRedrive(each); }}>Redrive this group…{cannot && <span class="unseen"> ({cannot})</span>}</button>
            </p>
          )}
        </li>
      ))}
    </ol>
  );
}

function StragglerTable({ id, found }: { id: string; found: Stragglers | null }): JSX.Element {
  if (!found) return <p class="hint">…</p>;
  if (!found.items.length) return <p class="hint">Nothing runs.</p>;
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Stragglers">
      <table onKeyDown={onArrows}>
        <thead><tr><th scope="col">Child</th><th scope="col">Worker</th><th scope="col" class="n">Runs for</th><th scope="col" class="n">of median</th><th scope="col">Progress</th><th scope="col">ETA</th></tr></thead>
        <tbody>{found.items.map((each) => (
          <tr key={each.child}>
            <td><a data-row href={link("tasks", id, "children", each.child)}>{count(each.child)}</a>{each.attempt > 1 && <small> attempt {each.attempt}</small>}</td>
            <td>{shown(each.worker ?? "")}</td><td class="n">{span(each.elapsed_ms)}</td><td class="n">{each.times_median === null ? "—" : `${each.times_median.toFixed(1)}×`}</td>
            <td>{each.progress === null ? "—" : <><progress max={1} value={each.progress} aria-label={`child ${each.child}`} /> {Math.floor(100 * each.progress)} %</>}</td>
            <td>{each.eta === null ? "—" : local(each.eta).slice(11)}</td>
          </tr>
        ))}</tbody>
      </table>
      {found.running > found.items.length && <p class="hint">The longest {found.items.length} of {count(found.running)} that run.</p>}
    </div>
  );
}
