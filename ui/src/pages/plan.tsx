/** What a task would be, before it is requested. */
import type { JSX } from "preact";
import { ask } from "../api";
import { count, escaped, shown } from "../format";
import { abridged, exact, json } from "../json";
import { Panel, Trouble, useLoad } from "../parts";

interface TaskPlan {
  children: number | null; stages: { stage: string; count: number | null; runs: string }[];
  shown: { child: number; args: unknown }[];
}
const REST_MS = 300;

/** `body` is what would be sent there; null: it is not complete. */
export function PlanPreview({ method, address, body }: { method: string; address: string; body: object | null }): JSX.Element | null {
  const { data, error, loading } = useLoad<TaskPlan | null>(async (signal) => {
    if (!body) return null;
    await new Promise((done) => { setTimeout(done, REST_MS); });
    if (signal.aborted) return null;
    return exact(await (await ask(address, { method, body: { ...body, dry_run: true }, signal })).text()) as TaskPlan;
  }, `${method} ${address} ${json(body)}`);
  if (!body) return null;
  return (
    <Panel title="What it would be" aside={data && (data.children === null ? "its children are found once it runs" : `${count(data.children)} ${data.children === 1 ? "child" : "children"}`)}>
      <Trouble error={error} />
      {loading && !data && <p class="hint" role="status">planning…</p>}
      {data && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Stages and children">
          <table>
            <thead><tr><th scope="col">Stage</th><th scope="col" class="n">Children</th><th scope="col">Runs</th></tr></thead>
            <tbody>{data.stages.map((each) => <tr key={each.stage}><td>{each.stage}</td><td class="n">{each.count === null ? "—" : count(each.count)}</td><td><code>{shown(each.runs)}</code></td></tr>)}</tbody>
          </table>
          {data.shown.length > 0 && (
            <table>
              <thead><tr><th scope="col" class="n">Child</th><th scope="col">Arguments</th></tr></thead>
              <tbody>{data.shown.map(({ child, args }, at) => <>
                {at > 0 && child > data.shown[at - 1]!.child + 1 && <tr key="gap"><td class="n">…</td><td /></tr>}
                <tr key={child}><td class="n">{count(child)}</td><td class="message">{escaped(abridged(args, 500))}</td></tr>
              </>)}</tbody>
            </table>
          )}
        </div>
      )}
    </Panel>
  );
}
