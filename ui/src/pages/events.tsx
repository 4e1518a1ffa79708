/** The events of a task: all from one offset on, which goes back as far as is asked for; in the past up to that. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type HistoryEntry, lines, path, query } from "../api";
import { every } from "../every";
import { count, local, shown } from "../format";
import type { TaskModel } from "../model";
import { Trouble } from "../parts";

const OFTEN = new Set(["ChildCompleted", "ChildrenDispatched", "ChildCheckpointed", "ChildStarted", "ChildProgressed"]);
/** Events that are kept at first, and those that are added at most when somebody reads further back. */
const KEPT = 300;
/** Records that are read at once; where more came meanwhile, the list begins anew with the latest. */
const AT_ONCE = 2_000;

/** What is known: all events from `first` on up to, not including, `next`; at most so many. */
interface Known { entries: HistoryEntry[]; first: number; next: number; most: number }
const NOTHING: Known = { entries: [], first: 0, next: -1, most: KEPT };

const cut = ({ entries, first, next, most }: Known): Known =>
  entries.length > most ? { entries: entries.slice(-most), first: entries[entries.length - most]!.offset, next, most } : { entries, first, next, most };

export function EventLog({ model, onGo }: { model: TaskModel; onGo: (asOf: string) => void }): JSX.Element {
  const [all, setAll] = useState(false);
  const past = model.past.value;
  const until = past && past.offset >= 0 ? past.offset : undefined;
  return (
    <div class="events">
      <label class="check"><input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} /> also each dispatch, checkpoint and success</label>
      {model.complete.value && <Entries key={`${all} ${until}`} model={model} all={all} until={until} onGo={onGo} />}
    </div>
  );
}

function Entries({ model, all, until, onGo }: { model: TaskModel; all: boolean; until: number | undefined; onGo: (asOf: string) => void }): JSX.Element {
  const [known, setKnown] = useState(NOTHING);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const latest = useRef(known);
  const stop = useRef(new AbortController());
  const turn = useRef(Promise.resolve());
  const set = (now: Known): void => setKnown(latest.current = cut(now));

  /** Read from one offset on, to another or the end. */
  const read = async (since: number, before = until): Promise<Known> => {
    let found: Known = { entries: [], first: since, next: since, most: KEPT };
    await lines<HistoryEntry>(path("tasks", model.id, "history") + query({ since, until: before }), (entry) => {
      found.next = entry.offset + 1;
      if (all || !OFTEN.has(String(entry.event))) found.entries.push(entry);
      if (found.entries.length > 2 * KEPT) found = cut(found);
    }, stop.current.signal);
    return cut(found);
  };
  /** Read what came since. */
  const follow = async (): Promise<void> => {
    const { entries, first, next, most } = latest.current;
    const end = until ?? Number(model.position.peek().split(":")[1] ?? 0);
    if (next >= end) return;
    const since = Math.max(next, end - AT_ONCE, 0);
    const found = await read(since);
    const goesOn = since === next && found.first === since;
    set({ entries: goesOn ? [...entries, ...found.entries] : found.entries, first: goesOn ? first : found.first, next: Math.max(end, found.next), most });
  };
  /** Read what is before that, until there is something. */
  const back = async (): Promise<void> => {
    for (let size = AT_ONCE; ; size *= 4) {
      const { entries, first, next, most } = latest.current;
      const found = await read(Math.max(0, first - size), first);
      set({ entries: [...found.entries, ...entries], first: found.first, next, most: most + found.entries.length });
      if (found.entries.length || found.first === 0) return;
    }
  };
  /** One reading after another: each goes on where the former has ended. */
  const inTurn = (work: () => Promise<void>): Promise<void> => turn.current = turn.current.then(work).then(
    () => setError(null),
    (problem: unknown) => { if (!stop.current.signal.aborted) setError(problem); },
  );
  useEffect(() => {
    void inTurn(follow);
    const end = until === undefined ? every(1500, () => inTurn(follow)) : () => {};
    return () => { end(); stop.current.abort(); };
  }, []);
  const further = (): void => {
    setBusy(true);
    void inTurn(back).then(() => setBusy(false));
  };
  return (
    <>
      <Trouble error={error} />
      <div class="scroll low" tabIndex={0} role="group" aria-label="Events">
        <table>
          <thead><tr><th scope="col" class="n">Offset</th><th scope="col">Time</th><th scope="col">Event</th><th scope="col">By</th></tr></thead>
          <tbody>{[...known.entries].reverse().map((each) => (
            <tr key={each.offset}>
              <td class="n">{each.offset}</td><td><button type="button" class="plain" title="the task as it was then" onClick={() => onGo(String(each.offset + 1))}>{local(each.timestamp).slice(11)}</button></td>
              <td><b>{shown(each.event ?? "unreadable")}</b> {typeof each["child"] === "number" && `child ${each["child"]}`} <span class="message">{shown([each["reason"], each["error_type"], each["message"], each.error].filter((text) => typeof text === "string" && text).join(" · ").slice(0, 300))}</span></td>
              <td>{shown(each.by ?? "")}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {known.next >= 0 && <p class="hint row">
        <span>{known.first > 0 ? `From offset ${count(known.first)} on.` : "From the beginning."}</span>
        {known.first > 0 && <button type="button" disabled={busy} onClick={further}>Read further back</button>}
      </p>}
    </>
  );
}
