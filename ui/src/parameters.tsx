/** Parameters, the long ones cut until all of it is asked for. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { escaped } from "./format";
import { abridged } from "./json";

/** Characters that are shown whole, and of one entry where they are not. */
const WHOLE = 1000;
const ENTRY = 300;

/** `command` prints all of it. */
export function Parameters({ title, value, command }: { title: string; value: object; command: string }): JSX.Element {
  const [all, setAll] = useState(false);
  const text = useMemo(() => {
    const whole = JSON.stringify(value, null, 1);
    const cut = whole.length <= WHOLE ? null : Object.entries(value).map(([name, each]) => `${name}: ${abridged(each, ENTRY)}`).join("\n").slice(0, 20 * WHOLE);
    return { whole: escaped(whole), cut: cut === null ? null : escaped(cut) };
  }, [JSON.stringify(value)]);
  return (
    <details class="panel">
      <summary>{title}</summary>
      <pre tabIndex={0} aria-label={title}>{all ? text.whole : text.cut ?? text.whole}</pre>
      {text.cut !== null && <p class="hint row"><button type="button" onClick={() => setAll(!all)}>{all ? "Cut long ones" : "Show all of it"}</button> <span>or: <code>{escaped(command)}</code></span></p>}
    </details>
  );
}
