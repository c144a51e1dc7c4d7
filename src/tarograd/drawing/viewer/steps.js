// The steps of the computation: their order, what each has reached, and the rule with its numbers.
import { RULES, short } from "./calculus.js";
import { brief, flow, live, nameOf, readable, seenAs, shareOf, slope, state, text, trace, words } from "./model.js";

/** @typedef {import("./model.js").Line} Line */
/** @typedef {import("./model.js").Part} Part */

/** @type {string[]} For each node itself, or the closed box that hides it. */
let shown = [];

/** Each node or closed box forward, then backward. */
export function planSteps() {
  shown = trace.nodes.map((_, i) => seenAs(i));
  /** @type {Map<string, Part>} */
  const parts = new Map();
  trace.nodes.forEach((_, i) => {
    const key = shown[i], part = parts.get(key) ?? { key, last: i, nodes: [] };
    parts.set(key, part);
    part.last = i;
    part.nodes.push(i);
  });
  const order = [...parts.values()].sort((a, b) => a.last - b.last);
  const back = order.filter((p) => p.nodes.some((n) => trace.values[trace.nodes[n].output].gradient !== null));
  state.steps = order.map((part) => ({ way: "forward", part }));
  if (trace.values[trace.output].gradient !== null) {
    state.steps.push({ way: "start" });
    state.steps.push(...back.reverse().map((part) => ({ way: "backward", part })));
  }
}

export const forwardSteps = () => state.steps.filter((s) => s.way === "forward").length;

/** For each value whether it has been computed, and its derivative returned, so far. */
export function progress() {
  const done = new Set(state.steps.slice(0, state.step).map((s) => s.way + (s.part ? s.part.key : "")));
  const started = done.has("start");
  const computed = trace.values.map(({ node }) => node === null || done.has(`forward${shown[node]}`));
  const returned = trace.values.map(() => started);
  for (const use of trace.uses) {
    if (use.gradient === null || !returned[use.value]) continue;
    const key = shown[use.node], { node } = trace.values[use.value];
    if (!done.has(`backward${key}`) && (node === null || key !== shown[node])) returned[use.value] = false;
  }
  const share = (/** @type {Line} */ line) => {
    const [kind, ref] = line.target ?? ["out", 0];
    return kind === "out" ? returned[line.value] : done.has(`backward${kind === "node" ? shown[ref] : `group${ref}`}`);
  };
  return { computed, returned, share };
}

/** The sentences of a step: the rule with its numbers. @param {string} way @param {string} key @returns {string[]} */
export function sentences(way, key) {
  const { current, given } = state;
  if (way === "start") return [words.start.replace("{}", slope(trace.output))];
  const ref = Number(key.slice(key.startsWith("node") ? 4 : 5));
  if (key.startsWith("group")) {
    const it = trace.groups[ref];
    if (way === "forward") return it.leaves.map(({ value }) => `${readable(it.name)}(${it.enters.map((e) => nameOf(e.value)).join(", ")}) = ${text(value)}`);
    return it.enters.filter((e) => e.gradient !== null).map((e) => `∂L/∂${nameOf(e.value)} = ${current && given.size ? short(flow(e.value, 0, ["group", ref, 0])) : brief(e.gradient)}`);
  }
  const node = trace.nodes[ref], inputs = node.uses.map((u) => trace.uses[u].value);
  const infix = inputs.length === 2 && !/^\p{L}+$/u.test(node.symbol);
  const write = (/** @type {string[]} */ parts) => (infix ? parts.join(` ${node.symbol} `) : `${node.symbol}(${parts.join(", ")})`);
  if (way === "forward") return [`${write(inputs.map(nameOf))} = ${write(inputs.map(text))} = ${text(node.output)}`];
  return node.uses.flatMap((use, port) => {
    if (trace.uses[use].gradient === null) return [];
    const upstream = current?.gradients[node.output] ?? null;
    const how = live && upstream !== null ? `${short(upstream)} × ${short(local(use))} = ` : "";
    return [`∂L/∂${nameOf(inputs[port])} = ${how}${shareOf(use)}`];
  });
}

/** The derivative of a node by one of its inputs, of a graph of single numbers. @param {number} use */
export function local(use) {
  const { node, port } = trace.uses[use], it = trace.nodes[node], values = state.current?.values ?? [];
  const inputs = it.uses.map((u) => values[trace.uses[u].value]);
  return RULES[it.op][1](values[it.output], ...inputs)[port];
}
