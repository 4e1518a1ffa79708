/** What goes on. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { get, type Node } from "../api";
import { count, shown, span } from "../format";
import { Panel, Trouble, useLoad, useNow } from "../parts";
import { TaskTable, useTasks } from "./tasks";

interface Scaling { desired_slots: number; runnable: number; work_s: number; target_s: number }

export function OverviewPage(): JSX.Element {
  const tasks = useTasks({ state: "", template: "", label: "", since: "" });
  const now = useNow(5000);
  const scaling = useLoad((signal) => get<Scaling>("/v1/scaling", signal), "", 5000);
  const nodes = useLoad((signal) => get<{ items: Node[]; missing: string }>("/v1/nodes", signal), "", 5000);
  useEffect(() => { document.title = "streamsched"; }, []);
  const active = tasks.items.filter((task) => !["succeeded", "failed", "cancelled", "refused"].includes(task.state));
  const failed = tasks.items.filter((task) => task.state === "failed" || task.state === "refused");
  const others = tasks.items.filter((task) => task.state === "succeeded" || task.state === "cancelled");
  const { data } = scaling;
  const workers = nodes.data?.items.filter((node) => node.role === "worker");
  const slots = workers?.reduce((sum, node) => sum + node.slots, 0) ?? 0;
  const free = workers?.reduce((sum, node) => sum + node.free, 0) ?? 0;
  return (
    <>
      <h1>Overview</h1>
      <Trouble error={tasks.error ?? scaling.error ?? nodes.error} />
      {nodes.data?.missing && <p class="why">{shown(nodes.data.missing)}. <a href="#/nodes">Nodes</a></p>}
      <dl class="figures">
        <div><dt>Slots busy</dt><dd>{workers ? count(slots - free) : "…"}<small>{workers ? ` of ${count(slots)}` : ""}</small></dd></div>
        <div><dt>Children that run or could</dt><dd>{data ? count(data.runnable) : "…"}</dd></div>
        <div><dt>Their work</dt><dd>{data ? span(1000 * data.work_s) : "…"}<small> of one slot</small></dd></div>
        <div><dt>Slots asked for</dt><dd>{data ? count(data.desired_slots) : "…"}<small>{data ? ` for an end in ${span(1000 * data.target_s)}` : ""}</small></dd></div>
      </dl>
      <Panel title="Active" aside={<a href="#/tasks">all tasks</a>}>{active.length ? <TaskTable items={active.slice(0, 20)} now={now} /> : <p class="hint">{tasks.loading ? "loading…" : "No task is active among the latest."}</p>}</Panel>
      <Panel title="Failed lately" aside={<a href="#/tasks?state=failed">all that failed</a>}>{failed.length ? <TaskTable items={failed.slice(0, 10)} now={now} /> : <p class="hint">{tasks.loading ? "loading…" : "None of the latest tasks has failed."}</p>}</Panel>
      {others.length > 0 && <Panel title="Ended lately" aside={<a href="#/tasks?state=succeeded">all that succeeded</a>}><TaskTable items={others.slice(0, 10)} now={now} /></Panel>}
    </>
  );
}
