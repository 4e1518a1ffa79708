/** The nodes that run, and this server. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { get, type Node } from "../api";
import { count, shown, span } from "../format";
import { Hint, Panel, State, Trouble, useLoad } from "../parts";
import { link } from "../router";

interface Health { status: string; version: string; age_s: number; trouble: string; position: string }

export function NodesPage(): JSX.Element {
  const nodes = useLoad((signal) => get<{ items: Node[]; missing: string }>("/v1/nodes", signal), "", 3000);
  const server = useLoad((signal) => get<Health>("/readyz", signal), "", 3000);
  useEffect(() => { document.title = "Nodes · streamsched"; }, []);
  const items = nodes.data?.items ?? [];
  const positions = server.data?.position.split(",").filter(Boolean) ?? [];
  return (
    <>
      <h1>Nodes</h1>
      <Trouble error={nodes.error} />
      {nodes.data?.missing && <p class="why">{shown(nodes.data.missing)}</p>}
      {nodes.data && !items.length && <Hint>No node runs. <code>streamsched up</code> starts a scheduler and a worker on this machine.</Hint>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Nodes">
          <table>
            <thead><tr><th scope="col">Node</th><th scope="col">Role</th><th scope="col">State</th><th scope="col" class="n">Slots</th><th scope="col">Queues</th><th scope="col">Runs</th><th scope="col" class="n">Partitions</th><th scope="col" class="n">Loop</th><th scope="col" class="n">Beat</th><th scope="col">Version</th></tr></thead>
            <tbody>{items.map((node) => (
              <tr key={node.node_id}>
                <th scope="row">{shown(node.name)}<br /><small>{shown(node.node_id)}</small></th><td>{shown(node.role)}</td><td><State name={node.state} /></td>
                <td class="n">{node.role === "worker" ? <>{node.slots - node.free}<small> of {node.slots} busy</small></> : "—"}{node.pending > 0 && <small><br />{count(node.pending)} pending</small>}</td>
                <td>{node.queues.map((queue) => (queue === "*" ? "any" : shown(queue))).join(" ")} {Object.entries(node.labels).filter(([name]) => name !== "*").map(([name, value]) => <span key={name} class="label">{shown(name)}={shown(value)}</span>)}</td>
                <td>{node.running.slice(0, 8).map((run) => (
                  <div key={`${run.task_id}/${run.child}`}><a href={link("tasks", run.task_id, "children", run.child)}>{shown(run.task_id)} {run.child}</a>{run.done !== null && run.total ? <small> {Math.floor((100 * run.done) / run.total)} %</small> : ""}</div>
                ))}{node.running.length > 8 && <small>and {node.running.length - 8} more</small>}</td>
                <td class="n">{node.partitions.length}</td><td class={node.loop_age > 10_000 ? "n bad" : "n"}>{span(node.loop_age)}</td><td class={node.age_ms > 15_000 ? "n bad" : "n"}>{span(node.age_ms)} ago</td><td>{shown(node.version)}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      <Panel title="This server" aside={server.data && <>version {shown(server.data.version)}</>}>
        <Trouble error={server.error} />
        {server.data && <>
          <p>{server.data.trouble ? <b>{shown(server.data.trouble)}</b> : "The log answers"}; it answered {span(1000 * server.data.age_s)} ago.</p>
          <p class="hint">Folded up to, by partition: <code>{positions.length ? positions.map(shown).join(" ") : "the beginning"}</code></p>
        </>}
      </Panel>
    </>
  );
}
