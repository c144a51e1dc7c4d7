// The panel that looks into what is selected: the rule, the numbers, images, and all paths to the end.
import { short } from "./calculus.js";
import { brief, el, live, nameOf, readable, slope, state, text, trace, words } from "./model.js";
import { make, picture } from "./scene.js";
import { local, sentences } from "./steps.js";
import { change, select, toggle } from "./page.js";
import { show } from "./stage.js";

const PATHS = 50; // are shown at most

export const inspector = el("aside", { tabindex: "0", role: "region" });

/** @param {string} name @param {string} value */
const row = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

/** The numbers of an array, a row in a line. @param {(number|string)[]} data @param {number[]} shape */
const rows = (data, shape) => data.map((x, i) => short(Number(x)) + ((i + 1) % shape[shape.length - 1] ? "  " : "\n")).join("");

/** Show what is known of the selected value, node or box. */
export function inspect() {
  const { selected, opened } = state, at = Number((selected ?? "").replace(/\D+/, ""));
  if (!selected) return inspector.replaceChildren(el("p", { class: "hint" }, words.hint));
  if (selected.startsWith("value")) return inspectValue(at);
  const key = selected;
  const lines = ["forward", "backward"].flatMap((way) => sentences(way, key)).map((s) => el("p", { class: "rule" }, s));
  const group = key.startsWith("group") ? trace.groups[at] : null;
  const title = group ? readable(group.name) : `${trace.nodes[at].symbol}  ${trace.nodes[at].op}`;
  const open = group ? [el("button", { id: "toggle", onclick: () => toggle(at) }, opened.has(at) ? words.close : words.open)] : [];
  const inputs = group ? group.enters.map((e) => e.value) : trace.nodes[at].uses.map((u) => trace.uses[u].value);
  const outputs = group ? group.leaves.map((e) => e.value) : [trace.nodes[at].output];
  const edges = (/** @type {string} */ title, /** @type {number[]} */ values) => [el("h3", {}, title), ...[...new Set(values)].map((v) => el("button", { class: "value", onclick: () => select(`value${v}`) }, `${nameOf(v)} = ${text(v)}`))];
  const focused = document.activeElement?.id === "toggle";
  inspector.replaceChildren(el("h2", {}, title), ...lines, ...open, ...edges(words.inputs, inputs), ...edges(words.result, outputs));
  if (focused) document.getElementById("toggle")?.focus();
}

/** @param {number} at */
function inspectValue(at) {
  const value = trace.values[at], which = el("output");
  const parts = [el("h2", {}, nameOf(at))], drawings = /** @type {((i: number) => void)[]} */ ([]);
  const slices = [value.array, value.gradient].map((array) => (array === null ? null : trace.arrays[array].slices)).find((x) => x);
  if (slices) {
    const choose = el("input", { type: "range", min: -1, max: slices.shown - 1, value: -1, id: "slice", "aria-label": words.slice, oninput: () => drawings.forEach((f) => f(choose.valueAsNumber)) });
    const place = slices.axis ? ":, " : "";
    drawings.push((i) => (which.textContent = i < 0 ? words.whole : `[${place}${i}] / ${slices.count}`));
    parts.push(el("label", {}, `${words.slice} `, choose, " ", which));
  }
  for (const [title, array, now] of /** @type {[string, number|null, string][]} */ ([[words.value, value.array, text(at)], [words.derivative, value.gradient, slope(at)]])) {
    const about = array === null ? null : trace.arrays[array];
    const list = el("dl", {}, ...row(title, now));
    if (about?.shape.length) {
      list.append(...row(words.shape, `${about.shape.join("×")} ${about.dtype}`), ...row(words.norm, String(about.norm)));
      if (about.min !== null) list.append(...row(words.range, `${short(Number(about.min))} … ${short(Number(about.max))}`));
      if (about.data) list.append(...row(words.numbers, rows(about.data, about.shape)));
    } else if (about?.data && !state.given.size) list.append(...row(words.exact, String(about.data[0])));
    parts.push(list);
    if (about) parts.push(...pictures(about, title, drawings));
  }
  drawings.forEach((f) => f(-1));
  if (live && state.current && value.node === null) {
    const input = el("input", { type: "number", step: "any", value: String(state.current.values[at]), "aria-label": words.change, id: "leaf" });
    input.addEventListener("input", () => change(at, input.valueAsNumber));
    parts.push(el("label", {}, `${words.change} `, input));
  }
  const expression = `picture.trace.values[${at}].array`;
  parts.push(el("button", { onclick: () => follow(at) }, words.chain), el("button", { id: "copy", onclick: () => copy(expression) }, words.copy));
  inspector.replaceChildren(...parts, el("div", { id: "paths" }));
}

