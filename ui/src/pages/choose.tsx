/** Children chosen by their numbers: without a pointer, or exactly. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Range } from "../grid";

export function Choose({ window: [from, to], onSelect }: { window: Range; onSelect: (range: Range) => void }): JSX.Element {
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const number = (label: string, value: string, set: (value: string) => void): JSX.Element => (
    <input type="number" aria-label={label} required min={from} max={to - 1} value={value} onInput={(event) => set(event.currentTarget.value)} />
  );
  const submit = (event: Event): void => {
    event.preventDefault();
    onSelect([Math.min(Number(first), Number(last)), Math.max(Number(first), Number(last))]);
  };
  return <form class="row" onSubmit={submit}>Children {number("first child", first, setFirst)} to {number("last child", last, setLast)} <button type="submit">Select</button></form>;
}
