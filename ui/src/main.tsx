import { type JSX, render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, away, get, me, type Me, needsSignIn, stale } from "./api";
import { every } from "./every";
import { shown, span } from "./format";
import { connection } from "./live";
import { ChildPage } from "./pages/child";
import { DeadLettersPage, LetterPage } from "./pages/letters";
import { NewTaskPage } from "./pages/new";
import { NodesPage } from "./pages/nodes";
import { OverviewPage } from "./pages/overview";
import { SchedulePage, SchedulesPage } from "./pages/schedules";
import { SystemPage } from "./pages/system";
import { TaskPage } from "./pages/task";
import { TasksPage } from "./pages/tasks";
import { Dialog, Trouble } from "./parts";
import { place } from "./router";

const NAV: [string, string][] = [["", "Overview"], ["tasks", "Tasks"], ["schedules", "Schedules"], ["nodes", "Nodes"], ["dead-letters", "Dead letters"], ["system", "System"], ["new", "New task"]];

function Body(): JSX.Element {
  const [page = "", id, part, child] = place.value.parts;
  if (page === "tasks" && id !== undefined && part === "children" && child !== undefined) return <ChildPage key={`${id}/${child}`} id={id} child={child} />;
  if (page === "tasks" && id !== undefined) return <TaskPage key={id} id={id} />;
  if (page === "tasks") return <TasksPage />;
  if (page === "schedules") return id !== undefined ? <SchedulePage key={id} id={id} /> : <SchedulesPage />;
  if (page === "nodes") return <NodesPage />;
  if (page === "dead-letters") return id !== undefined ? <LetterPage key={id} number={id} /> : <DeadLettersPage />;
  if (page === "system") return <SystemPage />;
  if (page === "new") return <NewTaskPage />;
  if (page === "") return <OverviewPage />;
  return <><h1>There is nothing here</h1><p><a href="#/">Overview</a></p></>;
}

function App(): JSX.Element {
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const [page = ""] = place.value.parts;
  const path = place.value.parts.join("/");
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else {
      main.current?.focus({ preventScroll: true }); // a page of another name begins at its top, for readers too
      scrollTo(0, 0);
    }
  }, [path]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const types = /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
      if (types && event.key === "Escape") target.blur();
      if (types) return;
      if (event.key === "/") {
        const box = document.querySelector<HTMLElement>("[data-search]");
        if (box) box.focus();
        else location.hash = "#/tasks";
        event.preventDefault();
      } else if (event.key === "?") setHelp(true);
      else if ((event.key === "ArrowDown" || event.key === "j") && (target === document.body || target === main.current)) {
        const row = document.querySelector<HTMLElement>("[data-row]");
        if (row) {
          row.focus();
          event.preventDefault();
        }
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>To the content</a>
      <nav aria-label="Pages">
        <a class="brand" href="#/"><img src="/assets/icon.svg" alt="" width={20} height={20} /> streamsched</a>
        {NAV.map(([name, title]) => <a key={name} href={`#/${name}`} aria-current={page === name ? "page" : undefined}>{title}</a>)}
        <span class="spring" />
        <Live />
        {me.value && <span class="who" title={me.value.within ? `templates that begin with ${me.value.within}` : ""}>{shown(me.value.name)} <small>{shown(me.value.role)}</small></span>}
        <button type="button" class="plain" aria-label="Keys" title="keys (?)" onClick={() => setHelp(true)}>?</button>
      </nav>
      <Stale />
      <main id="main" ref={main} tabIndex={-1}>{needsSignIn.value ? <SignIn /> : <Body />}</main>
      {help && <Keys onClose={() => setHelp(false)} />}
    </>
  );
}

const SAID = { off: "", connecting: "connecting", open: "live", lost: "not live: connecting again", refused: "not live" };

function Live(): JSX.Element {
  return <span class={`live ${connection.value}`} role="status">{SAID[connection.value]}</span>;
}

/** Says so where what is shown is not how things are. */
function Stale(): JSX.Element | null {
  if (away.value) return <p class="banner" role="alert">The server cannot be reached. What is shown is from before.</p>;
  if (stale.value === null) return null;
  const { seconds, position } = stale.value;
  return <p class="banner" role="alert">The log has not answered for {span(1000 * seconds)}: what is shown is from then{position && <>, position <code>{shown(position).slice(0, 100)}</code></>}.</p>;
}

interface Ways { kind: string; sign_in: string | null; title: string | null }

function SignIn(): JSX.Element {
  const [ways, setWays] = useState<Ways | null>(null);
  const [token, setToken] = useState("");
  const [error, setError] = useState<unknown>(null);
  useEffect(() => { void get<Ways>("/v1/session").then(setWays, setError); }, []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      await ask("/v1/session", { method: "POST", body: {}, headers: { Authorization: `Bearer ${token.trim()}` } });
      location.reload();
    } catch (problem) {
      setError(problem);
    }
  };
  if (ways === null && error === null) return <div class="panel narrow"><h1>Sign in</h1></div>;
  if (ways?.kind === "proxy") {
    return <div class="panel narrow"><h1>Sign in</h1><p>This server knows whom its proxy names: open it under the address of the proxy.</p></div>;
  }
  if (ways?.sign_in) {
    const to = location.hash.length < 1900 ? `/${location.hash}` : "/";
    const go = (): void => { location.assign(`${ways.sign_in}?to=${encodeURIComponent(to)}`); };
    return <div class="panel narrow"><h1>Sign in</h1><div class="ends"><button class="main" type="button" onClick={go}>Sign in with {ways.title}</button></div></div>;
  }
  return (
    <form class="panel narrow" onSubmit={(event) => void submit(event)}>
      <h1>Sign in</h1>
      <label>Token <input type="password" autocomplete="current-password" value={token} onInput={(event) => setToken(event.currentTarget.value)} /></label>
      <Trouble error={error} />
      <div class="ends"><button class="main" type="submit" disabled={!token.trim()}>Sign in</button></div>
    </form>
  );
}

function Keys({ onClose }: { onClose: () => void }): JSX.Element {
  const keys: [string, string][] = [
    ["/", "to the filter of the page"], ["↓ ↑", "through the rows of a table (j and k too)"], ["Enter", "open"], ["Esc", "leave a field, a dialog, a selection"],
    ["← ↑ → ↓", "in the grid: from child to child"], ["Shift + arrows", "in the grid: select"], ["t", "in the grid: the same as a table"], ["?", "these keys"],
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <table>{keys.map(([key, what]) => <tr key={key}><th scope="row"><kbd>{key}</kbd></th><td>{what}</td></tr>)}</table>
      <div class="ends"><form method="dialog"><button type="button" onClick={onClose}>Close</button></form></div>
    </Dialog>
  );
}

/** A page that asks for nothing else still learns whether the log answers, and the server. */
const look = (): Promise<void> => (needsSignIn.value ? Promise.resolve() : get<Me>("/v1/me").then((found) => { me.value = found; }, () => {}));
void look();
every(5000, look);
render(<App />, document.getElementById("app")!);