/**
 * The image, of the whole or of a slice, and the histogram of an array.
 * @param {import("./model.js").Summary} about @param {string} title @param {((i: number) => void)[]} drawings
 */
function pictures(about, title, drawings) {
  const panel = (/** @type {string} */ kind) => make("svg", { viewBox: "0 0 160 92", class: "large", role: "img", "aria-label": `${title}, ${kind}` });
  const found = [];
  if (about.image || about.slices) {
    const drawn = panel(words.image), { image, slices } = about;
    drawings.push((i) => drawn.replaceChildren(
      ...(slices && i >= 0 ? [slice(slices, i)] : image ? [picture({ image, histogram: [] }, 80, 2, 88)] : [])));
    found.push(drawn);
  }
  if (about.histogram?.length) {
    const drawn = panel(words.histogram);
    drawn.append(picture({ histogram: about.histogram }, 80, 2, 88));
    found.push(drawn);
  }
  return found;
}

/**
 * One of the pictures that stand one below the other in an image.
 * @param {NonNullable<import("./model.js").Summary["slices"]>} slices @param {number} i
 */
function slice({ image, shown }, i) {
  const window = make("svg", { x: 36, y: 2, width: 88, height: 88 });
  window.append(make("image", { y: -88 * i, width: 88, height: 88 * shown, preserveAspectRatio: "none", href: `data:image/png;base64,${image}` }));
  return window;
}

/** @param {string} expression */
function copy(expression) {
  const said = el("code", {}, expression); // where the clipboard is out of reach, it can be marked by hand
  document.getElementById("copy")?.after(said);
  navigator.clipboard?.writeText(expression).catch(() => undefined);
}

/** All ways from a value to the end, with the product of the local derivatives along each. @param {number} at */
export function follow(at) {
  /** @type {number[][]} */
  const paths = [], uses = trace.values.map(() => /** @type {number[]} */ ([]));
  trace.uses.forEach((use, i) => use.gradient !== null && uses[use.value].push(i));
  /** @type {[number, number[]][]} */
  const walk = [[at, []]];
  while (walk.length && paths.length < PATHS) {
    const [value, way] = /** @type {[number, number[]]} */ (walk.pop());
    if (value === trace.output) paths.push(way);
    for (const use of [...uses[value]].reverse()) walk.push([trace.nodes[trace.uses[use].node].output, [...way, use]]);
  }
  state.chain = new Set([at, ...paths.flat().map((use) => trace.nodes[trace.uses[use].node].output)]);
  const upstream = state.current?.gradients[trace.output] ?? 1;
  const products = live ? paths.map((way) => way.reduce((p, use) => p * local(use), upstream)) : [];
  const lines = paths.map((way, i) => {
    const symbols = way.map((use) => trace.nodes[trace.uses[use].node].symbol).join(" → ");
    return el("li", {}, live ? `${symbols}:  ${way.map((use) => short(local(use))).join(" × ")} = ${short(products[i])}` : symbols);
  });
  const sum = live ? [el("p", { class: "rule" }, `Σ = ${short(products.reduce((a, b) => a + b, 0))}`)] : [];
  show();
  const count = `${words.paths}: ${paths.length}${walk.length ? "+" : ""}`;
  document.getElementById("paths")?.replaceChildren(el("h3", {}, count), el("ol", {}, ...lines), ...sum);
}
