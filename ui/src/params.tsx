/** The parameters of a template as fields of a form, and what is written in them as values. */
import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { shown } from "./format";
import { exact, integer, json, real } from "./json";

export interface Param { type?: string; default?: unknown; description?: string; enum?: unknown[]; minimum?: number; maximum?: number; minLength?: number; maxLength?: number; pattern?: string; items?: unknown }
/** What is written in a field; `asJson` only where an array may also be written as lines. */
export interface Written { text: string; asJson?: boolean }

const LINES: unknown[] = ["string", "integer", "number"];
const SHOWN = 40;
const INTEGER = /^[+-]?\d+$/;

export const plain = (value: unknown): string => (typeof value === "string" ? value : json(value));

const mayBeLines = (param: Param): boolean => param.type === "array" && !param.enum && (param.items === undefined || LINES.includes(param.items));
const isLines = (param: Param, { asJson }: Written): boolean => mayBeLines(param) && !(asJson ?? param.items === undefined);

/** What was written into a field, as a value; undefined where it is empty. Throws an error that says what is wrong, and in which line. */
export function valueOf(param: Param, written: Written): unknown {
  const { text } = written;
  if (isLines(param, written)) return values(text, param.items);
  if (text === "") return undefined;
  if (param.enum) return param.enum.find((each) => plain(each) === text);
  if (INTEGER.test(text) && (param.type === "integer" || param.type === "number")) return integer(text);
  if (param.type === "integer" || param.type === "number") return Number.isFinite(Number(text)) ? Number(text) : text;
  if (param.type === "boolean") return text === "true";
  if (param.type === "array" || param.type === "object") {
    const found = read(text);
    if (param.type === "array" ? !Array.isArray(found) : typeof found !== "object" || found === null || Array.isArray(found)) throw new Error(`is not an ${param.type}`);
    return found;
  }
  return text;
}

function read(text: string): unknown {
  try {
    return exact(text);
  } catch (problem) {
    throw new Error(`is not JSON: ${(problem as Error).message}`);
  }
}

/** One value in each line; lines without any are left out, as `-p name=@file` does. */
function values(text: string, items: unknown): unknown[] | undefined {
  const found: unknown[] = [];
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim()) found.push(items === "integer" || items === "number" ? number(line.trim(), items, at + 1) : line);
  }
  return found.length ? found : undefined;
}

function number(text: string, items: string, line: number): unknown {
  if (INTEGER.test(text)) return integer(text);
  if (items === "number" && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text))) return real(text);
  throw new Error(`has ${JSON.stringify(text.slice(0, SHOWN))}${text.length > SHOWN ? "…" : ""} in line ${line}, which is not ${items === "integer" ? "an integer" : "a number"}`);
}

/** The same written in the other way, where it can be. */
function turned(param: Param, written: Written): Written {
  const asJson = isLines(param, written);
  try {
    const found = valueOf(param, written) as unknown[] | undefined;
    if (asJson || !found) return { text: found ? json(found) : "", asJson };
    const lines = found.map(plain);
    const same = values(lines.join("\n"), param.items);
    return { text: json(same ?? []) === json(found) ? lines.join("\n") : written.text, asJson };
  } catch {
    return { ...written, asJson };
  }
}

export function Field({ name, param, written, wrong, onWrite }: { name: string; param: Param; written: Written; wrong: string; onWrite: (written: Written) => void }): JSX.Element {
  const id = useId();
  const needed = !("default" in param);
  const lines = isLines(param, written);
  const hint = !("default" in param) ? "" : lines && Array.isArray(param.default) ? param.default.map(plain).join("\n") : plain(param.default);
  const bounds = [param.minimum !== undefined && `from ${param.minimum}`, param.maximum !== undefined && `to ${param.maximum}`, param.pattern && `matches ${param.pattern}`].filter(Boolean).join(" ");
  const kind = param.type === "array" && typeof param.items === "string" ? `array of ${param.items}` : param.type;
  const onText = (text: string): void => onWrite({ ...written, text });
  const common = { id, value: written.text, required: needed, "aria-describedby": `${id}-about`, "aria-invalid": !!wrong && !!written.text };
  const box = param.enum || param.type === "boolean" ? (
    <select {...common} onChange={(event) => onText(event.currentTarget.value)}>
      <option value="">{needed ? "choose" : shown(hint)}</option>
      {(param.enum ?? [true, false]).map((each) => <option key={plain(each)} value={plain(each)}>{shown(plain(each))}</option>)}
    </select>
  ) : param.type === "array" || param.type === "object" ? (
    <textarea {...common} class="mono" rows={lines ? 5 : 3} spellcheck={false} placeholder={hint || (lines ? "one value a line" : param.type === "array" ? '["a", "b"]' : '{"a": 1}')} onInput={(event) => onText(event.currentTarget.value)} />
  ) : (
    <input {...common} type={param.type === "integer" || param.type === "number" ? "number" : "text"} step={param.type === "number" ? "any" : undefined}
      min={param.minimum} max={param.maximum} placeholder={hint} onInput={(event) => onText(event.currentTarget.value)} />
  );
  return (
    <div class="field">
      <div class="named"><label for={id}>{shown(name)}{needed && <b title="needed"> *</b>}</label>
      {mayBeLines(param) && <label class="check"><input type="checkbox" checked={!lines} onChange={() => onWrite(turned(param, written))} /> as JSON<span class="unseen"> ({shown(name)})</span></label>}</div>
      {box}
      <small id={`${id}-about`}>{[param.description, lines ? `${kind}, one value a line` : kind, bounds].filter(Boolean).map(shown).join(" · ")}{wrong && written.text && <b class="bad"> {shown(`${name} ${wrong}`)}</b>}</small>
    </div>
  );
}
