/** Requests to the server, and what they answer. */
import { signal } from "@preact/signals";
import { exact, json } from "./json";

export interface Counts {
  total: number; waiting: number; queued: number; running: number; succeeded: number; failed: number; cancelled: number;
}
interface Eta { at: string; earliest: string; latest: string; seconds: number; by: string }
export interface Limits {
  parallelism: number | null; rate: string | null; tolerate: string | null; deadline: string | null; weight: number | null;
}
export interface Task {
  task_id: string; template: string; template_version: string; state: string; reason: string; redrive: number;
  priority: number; origin: string; submitted_by: string; submitted_at: string; started_at: string | null;
  finished_at: string | null; params: unknown; children: Counts; void: number; why: string; eta: Eta | null;
  labels: Record<string, string>; limits?: Limits; reduce?: string; split?: string;
}
export interface Child {
  child: number; state: string; attempt: number; dispatches: number; sequence: number; worker: string | null;
  started_at: string | null; finished_at: string | null; reason: string | null; error_type: string | null;
  message: string | null; traceback: string | null; result: unknown; group?: string;
}
export interface Attempt {
  dispatch: number; dispatched_at: string; attempt: number | null; worker: string | null; started_at: string | null;
  ended_at: string | null; outcome: string | null; told: string | null; reason: string | null; error_type: string | null;
  message: string | null; traceback: string | null; sequence: number;
}
export interface LogLine { time: string; child: string; attempt: number; text: string; tail: boolean }
export interface Input { path: string; size: number; start: number; end: number; format: string }
export interface Arguments { runs: string; args: unknown; inputs: Input[] }
export interface Failure {
  fingerprint: string; count: number; ended: number; type: string; message: string; first_at: string; last_at: string;
  samples: (number | string)[];
}
export interface Failures { items: Failure[]; order: string[] }
export interface Workers { items: { worker: string; children: number }[]; others: number }
interface Straggler {
  child: number; attempt: number; worker: string | null; started_at: string; elapsed_ms: number;
  times_median: number | null; progress: number | null; eta: string | null;
}
export interface Stragglers { median_ms: number | null; running: number; items: Straggler[] }
export interface Spread {
  measured: number; p50: number | null; p90: number | null; p99: number | null; max: number | null;
  buckets: { from_ms: number; to_ms: number; count: number }[];
}
export interface Durations extends Spread { ended: number; waits: Spread }
export interface Piece {
  child: number; attempt: number; outcome: string; started_at: string; finished_at: string | null;
}
export interface Lanes { since: string; items: { worker: string; items: Piece[] }[] }
export interface Page<T> { items: T[]; next: string | null }
export interface Answer { state: string; cause: string; why: string; change: string }
export interface Preview { children: number; states: Record<string, number> }
export interface Schedule {
  schedule_id: string; state: string; note: string; version: number; spec: Record<string, unknown>;
  policy: Record<string, unknown>; template: string; template_version: string; params: unknown; zone: string;
  changed_at: string; changed_by: string; next: string[]; left: number | null; counts: Record<string, number>;
  running: string[]; waiting: number; last_outcome: string | null;
  backfill: { number: number; state: string; counts: Record<string, number> } | null;
}
export interface Tick {
  nominal: string; kind: string; outcome: string; reason: string; decided_at: string; task_id: string | null;
  task_outcome: string | null;
}
export interface Node {
  node_id: string; name: string; role: string; version: string; state: string; slots: number; free: number;
  pending: number; loop_age: number; age_ms: number; partitions: number[]; queues: string[];
  labels: Record<string, string>;
  running: { task_id: string; child: number; attempt: number; started_at: number; done: number | null; total: number | null }[];
}
export interface Letter {
  number: number; at: number; by: string; topic: string; partition: number; offset: number; key: string | null; reason: string;
}
export interface Me { name: string; role: string; within: string }
export interface HistoryEntry { event: string | null; offset: number; partition: number; timestamp: number; by?: string; error?: string; [field: string]: unknown }

/** Seconds since the log has answered the server, where it does not now; and the position of what is shown. */
export const stale = signal<{ seconds: number; position: string } | null>(null);
let latest = "";
/** Whether the server cannot be reached. */
export const away = signal(false);
export const me = signal<Me | null>(null);
export const needsSignIn = signal(false);

const RANK = ["none", "viewer", "operator", "admin"];

/** Whether the user may do what this role may. */
export function may(role: "operator" | "admin"): boolean {
  return me.value !== null && RANK.indexOf(me.value.role) >= RANK.indexOf(role);
}

/** What the server says is wrong: its problem document. */
export class Problem extends Error {
  constructor(readonly status: number, readonly title: string, detail: string, readonly hint: string, readonly errors: { pointer?: string; detail?: string }[]) {
    super(detail || title);
  }
}

interface Options { method?: string; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal; type?: string }

export async function ask(path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = options.type ?? "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? "GET", headers, signal: options.signal ?? null, cache: "no-store",
      ...(options.body === undefined ? {} : { body: json(options.body) }),
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    away.value = true;
    throw new Problem(0, "The server cannot be reached", "the server cannot be reached", "is it running?", []);
  }
  away.value = false;
  const age = response.headers.get("Streamsched-Stale");
  const position = response.headers.get("Streamsched-Position") ?? "";
  if (position) latest = position;
  if (age !== null) stale.value = { seconds: Number(age), position: latest };
  else if (response.ok && stale.value !== null) stale.value = null;
  if (response.ok || response.status === 304) return response;
  const told = await response.json().catch(() => ({})) as Partial<Record<string, unknown>>;
  if (response.status === 401) needsSignIn.value = true;
  throw new Problem(
    response.status, String(told["title"] ?? response.statusText), String(told["detail"] ?? ""), String(told["hint"] ?? ""),
    Array.isArray(told["errors"]) ? told["errors"] as [] : [],
  );
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return await (await ask(path, signal ? { signal } : {})).json() as T;
}

/** As `get`, where numbers stay as they are written. */
export async function getExact<T>(path: string, signal?: AbortSignal): Promise<T> {
  return exact(await (await ask(path, signal ? { signal } : {})).text()) as T;
}

export async function send<T>(method: string, path: string, body: unknown, headers: Record<string, string> = {}, type?: string): Promise<{ data: T; position: string; status: number }> {
  const response = await ask(path, { method, body, headers, ...(type ? { type } : {}) });
  return { data: await response.json() as T, position: response.headers.get("Streamsched-Position") ?? "", status: response.status };
}

export function path(...parts: (string | number)[]): string {
  return "/v1/" + parts.map((part) => encodeURIComponent(String(part))).join("/");
}

export function query(given: Record<string, string | number | string[] | undefined | null>): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === "") continue;
    if (Array.isArray(value)) value.forEach((each) => each && found.append(name, each));
    else found.append(name, String(value));
  }
  const text = found.toString();
  return text ? `?${text}` : "";
}

/** Read a document a line. */
export async function lines<T>(address: string, take: (entry: T) => void, signal: AbortSignal): Promise<void> {
  const reader = (await ask(address, { signal })).body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) if (line) take(JSON.parse(line) as T);
  }
}
