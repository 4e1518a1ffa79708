/** What all pages are made of. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Counts, Problem } from "./api";
import { every } from "./every";
import { ago, count, escaped, local, percent, shown } from "./format";
import { indented, json } from "./json";

export const STATES = ["waiting", "queued", "running", "succeeded", "failed", "cancelled"] as const;
export type ChildState = (typeof STATES)[number];
const BAR: ChildState[] = ["succeeded", "cancelled", "failed", "running", "queued", "waiting"];
const MARKS: Record<string, string> = {
  succeeded: "✓", failed: "✗", running: "▶", queued: "▷", waiting: "·", cancelled: "–", paused: "⏸", refused: "✗",
  requested: "·", planning: "·", failing: "✗", succeeding: "✓", cancelling: "–", returned: "↺",
  yielded: "↺", lost: "✗",
};

export function State({ name }: { name: string }): JSX.Element {
  return <span class={`state s-${/^[a-z]+$/.test(name) ? name : "none"}`}><span aria-hidden="true">{MARKS[name] ?? "·"}</span> {shown(name)}</span>;
}

/** The children by state, in proportion: one that failed of many is a thin line. */
export function StateBar({ counts, slim = false }: { counts: Counts; slim?: boolean }): JSX.Element {
  const there = BAR.filter((state) => counts[state] > 0);
  const told = there.map((state) => `${count(counts[state])} ${state}`).join(", ") || "no children yet";
  return (
    <div class={slim ? "bar slim" : "bar"} role="img" aria-label={told} title={told}>
      {there.map((state) => <i key={state} class={`b-${state}`} style={{ flexGrow: counts[state] }} />)}
    </div>
  );
}

export function Legend({ counts, onPick }: { counts: Counts; onPick?: (state: ChildState) => void }): JSX.Element {
  return (
    <ul class="legend">
      {BAR.filter((state) => counts[state] > 0).map((state) => {
        const told = <><i class={`b-${state}`} aria-hidden="true">{MARKS[state]}</i> <b>{count(counts[state])}</b> {state} <small>{percent(counts[state], counts.total)}</small></>;
        return <li key={state}>{onPick ? <button type="button" class="plain" title={`list the ${state} children`} onClick={() => onPick(state)}>{told}</button> : told}</li>;
      })}
    </ul>
  );
}

/** The time now, once a second while the page is seen. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => { if (document.visibilityState === "visible") setNow(Date.now()); }, every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

export function Ago({ at, now }: { at: string | number | null; now: number }): JSX.Element {
  return at === null ? <>—</> : <time dateTime={new Date(at).toISOString()} title={local(at)}>{ago(at, now)}</time>;
}

export function Trouble({ error }: { error: unknown }): JSX.Element | null {
  if (!error) return null;
  const hint = error instanceof Problem ? error.hint : "";
  const message = String((error as Error).message ?? error);
  return (
    <div class="trouble" role="alert">
      <b>{shown(message)}</b>{hint && !message.includes(hint) && <span> {shown(hint)}</span>}
      {error instanceof Problem && error.errors.length > 0 && <ul>{error.errors.map((each, at) => <li key={at}>{shown(each.pointer ?? "")} {shown(each.detail ?? "")}</li>)}</ul>}
    </div>
  );
}

export function Panel({ title, aside, children, class: name = "" }: { title: string; aside?: ComponentChildren; children: ComponentChildren; class?: string }): JSX.Element {
  const id = useId();
  return (
    <section class={`panel ${name}`} aria-labelledby={id}>
      <header><h2 id={id}>{title}</h2>{aside && <div class="aside">{aside}</div>}</header>
      {children}
    </section>
  );
}

/** Characters of a value that are shown at first. */
const SHOWN = 8_000;

/** A JSON value, of a long one the beginning until all of it is wanted. */
export function Value({ value, label }: { value: unknown; label: string }): JSX.Element {
  const [all, setAll] = useState(false);
  const text = json(value);
  const left = all ? 0 : text.length - SHOWN;
  return (
    <>
      <pre tabIndex={0} aria-label={label}>{escaped(indented(left > 0 ? text.slice(0, SHOWN) : text))}</pre>
      {left > 0 && <p class="hint row"><span>{count(left)} more characters are not shown.</span><button type="button" onClick={() => setAll(true)}>Show all</button></p>}
    </>
  );
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose} onClick={(event) => { if (event.target === ref.current) onClose(); }}>
      <div class="sheet">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

/** A text to copy. */
export function Copy({ text, label }: { text: string; label: string }): JSX.Element {
  const said = useSignal("");
  const ref = useRef<HTMLPreElement>(null);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      said.value = "copied";
    } catch {
      getSelection()?.selectAllChildren(ref.current!); // without the right to copy: it is selected, Ctrl-C does it
      said.value = "selected";
    }
    setTimeout(() => { said.value = ""; }, 2000);
  };
  return (
    <div class="copy">
      <div><span>{label}</span> <button type="button" onClick={() => void copy()}>Copy</button> <span role="status">{said.value}</span></div>
      <pre ref={ref} tabIndex={0} aria-label={label}>{text}</pre>
    </div>
  );
}

/** Load something when `key` changes, and so long after each answer; `again` loads it at once. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, key: string, after = 0): { data: T | null; error: unknown; loading: boolean; again: () => void } {
  const [state, setState] = useState<{ data: T | null; error: unknown; loading: boolean }>({ data: null, error: null, loading: true });
  const [times, setTimes] = useState(0);
  const again = (): void => setTimes((value) => value + 1);
  const of = useRef("");
  useEffect(() => {
    const stop = new AbortController();
    const fresh = of.current !== key;
    of.current = key;
    setState((before) => ({ data: fresh ? null : before.data, error: null, loading: true }));
    load(stop.signal).then(
      (data) => setState({ data, error: null, loading: false }),
      (error: unknown) => { if (!stop.signal.aborted) setState((before) => ({ data: before.data, error, loading: false })); },
    );
    return () => stop.abort();
  }, [key, times]);
  useEffect(() => (after && !state.loading ? every(after, async () => again()) : undefined), [after, state.loading]);
  return { ...state, again };
}

/** Arrow keys move between the links of a table's rows. */
export function onArrows(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  const links = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("[data-row]")];
  const at = links.indexOf(document.activeElement as HTMLElement);
  const next = links[Math.max(0, Math.min(links.length - 1, at + step))];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

export function Hint({ children }: { children: ComponentChildren }): JSX.Element {
  return <p class="hint">{children}</p>;
}
