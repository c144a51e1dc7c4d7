// What the page shows, as data: the trace, and what of it is open, followed and selected.
import { computable, compute, short } from "./calculus.js";

/**
 * The parts of the trace that the page reads; `trace.schema.json` describes all of it.
 * @typedef {{shape: number[], dtype: string, norm: number|string, min: number|string|null,
 *   max: number|string|null, finite: number, data?: (number|string)[], image?: string|null,
 *   histogram?: number[], slices?: {axis: number, count: number, shown: number, image: string}}} Summary
 * @typedef {{kind: string, name: string|null, array: number, gradient: number|null,
 *   node: number|null, home: number}} Value
 * @typedef {{value: number, node: number, port: number, gradient: number|null}} Use
 * @typedef {{op: string, symbol: string, group: number, uses: number[], output: number}} Node
 * @typedef {{value: number, gradient: number|null}} Flow
 * @typedef {{name: string, kind: string, symbol: string, parent: number|null, level: number,
 *   size: number, enters: Flow[], leaves: Flow[]}} Group
 * @typedef {{title: string, output: number, values: Value[], uses: Use[], nodes: Node[],
 *   groups: Group[], arrays: Summary[]}} Trace
 * @typedef {[string, number, number]} Target
 * @typedef {{lines: string[], full: string, image: string|null, histogram: number[],
 *   finite: boolean, height: number}} Side
 * @typedef {{width: number, up: number, down: number, above: Side|null, below: Side|null}} Label
 * @typedef {{kind: string, ref: number, ports: number[], outputs: number[], target: Target|null,
 *   rank: number, size: number[], at: number[][], labels: (number|null)[]}} Item
 * @typedef {{items: Item[], links: [number, number, number, number, number, boolean][],
 *   columns: number[][], branching: number[], flowing: number[]}} Level
 * @typedef {{kind: string, ref: number, group: number, x: number, y: number, width: number,
 *   height: number, open: boolean}} Box
 * @typedef {{kind: string, value: number, group: number, item?: number, target?: Target|null,
 *   points: number[][], flows: boolean, label: Label|null, head: boolean, tail: boolean,
 *   branch: boolean}} Line
 * @typedef {{width: number, height: number, boxes: Box[], lines: Line[]}} Scene
 * @typedef {{key: string, last: number, nodes: number[]}} Part
 * @typedef {{way: string, part?: Part}} Step
 * @typedef {{trace: Trace, levels: Level[], labels: Label[], images: string[], open: number[], most: number,
 *   words: Record<string, Record<string, string>>, language: string|null}} Data
 */

/** @type {Data} */
export const data = JSON.parse(document.getElementById("data")?.textContent ?? "");
export const { trace } = data;
for (const part of [...data.labels.flatMap(({ above, below }) => [above, below]), ...trace.arrays])
  if (typeof part?.image === "number") part.image = data.images[part.image]; // each is written once
export const live = computable(trace);
/** @type {Record<string, string>} The words of the chosen language. */
export const words = {};
export const state = {
  /** @type {Set<number>} */ opened: new Set([0, ...data.open]),
  /** @type {Map<number, number>} */ given: new Map(),
  current: live ? compute(trace, new Map()) : null,
  /** @type {Step[]} */ steps: [],
  step: 0,
  /** @type {string|null} */ selected: null,
  /** @type {Set<number>} */ chain: new Set(),
  playing: 0,
};

/**
 * An element of the page; what begins with "on" listens, null and false are left out.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {...any} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/* ---- where things are ----------------------------------------------------------------------- */

/** The nodes and the groups directly within each group. */
export const inside = trace.groups.map((/** @returns {Record<"nodes"|"groups"|"leaves", number[]>} */ () => ({ nodes: [], groups: [], leaves: [] })));
trace.nodes.forEach((node, i) => inside[node.group].nodes.push(i));
trace.groups.forEach((group, i) => group.parent !== null && inside[group.parent].groups.push(i));
trace.values.forEach((value, i) => value.node === null && inside[value.home].leaves.push(i));

/** The group and those around it, the outermost last. @param {number} group */
export function outward(group) {
  const path = [];
  for (let g = /** @type {number|null} */ (group); g !== null; g = trace.groups[g].parent) path.push(g);
  return path;
}

/** The closed group that hides a node, or the node itself, as "group3" or "node5". @param {number} node */
export function seenAs(node) {
  const closed = outward(trace.nodes[node].group).filter((g) => g && !state.opened.has(g));
  return closed.length ? `group${closed.at(-1)}` : `node${node}`;
}

