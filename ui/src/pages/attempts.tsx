/** The attempts at a child, the latest first, as the server finds them in the journal. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Attempt, type Child, lines, path } from "../api";
import { escaped, local, shown, span } from "../format";
import { Panel, State, Trouble, useLoad } from "../parts";

export function Attempts({ id, child, detail }: { id: string; child: string; detail: Child }): JSX.Element {
  const [items, setItems] = useState<Attempt[]>([]);
  const { loading, error } = useLoad(async (signal) => {
    const found: Attempt[] = [];
    await lines<Attempt>(path("tasks", id, "children", child, "attempts"), (each) => { found.push(each); setItems([...found]); }, signal);
    return found.length;
  }, `${detail.dispatches} ${detail.attempt} ${detail.state} ${detail.started_at} ${detail.finished_at}`);
  return (
    <Panel title="Attempts" aside="the latest first">
      <Trouble error={error} />
      {items.length > 0 && (
        <div class="scroll attempts" tabIndex={0} role="group" aria-label="Attempts">
          <table>
            <thead><tr><th scope="col" class="n">Dispatch</th><th scope="col" class="n">Attempt</th><th scope="col">How it ended</th><th scope="col">Worker</th><th scope="col">Started</th><th scope="col" class="n">Took</th><th scope="col" class="n">Checkpoint</th><th scope="col">Why</th></tr></thead>
            <tbody>{items.map((each, at) => (
              <tr key={at}>
                <td class="n">{each.dispatch}</td><td class="n">{each.attempt ?? "—"}</td><td><State name={each.outcome ?? detail.state} /></td><td>{shown(each.worker ?? "") || "—"}</td>
                <td title={`dispatched ${local(each.dispatched_at)}`}>{local(each.started_at)}</td>
                <td class="n">{each.started_at && each.ended_at ? span(Date.parse(each.ended_at) - Date.parse(each.started_at)) : "—"}</td><td class="n">{each.sequence || "—"}</td>
                <td class="message"><Why attempt={each} /></td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {loading ? <p class="hint" role="status">looking in the journal…</p> : !items.length && !error && <p class="hint">None yet.</p>}
    </Panel>
  );
}

function Why({ attempt }: { attempt: Attempt }): JSX.Element {
  const reason = attempt.reason === "error" ? null : attempt.reason;
  const told = [attempt.told && `told to ${attempt.told}`, reason, attempt.error_type ? null : attempt.message].filter(Boolean).join(" · ");
  const error = attempt.error_type && <><b>{shown(attempt.error_type)}</b> {shown(attempt.message ?? "")}</>;
  return (
    <>
      {shown(told)}{told && error && " · "}
      {attempt.traceback ? <details><summary>{error}</summary><pre tabIndex={0} aria-label={`Traceback of dispatch ${attempt.dispatch}`}>{escaped(attempt.traceback)}</pre></details> : error}
    </>
  );
}
