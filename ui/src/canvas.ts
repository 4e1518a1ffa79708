/** Canvases that are sharp, follow their width, and the colours of the page. */
import { useEffect, useRef } from "preact/hooks";
import type { RefObject } from "preact";

export interface Sheet { draw: CanvasRenderingContext2D; width: number; height: number; colour: (name: string) => string }

const colours = new Map<string, string>();
let probe: HTMLElement | null = null;

/** A colour of the stylesheet, as the theme has it. */
export function colour(name: string): string {
  let found = colours.get(name);
  if (found === undefined) {
    probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
    probe.style.color = `var(--${name})`;
    found = getComputedStyle(probe).color;
    colours.set(name, found);
  }
  return found;
}

const repaint = new Set<() => void>();
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  matchMedia(query).addEventListener("change", () => {
    colours.clear();
    repaint.forEach((each) => each());
  });
}

/** Paint when `keys` change, once a frame; `height` may depend on the width. */
export function useCanvas(height: (width: number) => number, paint: (sheet: Sheet) => void, keys: unknown[]): RefObject<HTMLCanvasElement> {
  const ref = useRef<HTMLCanvasElement>(null);
  const job = useRef({ height, paint, frame: 0, width: 0 });
  job.current.height = height;
  job.current.paint = paint;
  const plan = useRef(() => {});
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return undefined;
    const now = (): void => {
      job.current.frame = 0;
      const width = Math.floor(canvas.parentElement!.clientWidth);
      if (!width) return;
      const tall = Math.max(1, Math.round(job.current.height(width)));
      const scale = devicePixelRatio || 1;
      job.current.width = width;
      if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(tall * scale)) {
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(tall * scale);
        canvas.style.width = `${width}px`;
        canvas.style.height = `${tall}px`;
      }
      const draw = canvas.getContext("2d")!;
      draw.setTransform(scale, 0, 0, scale, 0, 0);
      draw.clearRect(0, 0, width, tall);
      job.current.paint({ draw, width, height: tall, colour });
    };
    plan.current = () => { job.current.frame ||= requestAnimationFrame(now); };
    const observer = new ResizeObserver(() => { if (Math.floor(canvas.parentElement!.clientWidth) !== job.current.width) plan.current(); });
    observer.observe(canvas.parentElement!);
    repaint.add(plan.current);
    now();
    return () => {
      observer.disconnect();
      repaint.delete(plan.current);
      cancelAnimationFrame(job.current.frame);
      job.current.frame = 0;
    };
  }, []);
  useEffect(() => plan.current(), keys);
  return ref;
}
