/**
 * One stream of events for all tabs of this browser: browsers allow six connections to a server, and each stream would keep one.
 *
 * The tab that holds the lock reads it, and tells the others. Tabs that are hidden want nothing: they catch up when they
 * are seen. If all that are seen want the same stream it is that one; otherwise it is the stream of all tasks, and a tab
 * asks for its task when that was touched.
 */
import { signal } from "@preact/signals";
import { ask, Problem, type Task } from "./api";

export const ALL = "/v1/events";
export interface TaskNews { status: Task; grid: [number, number, number][]; full: boolean }
interface TasksNews { tasks: Task[]; schedules: string[]; full: boolean }
export interface News { url: string; id: string; task?: TaskNews; tasks?: TasksNews }
type State = "off" | "connecting" | "open" | "lost" | "refused";
type Message =
  | { kind: "want"; tab: string; url: string }
  | { kind: "who" }
  | { kind: "news"; news: News }
  | { kind: "state"; state: State };

/** How the stream is. */
export const connection = signal<State>("off");

const TAB = Math.random().toString(36).slice(2);
const shared = "locks" in navigator && typeof BroadcastChannel === "function";
const channel = shared ? new BroadcastChannel("streamsched") : null;
/** What each tab wants to read. */
const wants = new Map<string, string>();
let isLeader = !shared;
let source: EventSource | null = null;
let reading = "";
let retry = 0;
let mine = "";
let listener: ((news: News) => void) | null = null;

/** Want a stream until the function that is returned is called. After being hidden `resync` is called: messages were missed. */
export function watch(url: string, take: (news: News) => void, resync: () => void): () => void {
  listener = take;
  const announce = (): void => {
    mine = document.visibilityState === "visible" ? url : "";
    tell({ kind: "want", tab: TAB, url: mine });
  };
  const seen = (): void => {
    announce();
    if (mine) resync();
  };
  announce();
  document.addEventListener("visibilitychange", seen);
  return () => {
    document.removeEventListener("visibilitychange", seen);
    if (listener === take) listener = null;
    mine = "";
    tell({ kind: "want", tab: TAB, url: mine });
  };
}

/** Tell the other tabs, and this one. */
function tell(message: Message): void {
  channel?.postMessage(message);
  hear(message);
}

function hear(message: Message): void {
  if (message.kind === "want") {
    if (message.url) wants.set(message.tab, message.url);
    else wants.delete(message.tab);
    if (isLeader) queueMicrotask(() => { choose(); setState(connection.value); });
  } else if (message.kind === "who") {
    if (mine) channel?.postMessage({ kind: "want", tab: TAB, url: mine });
  } else if (message.kind === "news") {
    if (mine) listener?.(message.news);
  } else if (!isLeader) {
    connection.value = message.state;
  }
}

function setState(state: State): void {
  connection.value = state;
  channel?.postMessage({ kind: "state", state });
}

/** Read the stream that is wanted. */
function choose(): void {
  const urls = new Set(wants.values());
  const wanted = urls.size === 0 ? "" : urls.size === 1 ? [...urls][0]! : ALL;
  if (wanted !== reading) open(wanted);
}

/** Read a stream. Its first message says that all is to be loaded, unless it goes on behind `after`. */
function open(url: string, after = ""): void {
  source?.close();
  source = null;
  reading = url;
  clearTimeout(retry);
  if (!url) {
    setState("off");
    return;
  }
  setState("connecting");
  let last = after;
  const opened = new EventSource(last ? `${url}?after=${encodeURIComponent(last)}` : url);
  source = opened;
  opened.onopen = () => setState("open");
  opened.onerror = () => {
    setState("lost");
    if (opened.readyState !== EventSource.CLOSED) return; // it tries by itself
    void isRefused(url).then((refused) => {
      if (source !== opened) return;
      if (refused) setState("refused");
      else retry = setTimeout(() => { if (source === opened) open(url, last); }, 2000);
    });
  };
  const take = (event: MessageEvent<string>): void => {
    last = event.lastEventId;
    const data = JSON.parse(event.data) as object;
    tell({ kind: "news", news: { url, id: last, [event.type]: data } as News });
  };
  opened.addEventListener("task", take as EventListener);
  opened.addEventListener("tasks", take as EventListener);
}

/** Whether the server does not give this stream, however often it is asked: browsers do not tell why one was closed. */
async function isRefused(url: string): Promise<boolean> {
  const stop = new AbortController();
  try {
    await ask(url, { signal: stop.signal });
    return false;
  } catch (problem) {
    return problem instanceof Problem && [401, 403, 404].includes(problem.status);
  } finally {
    stop.abort();
  }
}

if (channel) {
  channel.onmessage = (event: MessageEvent<Message>) => hear(event.data);
  void navigator.locks.request(`streamsched-tab-${TAB}`, () => new Promise(() => {})); // until this tab is closed
  void navigator.locks.request("streamsched-stream", () => {
    isLeader = true;
    channel.postMessage({ kind: "who" });
    choose();
    setInterval(() => void forget(), 20_000);
    return new Promise(() => {}); // until this tab is closed
  });
}

/** Forget what tabs wanted that were closed. */
async function forget(): Promise<void> {
  const held = new Set((await navigator.locks.query()).held?.map((lock) => lock.name));
  for (const tab of wants.keys()) if (!held.has(`streamsched-tab-${tab}`)) wants.delete(tab);
  choose();
}

addEventListener("pagehide", () => channel?.postMessage({ kind: "want", tab: TAB, url: "" }));
addEventListener("pageshow", (event) => { if (event.persisted && mine) tell({ kind: "want", tab: TAB, url: mine }); });
