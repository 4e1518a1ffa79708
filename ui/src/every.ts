/** Do something again and again while the page is seen, each time so long after it was done; returns what ends that. */
export function every(ms: number, work: () => Promise<unknown>): () => void {
  let timer = 0;
  let over = false;
  const plan = (): void => { if (!over) timer = setTimeout(again, ms); };
  const again = (): void => {
    if (document.visibilityState === "visible") void work().then(plan, plan);
    else plan();
  };
  plan();
  return () => { over = true; clearTimeout(timer); };
}
