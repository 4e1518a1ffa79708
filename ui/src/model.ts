/** A task as its page has it: loaded once, then kept up to date by what the stream tells; or as it was at a past position. */
import { batch, signal } from "@preact/signals";
import { ask, type Durations, type Failure, type Failures, get, type Lanes, path, Problem, query, type Stragglers, type Task, type Workers } from "./api";
import { every } from "./every";
import type { Layer } from "./grid";
import { chosen } from "./kinds";
import { type News, type TaskNews, watch } from "./live";

const REFRESH_MS = 2_000;
const SAMPLES = 1_200;
const AGAIN_MS = 300;
/** What is known of children as they were. */
export const OF_PAST: Layer[] = ["state", "attempts"];
/** How often a task that was touched is asked for, where messages do not say which of its children were. */
const TOUCHED_MS = 900;
export interface Sample { at: number; ended: number; failed: number }
/** When the task's last event was then, and before which offset (-1: not known yet); `folding`: how far that is worked out. */
export interface Past { asOf: string; at: number; offset: number; folding: string }

export class TaskModel {
  readonly task = signal<Task | null>(null);
  readonly error = signal<unknown>(null);
  readonly bytes = signal<Uint8Array>(new Uint8Array());
  /** Counts changes of bytes, which are changed in place. */
  readonly version = signal(0);
  readonly layer = signal<Layer>("state");
  readonly layerBytes = signal<Uint8Array | null>(null);
  readonly failures = signal<Failure[]>([]);
  /** Fingerprints by the bytes of their layer, from 1 on. */
  readonly order = signal<string[]>([]);
  /** Who ran the children, and whom of them the bytes of their layer stand for, from 1 on. */
  readonly workers = signal<{ all: Workers; names: string[] } | null>(null);
  readonly stragglers = signal<Stragglers | null>(null);
  readonly durations = signal<Durations | null>(null);
  readonly lanes = signal<Lanes | null>(null);
  readonly samples = signal<Sample[]>([]);
  readonly position = signal("");
  readonly complete = signal(false);
  /** Which past is shown; null: the present. */
  readonly past = signal<Past | null>(null);
  /** The task as it is now, as far as that is known. */
  readonly present = signal<Task | null>(null);
  /** Counts what is to be shown: an answer that was asked for before another came in its place is let go. */
  private turn = 0;
  private etag = "";
  private gridAt = -1;
  private loading = 0;
  private pending: { id: string; news: TaskNews }[] = [];
  private stop = new AbortController();
  private dirty = false;
  private touched = false;
  private unwatch: () => void = () => {};
  private rest: () => void = () => {};

  constructor(readonly id: string) {}

  /** Load the task, as it was at `asOf` unless that is empty, and follow it until `close`. */
  open(asOf: string): void {
    this.unwatch = watch(`${path("tasks", this.id)}/events`, (news) => this.take(news), () => void this.reload());
    void this.show(asOf).then(() => {
      this.complete.value = true;
      performance.mark("complete");
    });
    const ends = [every(REFRESH_MS, () => this.again()), every(TOUCHED_MS, () => this.touch())];
    this.rest = () => ends.forEach((end) => end());
  }

  close(): void {
    this.unwatch();
    this.stop.abort();
    this.rest();
  }

  /** Load all of it again, after a position. */
  async reload(atLeast = ""): Promise<void> {
    if (this.past.value) return;
    await Promise.all([this.loadStatus(atLeast), this.loadGrid(atLeast), this.loadRest()]);
  }

