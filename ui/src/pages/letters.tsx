/** Records that were set aside. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, type Letter, type Page, query } from "../api";
import { count, escaped, shown } from "../format";
import { Ago, Hint, onArrows, Panel, Trouble, useLoad, useNow } from "../parts";
import { link } from "../router";

export function DeadLettersPage(): JSX.Element {
  const [items, setItems] = useState<Letter[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const now = useNow(5000);
  useEffect(() => { document.title = "Dead letters · streamsched"; }, []);
  const first = useLoad(async (signal) => {
    const page = await get<Page<Letter>>("/v1/dead-letters?limit=100", signal);
    setItems(page.items);
    setNext(page.next);
    return page;
  }, "");
  const more = async (): Promise<void> => {
    const page = await get<Page<Letter>>(`/v1/dead-letters${query({ limit: 100, cursor: next })}`);
    setItems((before) => [...before, ...page.items]);
    setNext(page.next);
  };
  return (
    <>
      <h1>Dead letters</h1>
      <Hint>Records of the topics that could not be read, or had no place. They are kept, and change nothing.</Hint>
      <Trouble error={first.error} />
      {first.data && !items.length && <p>There are none.</p>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Dead letters">
          <table onKeyDown={onArrows}>
            <thead><tr><th scope="col" class="n">Number</th><th scope="col">When</th><th scope="col">By</th><th scope="col">From</th><th scope="col">Key</th><th scope="col">Why</th></tr></thead>
            <tbody>{items.map((each) => (
              <tr key={each.number}>
                <td class="n"><a data-row href={link("dead-letters", each.number)}>{each.number}</a></td><td><Ago at={each.at} now={now} /></td><td>{shown(each.by)}</td>
                <td>{shown(each.topic)} {each.partition}:{count(each.offset)}</td><td>{shown(each.key ?? "")}</td><td class="message">{shown(each.reason)}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {next && <button type="button" onClick={() => void more()}>More</button>}
    </>
  );
}

export function LetterPage({ number }: { number: string }): JSX.Element {
  const found = useLoad((signal) => get<Record<string, unknown>>(`/v1/dead-letters/${encodeURIComponent(number)}`, signal), number);
  useEffect(() => { document.title = `Dead letter ${shown(number)} · streamsched`; }, [number]);
  return (
    <>
      <p class="crumbs"><a href="#/dead-letters">Dead letters</a></p>
      <h1>Dead letter {shown(number)}</h1>
      <Trouble error={found.error} />
      {found.data && <Panel title="The record"><pre tabIndex={0}>{escaped(JSON.stringify(found.data, null, 1))}</pre></Panel>}
    </>
  );
}
