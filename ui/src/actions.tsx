/** What operators do to a task: each is asked about first, with the number of children that it concerns. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { may, path, type Preview, send, type Task } from "./api";
import { count, shown } from "./format";
import { Dialog, Trouble } from "./parts";

type Kind = "pause" | "resume" | "cancel" | "terminate" | "redrive" | "limits";
export interface Wanted { kind: Kind; where?: string; all?: boolean; title?: string }
const DONE = ["succeeded", "failed", "cancelled", "refused"];
export const isDone = (task: Task): boolean => DONE.includes(task.state);
const SAID: Record<Kind, [string, string]> = {
  pause: ["Pause", "No more children are dispatched; those that run finish."],
  resume: ["Resume", "Children are dispatched again."],
  cancel: ["Cancel", "Children that run are told to stop at their next checkpoint; the others do not run any more."],
  terminate: ["Terminate", "Children that run are killed without a moment to stop; the others do not run any more."],
  redrive: ["Redrive", "Children that did not succeed run again."],
  limits: ["Limits", "Limits that are left empty are none."],
};

/** Why an action cannot be done now; empty if it can. */
export function obstacle(kind: Kind, task: Task): string {
  if (!may("operator")) return "this needs the role operator";
  if (kind === "redrive") return isDone(task) ? "" : "it can be redriven once it has ended";
  if (isDone(task)) return "it has ended";
  if (kind === "resume" && task.state !== "paused") return "it is not paused";
  if (kind === "pause" && task.state === "paused") return "it is paused";
  return "";
}

export function Actions({ task, onWant }: { task: Task; onWant: (wanted: Wanted) => void }): JSX.Element {
  const kinds: Kind[] = [task.state === "paused" ? "resume" : "pause", "limits", "redrive", "cancel", "terminate"];
  return (
    <div class="actions" role="group" aria-label="Actions">
      {kinds.map((kind) => {
        const why = obstacle(kind, task);
        return <button key={kind} type="button" class={kind === "cancel" || kind === "terminate" ? "grave" : ""} aria-disabled={!!why} title={why || SAID[kind][1]} onClick={() => { if (!why) onWant({ kind }); }}>{SAID[kind][0]}{why && <span class="unseen"> ({why})</span>}</button>;
      })}
    </div>
  );
}

interface Props { task: Task; wanted: Wanted; onClose: () => void; onDone: (position: string) => void }

export function ActionDialog(props: Props): JSX.Element {
  return props.wanted.kind === "limits" ? <LimitsDialog {...props} /> : <PlainDialog {...props} />;
}

