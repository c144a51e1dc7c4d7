// Curves over the steps of a run: as SVG, with a cursor at the moment that is looked at.
import { make } from "./scene.js";
import { short } from "./calculus.js";

const WIDTH = 560, HEIGHT = 210, LEFT = 52, RIGHT = 28, TOP = 10, BOTTOM = 30;

/** Round numbers between two ends. @param {number} low @param {number} high @param {number} count */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? 10 * power;
  const found = [];
  for (let x = Math.ceil(low / step) * step; x <= high + step / 1e6; x += step) found.push(Number(x.toPrecision(12)));
  return found;
}

/**
 * A chart. `points` are [[step, y], ...], `band` is [[step, low, high], ...].
 * Losses that differ by more than 50 times stand on a logarithmic axis.
 * @param {{lines: {points: number[][], kind: string}[], band?: number[][], steps: number, top?: number|null, cursor: number|null,
 *   marks?: number[], pick: (step: number) => void}} about
 */
export function chart({ lines, band = [], steps, top = null, cursor, marks = [], pick }) {
  const all = [...lines.flatMap((line) => line.points.map(([, y]) => y)), ...band.flatMap(([, a, b]) => [a, b])].filter(Number.isFinite);
  const positive = all.length > 0 && Math.min(...all) > 0;
  const log = top === null && positive && Math.max(...all) / Math.min(...all) > 50;
  const high = top ?? (Math.max(...all, 0) * (log ? 1.3 : 1.05) || 1), low = log ? Math.min(...all) / 1.3 : 0;
  const last = Math.max(steps, 1);
  const x = (/** @type {number} */ step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const place = (/** @type {number} */ y) => (log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low));
  const y = (/** @type {number} */ value) => HEIGHT - BOTTOM - Math.max(0, Math.min(1, place(value))) * (HEIGHT - TOP - BOTTOM);
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", "aria-hidden": "true" });
  const exponents = log ? ticks(Math.log10(low), Math.log10(high), 4).filter(Number.isInteger) : [];
  const rows = log ? (exponents.length > 1 ? exponents.map((e) => 10 ** e) : [low * 1.3, Math.sqrt(low * high), high / 1.3]) : ticks(low, high, 4);
  for (const value of rows) {
    svg.append(make("path", { class: "grid", d: `M${LEFT} ${y(value)}H${WIDTH - RIGHT}` }));
    svg.append(make("text", { class: "tick end", x: LEFT - 6, y: y(value) + 4 }, short(Number(value.toPrecision(3)))));
  }
  for (const value of ticks(0, last, 5)) svg.append(make("text", { class: "tick", x: x(value), y: HEIGHT - 10 }, short(value)));
  const good = band.filter(([, a, b]) => Number.isFinite(a) && Number.isFinite(b));
  if (good.length) {
    const there = good.map(([s, , b]) => `${x(s)} ${y(b)}`), back = good.map(([s, a]) => `${x(s)} ${y(a)}`).reverse();
    svg.append(make("path", { class: "band", d: `M${[...there, ...back].join("L")}Z` }));
  }
  for (const { points, kind } of lines) {
    const seen = points.filter(([, value]) => Number.isFinite(value)).map(([s, value]) => `${x(s)} ${y(value)}`);
    if (seen.length) svg.append(make("path", { class: `curve ${kind}`, d: seen.length > 1 ? `M${seen.join("L")}` : `M${seen[0]}h0.01` }));
  }
  for (const step of marks) svg.append(make("path", { class: "mark", d: `M${x(step)} ${TOP}l-5 -8h10z` }));
  if (cursor !== null) svg.append(make("path", { class: "cursor", d: `M${x(cursor)} ${TOP}V${HEIGHT - BOTTOM}` }));
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    pick((((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * last);
  });
  return svg;
}