  /** Show how it was: before an offset, or at a time; empty: how it is now. */
  async show(asOf: string): Promise<void> {
    const turn = this.turn += 1;
    this.error.value = null;
    if (!asOf) {
      this.past.value = null;
      this.etag = "";
      await Promise.all([this.reload(), this.setLayer(this.layer.value)]);
      return;
    }
    this.past.value = { at: this.past.value?.at ?? 0, offset: this.past.value?.offset ?? -1, asOf, folding: "…" };
    if (!OF_PAST.includes(this.layer.value)) await this.setLayer("state"); // there are none of the past
    await this.quietly(async () => {
      const { signal } = this.stop;
      this.present.value ??= await get<Task>(this.url(), signal);
      const status = await this.folded(this.url() + query({ as_of: asOf }), turn);
      if (!status) return;
      const offset = offsetOf(status.headers.get("Streamsched-Position") ?? "");
      const [grid, failures] = await Promise.all([
        this.folded(this.url("grid") + query({ as_of: offset }), turn), this.folded(this.url("failures") + query({ as_of: offset }), turn),
      ]);
      if (!grid || !failures) return;
      const [task, bytes, { items }] = await Promise.all([status.json() as Promise<Task>, grid.arrayBuffer(), failures.json() as Promise<Failures>]);
      if (turn !== this.turn) return;
      batch(() => {
        this.task.value = task;
        this.bytes.value = new Uint8Array(bytes);
        this.version.value += 1;
        this.failures.value = items;
        this.position.value = status.headers.get("Streamsched-Position") ?? "";
        this.past.value = { asOf, at: Date.parse(status.headers.get("Last-Modified") ?? ""), offset, folding: "" };
      });
      if (this.layer.value === "attempts") await this.loadLayer();
    }, turn);
    if (this.past.value && this.error.value) this.past.value = { ...this.past.value, folding: "it cannot be told" };
  }

  /** Ask for something of the past until it is there; null where something else is to be shown meanwhile. */
  private async folded(address: string, turn: number): Promise<Response | null> {
    for (;;) {
      try {
        return await ask(address, { signal: this.stop.signal });
      } catch (problem) {
        if (turn !== this.turn) return null;
        if (!(problem instanceof Problem) || problem.status !== 503) throw problem;
        if (this.past.value) this.past.value = { ...this.past.value, folding: problem.message };
        await new Promise((done) => { setTimeout(done, AGAIN_MS); });
      }
    }
  }

  async setLayer(layer: Layer): Promise<void> {
    this.layer.value = layer;
    this.layerBytes.value = null;
    if (layer !== "state") await this.loadLayer();
  }

  private url(part = ""): string {
    return path("tasks", this.id) + (part && `/${part}`);
  }

