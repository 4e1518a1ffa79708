/** A new task: a form made from the params of a template. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { may, path, send } from "../api";
import { escaped, shown, word } from "../format";
import { json } from "../json";
import { Field, type Param, plain, valueOf, type Written } from "../params";
import { Copy, Hint, Panel, Trouble } from "../parts";
import { link } from "../router";
import { PlanPreview } from "./plan";
import { parseYaml } from "../yaml";

type Template = Record<string, unknown> & { name?: string; params?: Record<string, Param> };

const EXAMPLE = `name: print-numbers
params:
  n:     {type: integer, minimum: 1, description: "how many numbers"}
  chunk: {type: integer, minimum: 1, default: 1000}
split:
  range: {first: 1, last: "\${n}", size: "\${chunk}"}
child:
  handler: streamsched.examples.numbers:print_numbers
  args: {first: "\${child.first}", last: "\${child.last}"}
`;

const REST_MS = 200;
/** Characters of a command: Linux takes no longer word. */
const LONGEST = 120_000;
const EMPTY: Written = { text: "" };
/** A template, and the text that it was read from. */
interface Found { text: string; template: Template | null; wrong: unknown }
const NOTHING: Found = { text: "", template: null, wrong: null };

/** Read YAML, or JSON. */
function read(text: string): Found {
  if (!text.trim()) return { ...NOTHING, text };
  try {
    const found = parseYaml(text);
    if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Error("a template is a mapping, with name, split and child");
    return { text, template: found as Template, wrong: null };
  } catch (wrong) {
    return { text, template: null, wrong };
  }
}

export function NewTaskPage(): JSX.Element {
  const [text, setText] = useState("");
  const [file, setFile] = useState("template.yaml");
  const [opened, setOpened] = useState(""); // what the file has that was opened
  const [found, setFound] = useState<Found>(NOTHING);
  const [values, setValues] = useState<Record<string, Written>>({});
  const [id, setId] = useState("");
  const [priority, setPriority] = useState("");
  const [labels, setLabels] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => { document.title = "New task · streamsched"; }, []);
  useEffect(() => {
    const timer = setTimeout(() => setFound(read(text)), text.trim() ? REST_MS : 0);
    return () => clearTimeout(timer);
  }, [text]);
  const { template, wrong } = found;
  const params = Object.entries(template?.params ?? {}).filter(([, param]) => typeof param === "object" && param !== null);
  const given: Record<string, unknown> = {};
  const faults: Record<string, string> = {};
  for (const [name, param] of params) {
    try {
      const value = valueOf(param, values[name] ?? EMPTY);
      if (value !== undefined) given[name] = value;
      else if (!("default" in param)) faults[name] = "is needed";
    } catch (problem) {
      faults[name] = (problem as Error).message;
    }
  }
  const words = labels.split(/\s+/).filter(Boolean);
  const unread = Object.entries(faults).map(([name, fault]) => `${name} ${fault}`);
  for (const each of words) if (each.indexOf("=") < 1) unread.push(`label ${each} is not name=value`);
  if (found.text !== text) unread.push("the template is being read"); // what follows is of the text before
  const tags = Object.fromEntries(words.map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]));
  const body = { template, ...(Object.keys(given).length ? { params: given } : {}), ...(priority.trim() ? { priority: Number(priority) } : {}), ...(Object.keys(tags).length ? { labels: tags } : {}) };
  const command = ["streamsched submit", word(file), ...Object.entries(given).map(([name, value]) => `-p ${word(`${name}=${plain(value)}`)}`), ...(id.trim() ? [`--task-id ${word(id.trim())}`] : []), ...(priority.trim() ? [`--priority ${word(priority.trim())}`] : []), ...Object.entries(tags).map(([name, value]) => `--label ${word(`${name}=${value}`)}`)].join(" ");
  const method = id.trim() ? "PUT" : "POST";
  const address = id.trim() ? path("tasks", id.trim()) : "/v1/tasks";
  const curl = `curl -X ${method} ${word(location.origin + address)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${word(json(body))}`;
  const cannot = may("admin") ? "" : "a new task needs the role admin";
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || unread.length || !template || cannot) return;
    setBusy(true);
    setError(null);
    try {
      const headers: Record<string, string> = id.trim() ? {} : { "Idempotency-Key": key };
      const { data } = await send<{ task_id: string }>(method, address, body, headers);
      location.hash = link("tasks", data.task_id);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const [key] = useState(() => `ui-${Date.now()}-${Math.random().toString(36).slice(2)}`);
  return (
    <>
      <h1>New task</h1>
      <div class="two even">
        <Panel title="Template">
          <p class="row">
            <label class="button file">Open a file<input class="unseen" type="file" accept=".yaml,.yml,.json" onChange={(event) => { const chosen = event.currentTarget.files?.[0]; if (chosen) void chosen.text().then((content) => { setFile(chosen.name); setOpened(content); setText(content); }); }} /></label>
            <button type="button" onClick={() => { setFile("print-numbers.yaml"); setText(EXAMPLE); }}>Take an example</button>
          </p>
          <label>Its content, in YAML or JSON <textarea class="mono" data-search rows={18} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
          <Trouble error={wrong} />
        </Panel>
        <Panel title={template ? shown(template.name ?? "its name is missing") : "Parameters"}>
          {!template && <Hint>Give a template first: a form is made from its parameters.</Hint>}
          {template && <form onSubmit={(event) => void submit(event)}>
            {params.map(([name, param]) => <Field key={name} name={name} param={param} written={values[name] ?? EMPTY} wrong={faults[name] ?? ""} onWrite={(written) => setValues((before) => ({ ...before, [name]: written }))} />)}
            {!params.length && <Hint>It takes no parameters.</Hint>}
            <hr />
            <label>Task id <small>the same id is the same task; empty: a new one</small><input class="mono" value={id} onInput={(event) => setId(event.currentTarget.value)} /></label>
            <div class="fields">
              <label>Priority <input type="number" value={priority} placeholder="0" onInput={(event) => setPriority(event.currentTarget.value)} /></label>
              <label>Labels <input class="mono" value={labels} placeholder="team=data owner=me" onInput={(event) => setLabels(event.currentTarget.value)} /></label>
            </div>
            <Trouble error={error} />
            {unread.length > 0 && <p class="hint">{shown(unread.join("; "))}</p>}
            <div class="ends"><button type="submit" class="main" disabled={busy || unread.length > 0} aria-disabled={!!cannot} title={cannot}>Submit</button></div>
            {cannot && <Hint>{cannot}</Hint>}
          </form>}
        </Panel>
      </div>
      {template && !cannot && <PlanPreview method={method} address={address} body={unread.length ? null : body} />}
      {template && <Panel title="The same from a terminal">
        {unread.length > 0 ? <Hint>It is shown once the form is complete.</Hint> : curl.length > LONGEST ? <Hint>It is too long for a command line: write the parameters into a file, and give it with <code>--params</code>.</Hint> : <>
          {text !== opened && <Hint>Save the template as <code>{shown(file)}</code> first, as it is above.</Hint>}
          <Copy label="Command" text={escaped(command)} /><Copy label="curl" text={escaped(curl)} />
        </>}
      </Panel>}
    </>
  );
}