/** How many nodes and boxes are seen. */
export function seen() {
  let count = 0;
  for (const waiting = [0]; waiting.length; ) {
    const { nodes, groups } = inside[waiting.pop() ?? 0];
    count += nodes.length + groups.length;
    waiting.push(...groups.filter((g) => state.opened.has(g)));
  }
  return count;
}

/** Close what was opened longest ago, but not what is around `kept`, until few enough are seen. @param {number} kept */
export function makeRoom(kept) {
  const around = outward(kept);
  let closed = 0;
  for (const group of [...state.opened]) {
    if (seen() <= data.most) break;
    if (group && !around.includes(group)) closed += Number(state.opened.delete(group));
  }
  return closed;
}

/* ---- what is written about values ----------------------------------------------------------- */

/** A name within a sentence, which it must not turn around: Arabic and Hebrew are isolated. @param {string} name */
export function readable(name) {
  const line = name.replace(/\p{C}/gu, " ");
  return /[\p{Script=Arabic}\p{Script=Hebrew}]/u.test(line) ? `\u2068${line}\u2069` : line;
}

/** @param {number} v @returns {string} */
export function nameOf(v) {
  const value = trace.values[v];
  if (value.name) return readable(value.name);
  if (value.node !== null) return `${trace.nodes[value.node].op}${value.node + 1}`;
  return text(v);
}

/** An array in a few words. @param {number|null} array */
export function brief(array) {
  if (array === null) return words.notComputed;
  const about = trace.arrays[array], count = about.shape.reduce((a, b) => a * b, 1);
  if (about.data && about.shape.length < 2 && count <= 3 && count) {
    const numbers = about.data.map((x) => short(Number(x))).join(" ");
    return about.shape.length ? `[${numbers}]` : numbers;
  }
  const size = about.shape.length === 1 ? `(${count})` : about.shape.join("×");
  const missing = count - about.finite;
  return missing ? `${size} ${missing} ${words.notFinite}` : `${size} ‖${short(Number(about.norm))}‖`;
}

/** The value, its derivative, and the share of a use, as they are after a leaf was changed. @param {number} v */
export const text = (v) => (state.current ? short(state.current.values[v]) : brief(trace.values[v].array));
/** @param {number} v */
export const slope = (v) => now(state.current?.gradients[v]) ?? brief(trace.values[v].gradient);
/** @param {number} use */
export const shareOf = (use) => now(state.current?.shares[use]) ?? brief(trace.uses[use].gradient);
/** @param {number|null|undefined} x */
const now = (x) => (x === null || x === undefined ? null : short(x));

/**
 * The share of a value's derivative on the way to a target, when a leaf has been changed.
 * @param {number} value @param {number} group @param {Target} target
 */
export function flow(value, group, target) {
  const [kind, ref, port] = target, { current } = state;
  if (!current) return 0;
  const within = (/** @type {number} */ g, /** @type {Use} */ use) => outward(trace.nodes[use.node].group).includes(g);
  let total = 0;
  trace.uses.forEach((use, i) => {
    if (use.value !== value || current.shares[i] === null) return;
    const counts = kind === "node" ? use.node === ref && use.port === port
      : kind === "group" ? within(ref, use) : !within(group, use);
    if (counts) total += current.shares[i];
  });
  if (kind === "out" && value === trace.output) total += current.gradients[trace.output] ?? 0;
  return total;
}

/** What stands beside a line after a leaf was changed. @param {Line} line @returns {{above?: Side, below?: Side}} */
export function changed(line) {
  const { current, given } = state, { label, value } = line;
  if (!current || !given.size || !label) return {};
  const side = (/** @type {Side} */ old, /** @type {number} */ x) => {
    const sum = old.lines[0].startsWith("Σ ") ? "Σ " : "";
    return { ...old, lines: [sum + short(x)], full: String(x), finite: Number.isFinite(x) };
  };
  const texts = /** @type {{above?: Side, below?: Side}} */ ({});
  if (label.above) texts.above = side(label.above, current.values[value]);
  if (label.below) {
    const part = line.kind === "share" && line.target ? flow(value, line.group, line.target)
      : line.kind === "group" ? flow(value, data.levels[line.group].items[line.item ?? 0].ref, ["out", 0, 0])
      : current.gradients[value] ?? 0;
    texts.below = side(label.below, part);
  }
  return texts;
}
