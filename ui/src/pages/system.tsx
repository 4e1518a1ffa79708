/** Positions and lag of each partition, what holds its readers back, and versions. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { get } from "../api";
import { count, shown, span } from "../format";
import { Ago, Copy, Hint, Panel, Trouble, useLoad, useNow } from "../parts";

interface Position {
  partition: number; end: number | null; stable: number | null; committed: number | null; lag: number | null; owner: string | null;
}
interface JournalPosition extends Position { folded: number; folded_lag: number | null; folded_at: number | null; halted: string }
interface Place { topic: string; partition: number; position: number }
interface System {
  where: string; prefix: string; version: string; nodes: { node_id: string; name: string; role: string; version: string }[];
  journal: JournalPosition[]; work_log: Position[]; held: (Place & { held_ms: number })[];
  hanging: (Place & { producer_id: number; detail: string; command: string })[]; unknown: string[]; age_ms: number | null; trouble: string;
}
/** The lag of a full bar, at least; what is below a hundredth of one has none, as of a partition at rest. */
const LEAST = 1000;
const told = (value: number | null): string => (value === null ? "—" : count(value));

export function SystemPage(): JSX.Element {
  const { data, error } = useLoad((signal) => get<System>("/v1/system", signal), "", 3000);
  useEffect(() => { document.title = "System · streamsched"; }, []);
  return (
    <>
      <h1>System</h1>
      <Trouble error={error} />
      {data ? <Found data={data} /> : !error && <Hint>loading…</Hint>}
    </>
  );
}

function Found({ data }: { data: System }): JSX.Element {
  const versions = byVersion(data);
  const halted = data.journal.filter((each) => each.halted);
  return (
    <>
      <p class="facts">{shown(data.where)}, prefix <code>{shown(data.prefix)}</code></p>
      {data.trouble && <p class="why w-failed"><b>{shown(data.trouble)}</b>. {data.age_ms === null ? "Positions of the log are not known yet." : <>What the log says here is {span(data.age_ms)} old.</>}</p>}
      {halted.map((each) => <p key={each.partition} class="why w-failed">{shown(each.halted)}</p>)}
      {versions.length > 1 && <p class="why w-paused"><b>Versions differ</b>: {versions.map(([version, names]) => `${shown(version)} (${count(names.length)})`).join(", ")}.</p>}
      <dl class="figures">
        <div><dt>Schedulers, lag</dt><dd>{told(sum(data.journal.map((each) => each.lag)))}</dd></div>
        <div><dt>Workers, lag</dt><dd>{told(sum(data.work_log.map((each) => each.lag)))}</dd></div>
        <div><dt>This server, not folded</dt><dd>{told(sum(data.journal.map((each) => each.folded_lag)))}</dd></div>
        <div><dt>Transactions that hang</dt><dd class={data.hanging.length ? "bad" : ""}>{data.age_ms === null ? "—" : count(data.hanging.length)}</dd></div>
        <div><dt>Versions</dt><dd>{count(versions.length)}</dd></div>
      </dl>
      {data.unknown.length > 0 && <Panel title="Not known"><ul>{data.unknown.map((each) => <li key={each}>{shown(each)}</li>)}</ul></Panel>}
      <Transactions data={data} />
      <Partitions title="Journal" topic={`${data.prefix}.events`} items={data.journal} data={data} />
      <Partitions title="Work log" topic={`${data.prefix}.children`} items={data.work_log} data={data} />
      <Panel title="Versions">
        <ul>{versions.map(([version, names]) => (
          <li key={version}><b>{shown(version)}</b>: {names.slice(0, 8).map(shown).join(", ")}{names.length > 8 && ` and ${count(names.length - 8)} more`}</li>
        ))}</ul>
      </Panel>
    </>
  );
}

/** Those that readers wait for: a scheduler ends those that hang, others end when their writers do. */
function Transactions({ data }: { data: System }): JSX.Element | null {
  const commands = [...new Set(data.hanging.map((each) => each.command).filter(Boolean))];
  const hangs = new Set(data.hanging.map(placeOf));
  if (!data.held.length && !data.hanging.length) return null;
  return (
    <Panel title="Transactions that readers wait for">
      <ul>
        {data.hanging.map((each) => <li key={`${placeOf(each)} ${each.producer_id}`}><b class="bad">It hangs</b>: {shown(each.detail)}.{!each.command && " Kafka no longer knows how it was decided."}</li>)}
        {data.held.filter((each) => !hangs.has(placeOf(each))).map((each) => <li key={placeOf(each)}>{shown(each.topic)}-{each.partition} at {count(each.position)}: open for {span(each.held_ms)}</li>)}
      </ul>
      {commands.length > 0 && <Hint>A scheduler ends one that hangs within seconds, if it may. This does it by hand:</Hint>}
      {commands.map((each) => <Copy key={each} text={each} label="Command" />)}
    </Panel>
  );
}

function Partitions({ title, topic, items, data }: { title: string; topic: string; items: (Position | JournalPosition)[]; data: System }): JSX.Element {
  const now = useNow(5000);
  const most = Math.max(LEAST, ...items.map((each) => each.lag ?? 0));
  const held = new Map(data.held.map((each) => [`${each.topic}-${each.partition}`, each]));
  const works = items.some((each) => each.owner !== null);
  const folds = items.some((each) => "folded" in each);
  return (
    <Panel title={title} aside={<><code>{shown(topic)}</code>, {count(items.length)} partitions</>}>
      <div class="scroll" tabIndex={0} role="group" aria-label={`Partitions, ${title}`}>
        <table>
          <thead><tr>
            <th scope="col" class="n">Partition</th><th scope="col" class="n">End</th><th scope="col" class="n">Committed</th><th scope="col" class="n">Lag</th><th scope="col"><span class="unseen">Lag, compared</span></th>
            {folds && <><th scope="col" class="n">Folded here</th><th scope="col">Last record</th></>}<th scope="col">Owner</th>
          </tr></thead>
          <tbody>{items.map((each) => {
            const waits = held.get(`${topic}-${each.partition}`);
            return (
              <tr key={each.partition}>
                <th scope="row" class="n">{each.partition}</th>
                <td class="n">{told(each.end)}{waits && <small class="bad"><br />readers wait at {count(waits.position)}, {span(waits.held_ms)}</small>}</td>
                <td class="n">{told(each.committed)}</td><td class="n">{told(each.lag)}</td>
                <td>{each.lag && 100 * each.lag >= most ? <progress aria-hidden="true" max={most} value={each.lag} /> : ""}</td>
                {"folded" in each && <><td class="n">{count(each.folded)}{each.folded_lag ? <small><br />{count(each.folded_lag)} behind</small> : ""}</td><td><Ago at={each.folded_at} now={now} /></td></>}
                <td>{each.owner !== null ? shown(each.owner) : works ? <span class="bad">nobody</span> : "—"}</td>
              </tr>
            );
          })}</tbody>
        </table>
      </div>
    </Panel>
  );
}

const placeOf = (each: Place): string => `${each.topic}-${each.partition}:${each.position}`;

/** The sum of what is known; null where nothing is. */
function sum(values: (number | null)[]): number | null {
  const known = values.filter((each) => each !== null);
  return known.length ? known.reduce((all, each) => all + each, 0) : null;
}

/** Who runs which version: this server, and the nodes. */
function byVersion(data: System): [string, string[]][] {
  const found = new Map<string, string[]>([[data.version, ["this server"]]]);
  for (const node of data.nodes) found.set(node.version, [...(found.get(node.version) ?? []), `${node.role} ${node.name}`]);
  return [...found];
}
