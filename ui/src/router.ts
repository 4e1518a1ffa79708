/** Where the page is: the part of the address behind #. */
import { computed, signal } from "@preact/signals";

const raw = signal(location.hash);
addEventListener("hashchange", () => { raw.value = location.hash; });

interface Place { parts: string[]; query: URLSearchParams }

export const place = computed<Place>(() => {
  const [path = "", search = ""] = splitOnce(raw.value.replace(/^#\/?/, ""), "?");
  return { parts: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(search) };
});

export function link(...parts: (string | number)[]): string {
  return "#/" + parts.map((part) => encodeURIComponent(String(part))).join("/");
}

export function go(address: string): void {
  location.hash = address;
}

/** Change the query of this page without an entry in the history. */
export function replaceQuery(query: string): void {
  const [path] = splitOnce(location.hash || "#/", "?");
  history.replaceState(null, "", `${path}${query}`);
  raw.value = location.hash;
}

function splitOnce(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
