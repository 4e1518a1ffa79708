/**
 * The YAML that template files are written in: mappings and lists, in blocks or in {} and [], texts plain, quoted or
 * in blocks (| and >), comments. What is rarer (anchors, tags, several documents, texts over lines) is refused, not guessed.
 */

import { integer, real } from "./json";

class YamlError extends Error {}

interface Line { indent: number; text: string; number: number }
type Value = unknown;

const KEY = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#{}[\],&*!|>'"%@`-](?:[^#]|(?<=\S)#)*?|-[^\s#](?:[^#]|(?<=\S)#)*?)\s*:(?=\s|$)/;
const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", "0": "\0", "\\": "\\", '"': '"', "/": "/", e: "\x1b", " ": " " };

export function parseYaml(text: string): Value {
  const all = text.replace(/\r\n?/g, "\n").replace(/^---[ \t]*\n/, "").split("\n");
  const lines: Line[] = all.map((line, at) => ({ indent: line.search(/[^ ]|$/), text: line, number: at + 1 }));
  let at = 0;
  const fail = (reason: string, line = lines[Math.min(at, lines.length - 1)]): never => { throw new YamlError(`line ${line?.number ?? 1}: ${reason}`); };
  const skip = (): Line | undefined => {
    while (at < lines.length && /^\s*(#|$)/.test(lines[at]!.text)) at++;
    const line = lines[at];
    if (line && /^ *\t/.test(line.text)) fail("a tab cannot indent");
    if (line && /^(---|\.\.\.)/.test(line.text)) fail("there is more than one document");
    return line;
  };

  function block(least: number): Value {
    const line = skip();
    if (!line || line.indent < least) return null;
    const rest = line.text.slice(line.indent);
    if (/^-(\s|$)/.test(rest)) return list(line.indent);
    if (KEY.test(rest)) return mapping(line.indent);
    at++;
    return inline(rest, line, least);
  }

  function list(indent: number): Value[] {
    const found: Value[] = [];
    for (let line = skip(); line && line.indent === indent && /^-(\s|$)/.test(line.text.slice(indent)); line = skip()) {
      const rest = line.text.slice(indent + 1);
      if (/^\s*(#|$)/.test(rest)) {
        at++;
        found.push(block(indent + 1));
      } else {
        const inner = indent + 1 + rest.search(/\S/);
        lines[at] = { ...line, indent: inner, text: " ".repeat(inner) + rest.trimStart() };
        found.push(block(inner));
      }
    }
    const next = skip();
    if (next && next.indent > indent) fail("this is indented too far");
    return found;
  }

  function mapping(indent: number): Record<string, Value> {
    const found: Record<string, Value> = Object.create(null) as Record<string, Value>;
    for (let line = skip(); line && line.indent === indent; line = skip()) {
      const rest = line.text.slice(indent);
      const key = KEY.exec(rest);
      if (!key) return fail("there is no key");
      const name = new Flow(key[1]!, (reason) => fail(reason, line)).value("");
      if (typeof name !== "string") return fail(`the key ${key[1]} is not a text: put it in quotes`);
      if (name in found) fail(`${name} is given twice`);
      if (name === "<<") fail("<< is not read here");
      const value = rest.slice(key[0].length).trim();
      at++;
      if (value === "" || value.startsWith("#")) {
        const next = skip();
        const isList = next && next.indent === indent && /^-(\s|$)/.test(next.text.slice(indent));
        found[name] = isList ? list(indent) : block(indent + 1);
      } else found[name] = inline(value, line, indent + 1);
    }
    const next = skip();
    if (next && next.indent > indent) fail("this is indented too far");
    return { ...found };
  }

  /** A value that begins in a line; brackets and quotes may end in a later one. */
  function inline(start: string, line: Line, least: number): Value {
    const head = /^([|>])([+-]?)\s*(#.*)?$/.exec(start);
    if (head) return folded(head[1]!, head[2]!, least);
    let text = start;
    for (;;) {
      const reader = new Flow(text, (reason) => fail(reason, line));
      const value = reader.value("");
      if (value !== Flow.OPEN) {
        if (!reader.atEnd()) fail(`this is not read: ${reader.rest().slice(0, 40)}`, line);
        const next = skip();
        if (next && next.indent >= least && !KEY.test(next.text.trim())) fail("a text over several lines is not read here: quote it, or write it in a block", next);
        return value;
      }
      if (at >= lines.length) fail("a bracket or a quote is not closed", line);
      text += `\n${lines[at++]!.text.trim()}`;
    }
  }

  function folded(kind: string, chomp: string, least: number): string {
    const taken: string[] = [];
    let indent = -1;
    for (; at < lines.length; at++) {
      const line = lines[at]!;
      if (line.text.trim() === "") {
        taken.push("");
        continue;
      }
      if (indent < 0) indent = line.indent;
      if (line.indent < Math.max(least, indent)) break;
      taken.push(line.text.slice(indent));
    }
    let end = taken.length;
    while (end && taken[end - 1] === "") end--;
    const tail = taken.length - end;
    const body = taken.slice(0, end);
    const joined = kind === "|" ? body.join("\n") : body.join("\n").replace(/(\n+)(?=[^\n ])/g, (breaks, _, place: number, whole: string) => (whole.slice(0, place).split("\n").pop()!.startsWith(" ") ? breaks : breaks.length === 1 ? " " : breaks.slice(1)));
    return joined + (chomp === "-" || !end ? "" : chomp === "+" ? "\n".repeat(tail + 1) : "\n");
  }

  const value = block(0);
  if (skip()) fail("this is not read");
  return value;
}

/** What stands in brackets, quotes, or one line. */
class Flow {
  static readonly OPEN = Symbol("open");
  private at = 0;
  constructor(private readonly text: string, private readonly fail: (reason: string) => never) {}

  atEnd(): boolean {
    this.space();
    return this.at >= this.text.length;
  }

  rest(): string {
    return this.text.slice(this.at);
  }

  private space(): void {
    this.at += /^(?:[ \t\n]+|(?:^|(?<=[\s]))#[^\n]*)*/.exec(this.text.slice(this.at))![0].length;
    if (this.text[this.at] === "#" && (this.at === 0 || /\s/.test(this.text[this.at - 1]!))) {
      const end = this.text.indexOf("\n", this.at);
      this.at = end < 0 ? this.text.length : end;
      this.space();
    }
  }

  /** Read a value up to one of the marks. */
  value(marks: string): Value {
    this.space();
    const first = this.text[this.at];
    if (first === undefined) return marks ? Flow.OPEN : null;
    if (first === "{" || first === "[") return this.collection(first === "{");
    if (first === '"' || first === "'") return this.quoted(first);
    if ("&*!|>%@`".includes(first)) this.fail(`${first} is not read here: quote the text`);
    let end = this.at;
    while (end < this.text.length) {
      const mark = this.text[end]!;
      if (mark === "\n" || (marks && (",[]{}".includes(mark) || (mark === ":" && /[\s,[\]{}]|$/.test(this.text[end + 1] ?? " ") && /^[\s,[\]{}]?$/.test(this.text[end + 1] ?? ""))))) break;
      if (mark === "#" && /\s/.test(this.text[end - 1] ?? " ")) break;
      if (!marks && mark === ":" && /\s/.test(this.text[end + 1] ?? " ")) this.fail("there is a key within a value: quote the text");
      end++;
    }
    const found = this.text.slice(this.at, end).trim();
    this.at = end;
    return plain(found, this.fail);
  }

  private collection(isMapping: boolean): Value {
    const close = isMapping ? "}" : "]";
    const list: Value[] = [];
    const mapping: Record<string, Value> = {};
    this.at++;
    for (;;) {
      this.space();
      if (this.text[this.at] === undefined) return Flow.OPEN;
      if (this.text[this.at] === close) break;
      const begin = this.at;
      const key = this.value(close);
      if (key === Flow.OPEN) return Flow.OPEN;
      const name = this.text.slice(begin, this.at).trim();
      this.space();
      if (isMapping) {
        let value: Value = null;
        if (this.text[this.at] === ":") {
          this.at++;
          this.space();
          value = this.text[this.at] === "," || this.text[this.at] === close ? null : this.value(close);
          if (value === Flow.OPEN) return Flow.OPEN;
        }
        if (typeof key !== "string") return this.fail(`the key ${name} is not a text: put it in quotes`);
        if (Object.hasOwn(mapping, key)) this.fail(`${key} is given twice`);
        Object.defineProperty(mapping, key, { value, enumerable: true, configurable: true, writable: true });
      } else if (this.text[this.at] === ":") this.fail("a key in a list is not read here");
      else list.push(key);
      this.space();
      if (this.text[this.at] === ",") this.at++;
      else if (this.text[this.at] === undefined) return Flow.OPEN;
      else if (this.text[this.at] !== close) this.fail(`, or ${close} is missing`);
    }
    this.at++;
    return isMapping ? mapping : list;
  }

  private quoted(mark: string): Value {
    let found = "";
    for (let at = this.at + 1; at < this.text.length; at++) {
      const each = this.text[at]!;
      if (each === mark) {
        if (mark === "'" && this.text[at + 1] === "'") {
          found += "'";
          at++;
          continue;
        }
        this.at = at + 1;
        return found;
      }
      if (each === "\n") this.fail("a quoted text over several lines is not read here");
      if (each === "\\" && mark === '"') {
        const next = this.text[++at] ?? "";
        const length = { x: 2, u: 4, U: 8 }[next];
        if (length) {
          found += String.fromCodePoint(parseInt(this.text.slice(at + 1, at + 1 + length), 16));
          at += length;
        } else found += ESCAPES[next] ?? this.fail(`\\${next} is unknown`);
      } else found += each;
    }
    return Flow.OPEN;
  }
}

/** A plain text is a number, a truth, nothing, or a text, as the server's reader has it. */
function plain(text: string, fail: (reason: string) => never): Value {
  if (/^(|~|null|Null|NULL)$/.test(text)) return null;
  if (/^(true|True|TRUE)$/.test(text)) return true;
  if (/^(false|False|FALSE)$/.test(text)) return false;
  const whole = /^[-+]?\d+(_\d+)*$/.test(text);
  if (!whole && !/^([-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$/.test(text)) return text;
  if (whole) return integer(text.replaceAll("_", ""));
  return Number.isFinite(Number(text)) ? real(text) : fail(`${text} is no finite number: a text goes into quotes`);
}