  private async quietly(work: () => Promise<void>, turn = this.turn): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.stop.signal.aborted && turn === this.turn) this.error.value = error;
    }
  }

  private loadStatus(atLeast = ""): Promise<void> {
    const { turn } = this;
    return this.quietly(async () => {
      const response = await ask(this.url() + (atLeast && `?at_least=${encodeURIComponent(atLeast)}`), { signal: this.stop.signal });
      const task = await response.json() as Task;
      if (turn !== this.turn) return;
      batch(() => {
        this.error.value = null;
        this.setTask(task, response.headers.get("Streamsched-Position") ?? "");
      });
    });
  }

  private setTask(task: Task, position: string): void {
    this.task.value = this.present.value = task;
    if (position) this.position.value = position;
    const { succeeded, failed, cancelled } = task.children;
    const now: Sample = { at: Date.now(), ended: succeeded + failed + cancelled, failed };
    const before = this.samples.value;
    const last = before[before.length - 1];
    if (last && now.ended < last.ended) this.samples.value = [now]; // redriven
    else this.samples.value = [...(before.length > SAMPLES ? before.slice(-SAMPLES) : before), now];
  }

  private loadGrid(atLeast = ""): Promise<void> {
    this.loading += 1;
    const { turn } = this;
    return this.quietly(async () => {
      const headers: Record<string, string> = this.etag ? { "If-None-Match": this.etag } : {};
      const response = await ask(this.url("grid") + (atLeast && `?at_least=${encodeURIComponent(atLeast)}`), { signal: this.stop.signal, headers });
      if (response.status !== 304) {
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (turn !== this.turn) return;
        batch(() => {
          this.bytes.value = bytes;
          this.version.value += 1;
        });
        this.etag = response.headers.get("ETag") ?? "";
      }
      this.gridAt = offsetOf(response.headers.get("Streamsched-Position") ?? "");
    }).finally(() => {
      this.loading -= 1;
      if (this.loading) return;
      const pending = this.pending.splice(0);
      for (const each of pending) this.patch(each.id, each.news);
    });
  }

  private async loadLayer(): Promise<void> {
    const layer = this.layer.value;
    const { turn } = this;
    if (layer === "state") return;
    await this.quietly(async () => {
      for (;;) {
        const all = layer === "worker" ? await get<Workers>(this.url("workers"), this.stop.signal) : null;
        const names = all && chosen(all);
        const response = await ask(this.url("grid") + query({ layer, worker: names, as_of: this.past.value?.offset }), { signal: this.stop.signal });
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (this.layer.value !== layer || turn !== this.turn) return;
        batch(() => {
          this.layerBytes.value = bytes;
          if (all && names) this.workers.value = { all, names };
        });
        if (response.headers.get("Streamsched-Incomplete") === null) return;
      }
    });
  }

  private loadRest(): Promise<void> {
    const signal = this.stop.signal;
    const { turn } = this;
    return this.quietly(async () => {
      const [failures, stragglers, durations, lanes] = await Promise.all([
        get<Failures>(this.url("failures"), signal), get<Stragglers>(this.url("stragglers"), signal),
        get<Durations>(this.url("durations"), signal), get<Lanes>(this.url("lanes"), signal),
      ]);
      if (turn !== this.turn) return;
      batch(() => {
        this.failures.value = failures.items;
        this.order.value = failures.order;
        this.stragglers.value = stragglers;
        this.durations.value = durations;
        this.lanes.value = lanes;
      });
    });
  }

  /** What is no part of messages is asked for again where something has changed, or runs. */
  private async again(): Promise<void> {
    if (this.past.value || (!this.dirty && !this.stragglers.value?.running)) return;
    this.dirty = false;
    await Promise.all([this.loadRest(), this.layer.value === "state" ? null : this.loadLayer()]);
  }

  private async touch(): Promise<void> {
    if (this.past.value || !this.touched) return;
    this.touched = false;
    await Promise.all([this.loadStatus(), this.loadGrid()]);
  }

  private take(news: News): void {
    if (news.task) {
      if (!news.url.startsWith(`${this.url()}/`)) return;
      const { task, id } = news;
      if (this.past.value) {
        this.present.value = task.status;
        return;
      }
      batch(() => this.setTask(task.status, id));
      this.dirty = true;
      if (task.full) void this.loadGrid(id);
      else if (this.loading) this.pending.push({ id, news: task });
      else this.patch(id, task);
    } else if (news.tasks && (news.tasks.full || news.tasks.tasks.some((task) => task.task_id === this.id))) {
      this.dirty = this.touched = true;
    }
  }

  private patch(id: string, news: TaskNews): void {
    if (offsetOf(id) < this.gridAt || !news.grid.length) return;
    const end = Math.max(...news.grid.map(([first, number]) => first + number));
    let bytes = this.bytes.value;
    if (end > bytes.length) {
      bytes = new Uint8Array(end);
      bytes.set(this.bytes.value);
    }
    for (const [first, number, byte] of news.grid) bytes.fill(byte, first, first + number);
    this.etag = "";
    batch(() => {
      this.bytes.value = bytes;
      this.version.value += 1;
    });
  }
}

/** The offset of a position of one partition. */
function offsetOf(position: string): number {
  return Number(position.split(":")[1] ?? -1);
}

/** How many children end a second: over the last half minute that was seen; else by what the server expects. */
export function rateOf(model: TaskModel, now: number): number {
  const samples = model.samples.value;
  const task = model.task.value;
  const last = samples[samples.length - 1];
  if (!task || !last) return 0;
  const first = samples.find((each) => now - each.at <= 30_000) ?? last;
  if (now - first.at >= 4_000) return (1000 * (last.ended - first.ended)) / (now - first.at);
  const left = task.children.total - last.ended;
  return task.eta && task.eta.seconds > 0 ? left / task.eta.seconds : 0;
}