function PlainDialog({ task, wanted, onClose, onDone }: Props): JSX.Element {
  const { kind } = wanted;
  const [where, setWhere] = useState(wanted.where ?? "");
  const [reason, setReason] = useState("");
  const [now, setNow] = useState(false);
  const [all, setAll] = useState(wanted.all ?? false);
  const [restart, setRestart] = useState(false);
  const [preview, setPreview] = useState<Preview | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const redrives = kind === "redrive";
  const address = path("tasks", task.task_id, kind);
  const selection = redrives ? { ...(where.trim() ? { where: where.trim() } : {}), all } : {};
  useEffect(() => {
    let current = true;
    setPreview(null);
    setError(null);
    const timer = setTimeout(() => {
      send<Preview>("POST", address, { ...selection, dry_run: true }).then(
        ({ data }) => { if (current) setPreview(data); },
        (problem: unknown) => { if (current) setError(problem); },
      );
    }, where === (wanted.where ?? "") ? 0 : 300);
    return () => { current = false; clearTimeout(timer); };
  }, [where, all]);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || !preview) return;
    setBusy(true);
    setError(null);
    try {
      const body = { reason, ...selection, ...(kind === "pause" ? { now } : {}), ...(redrives && restart ? { restart } : {}) };
      const { position } = await send<unknown>("POST", address, body);
      onDone(position);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={wanted.title ?? `${SAID[kind][0]} ${shown(task.task_id)}`} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <p>{SAID[kind][1]}</p>
        {redrives && (
          <label>Which children <small>a selector, such as <code>state=failed and error=KeyError</code>; empty: all that did not succeed</small>
            <input class="mono" value={where} spellcheck={false} onInput={(event) => setWhere(event.currentTarget.value)} />
          </label>
        )}
        {redrives && <label class="check"><input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} /> also those that succeeded</label>}
        {redrives && <label class="check"><input type="checkbox" checked={restart} onChange={(event) => setRestart(event.currentTarget.checked)} /> from their beginning, not from their last checkpoints</label>}
        {kind === "pause" && <label class="check"><input type="checkbox" checked={now} onChange={(event) => setNow(event.currentTarget.checked)} /> now: running children stop at their next checkpoint</label>}
        <label>Reason <small>kept in the history</small><input value={reason} maxLength={2000} onInput={(event) => setReason(event.currentTarget.value)} /></label>
        <p class="preview" role="status">{preview ? <Concerns preview={preview} verb={redrives ? "runs again" : "is concerned"} plural={redrives ? "run again" : "are concerned"} /> : error ? "" : "counting…"}</p>
        <Trouble error={error} />
        <div class="ends">
          <button type="button" onClick={onClose}>Not now</button>
          <button type="submit" class={kind === "cancel" || kind === "terminate" ? "grave main" : "main"} disabled={busy || !preview || (redrives && preview.children === 0)}>
            {SAID[kind][0]}{redrives && preview ? ` ${count(preview.children)}` : ""}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Concerns({ preview, verb, plural }: { preview: Preview; verb: string; plural: string }): JSX.Element {
  const states = Object.entries(preview.states).map(([state, number]) => `${count(number)} ${state}`).join(", ");
  return <><b>{count(preview.children)}</b> {preview.children === 1 ? `child ${verb}` : `children ${plural}`}{states && `: ${states}`}.</>;
}

const NAMES = ["parallelism", "rate", "tolerate", "weight", "deadline"] as const;
const HELP: Record<string, string> = {
  parallelism: "children dispatched and not ended at once", rate: "dispatches in a time, as 100/s or 5/m", tolerate: "failed children that the task may have, as 5 or 2%",
  weight: "its share beside other tasks", deadline: "6h from now, or a time", priority: "larger goes first",
};

function LimitsDialog({ task, onClose, onDone }: Props): JSX.Element {
  const [before] = useState<Record<string, string>>(() => Object.fromEntries([...NAMES.map((name) => [name, String(task.limits?.[name] ?? "")]), ["priority", String(task.priority)]])); // others may change them meanwhile
  const [values, setValues] = useState(before);
  const [reason, setReason] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const changed = Object.keys(values).filter((name) => values[name]!.trim() !== before[name]);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || !changed.length) return;
    setBusy(true);
    const limits = Object.fromEntries(changed.filter((name) => name !== "priority").map((name) => {
      const text = values[name]!.trim();
      return [name, text === "" ? null : (name === "parallelism" || name === "weight") && /^\d+$/.test(text) ? Number(text) : text];
    }));
    try {
      const { position } = await send<unknown>("PATCH", path("tasks", task.task_id), {
        limits, ...(changed.includes("priority") ? { priority: /^-?\d+$/.test(values["priority"]!.trim()) ? Number(values["priority"]) : values["priority"] } : {}), reason,
      }, {}, "application/merge-patch+json");
      onDone(position);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Limits of ${shown(task.task_id)}`} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <div class="fields">
          {[...NAMES, "priority"].map((name) => (
            <label key={name}>{name} <small>{HELP[name]}</small>
              <input class="mono" value={values[name]!} placeholder="none" onInput={(event) => { const { value } = event.currentTarget; setValues((now) => ({ ...now, [name]: value })); }} />
            </label>
          ))}
        </div>
        <label>Reason <small>kept in the history</small><input value={reason} maxLength={2000} onInput={(event) => setReason(event.currentTarget.value)} /></label>
        <Trouble error={error} />
        <div class="ends"><button type="button" onClick={onClose}>Not now</button><button class="main" type="submit" disabled={busy || !changed.length}>Set {changed.length || ""}</button></div>
      </form>
    </Dialog>
  );
}
