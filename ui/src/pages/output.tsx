/** The last lines that a child has printed, read when somebody wants to see them. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { lines, type LogLine, path, query } from "../api";
import { escaped, local } from "../format";
import { Trouble, useLoad } from "../parts";

const LINES = 200;
/** Characters of a line. */
const LONG = 2_000;

export function Output({ id, child }: { id: string; child: string }): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <details class="panel" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Output</summary>
      {open && <Printed id={id} child={child} />}
    </details>
  );
}

function Printed({ id, child }: { id: string; child: string }): JSX.Element {
  const ref = useRef<HTMLPreElement>(null);
  const { data, error, loading, again } = useLoad(async (signal) => {
    const found: LogLine[] = [];
    await lines<LogLine>(path("tasks", id, "logs") + query({ child, limit: LINES }), (line) => found.push(line), signal);
    return found;
  }, `${id} ${child}`);
  useEffect(() => { ref.current?.scrollTo(0, ref.current.scrollHeight); }, [data]);
  return (
    <>
      <Trouble error={error} />
      {data && data.length > 0 && <pre ref={ref} tabIndex={0} aria-label="Output">{data.map(written).join("\n")}</pre>}
      {data?.some((line) => line.tail) && <p class="hint">Only the end of what failed attempts printed is kept.</p>}
      <p class="hint row">
        <span role="status">{loading ? "reading…" : !data ? "" : !data.length ? "Nothing was printed, or it is no longer kept." : data.length < LINES ? "All that is kept." : `The last ${LINES} lines.`}</span>
        <button type="button" disabled={loading} onClick={again}>Read again</button>
      </p>
    </>
  );
}

function written({ time, attempt, text }: LogLine): string {
  return `${local(time).slice(11)} #${attempt} ${escaped(text.length > LONG ? `${text.slice(0, LONG)}…` : text)}`;
}
