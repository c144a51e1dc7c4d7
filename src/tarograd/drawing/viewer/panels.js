// The parts of the page of a run: findings, curves, the network at a moment, and tables.
import { place } from "./place.js";
import { drawBox, drawLabel, drawLines, make, picture } from "./scene.js";
import { short } from "./calculus.js";
import { chart } from "./charts.js";
import { data, el, moments, now, percent, pictures, run, say, shape, shown, state, ui, words } from "./recording.js";
import { jump } from "./run.js";

/** @typedef {import("./recording.js").Finding} Finding */
/** @typedef {import("./recording.js").Moment} Moment */
/** @typedef {import("./recording.js").Real} Real */
/** @typedef {import("./recording.js").Side} Side */

/* ---- what is said ---------------------------------------------------------------------------- */

/** @param {Finding} finding */
function numbersOf(finding) {
  const { where, numbers } = finding;
  const named = Object.fromEntries(Object.entries(numbers).map(([key, x]) => [key, short(Number(x))]));
  return { ...named, share: percent(numbers.share ?? 0), inverse: short(1 / Number(numbers.ratio ?? 1)), where: where || words.everywhere, first: finding.first, last: finding.last };
}

/** @param {Finding} finding */
function findingItem(finding) {
  const about = words.findings[finding.kind], numbers = numbersOf(finding);
  const when = finding.first === finding.last ? words.seenOnce : words.seen;
  return el("li", {},
    el("strong", {}, say(about.sign, numbers)), ` ${say(when, numbers)} `,
    el("span", { class: "why" }, about.why), " ",
    el("span", { class: "remedy" }, `${words.try} ${about.remedy}`), " ",
    el("button", { onclick: () => jump(finding.first) }, say(words.show, numbers)));
}

/** Where a loss that is no number began. @param {Moment} moment */
function originItem({ origin, vitals }) {
  if (!origin) return null;
  const inputs = origin.inputs.map((i) => say(i.low === null ? words.empty : words.range, { name: i.name, shape: shape(i.shape), low: i.low === null ? "" : short(Number(i.low)), high: i.high === null ? "" : short(Number(i.high)) }));
  const about = words.origin[origin.kind];
  const numbers = { name: origin.name, where: origin.where ? say(words.within, { where: origin.where }) : "", bad: origin.bad, size: origin.size, shape: shape(origin.shape), step: vitals.step + 1 };
  const remedy = words.remedies[origin.name] ?? words.remedies.other;
  return el("li", { class: "fatal" },
    el("strong", {}, say(about, numbers)), " ",
    inputs.length ? el("span", { class: "why" }, `${words.inputs} ${inputs.join("; ")}.`) : null, " ",
    el("span", { class: "remedy" }, `${words.try} ${origin.kind === "operation" ? remedy : words.remedies[origin.kind]}`), " ",
    el("button", { onclick: () => jump(vitals.step) }, say(words.show, { first: vitals.step })));
}

/* ---- the parts ------------------------------------------------------------------------------- */

export function findings() {
  const sick = moments.filter((m) => m.origin);
  const items = [...sick.map(originItem), ...run.findings.map(findingItem)];
  const failed = run.state === "failed" && !sick.length ? [el("p", { class: "fatal" }, say(words.crashed, { message: run.message }))] : [];
  const trouble = run.trouble ? [el("p", {}, say(words.trouble, { message: run.trouble }))] : [];
  const none = moments.length ? words.healthy : words.nothingYet;
  ui.findings.replaceChildren(el("h2", {}, `${words.findingsTitle} (${items.length})`), ...failed, ...trouble,
    items.length ? el("ul", {}, ...items) : failed.length ? "" : el("p", {}, none));
  const summary = [state(), ...[...sick].map(() => words.notANumber), ...run.findings.map((f) => say(words.findings[f.kind].sign, numbersOf(f)))].join(" ");
  if (summary !== shown.told) ui.live.textContent = shown.told = summary; // a screen reader hears news once
}

export function curves() {
  const cursor = moments.length ? now().vitals.step : null;
  const marks = [...run.findings.map((f) => f.first), ...moments.filter((m) => m.origin).map((m) => m.vitals.step)];
  const numeric = run.curve.map((row) => row.map(Number)), shared = { steps: run.state === "running" ? ahead() : run.done, cursor, marks, pick: jump };
  const loss = chart({ ...shared, lines: [{ kind: "one", points: numeric.map(([s, , mean]) => [s, mean]) }], band: numeric.map(([s, low, , high]) => [s, low, high]) });
  const of = (/** @type {string} */ key) => run.epochs.filter((row) => row[key] !== null).map((row) => [row.step, Number(row[key])]);
  const lines = [["train_accuracy", "one"], ["test_accuracy", "two"], ["validation_accuracy", "three"]].map(([key, kind]) => ({ key, kind, points: of(key) })).filter((line) => line.points.length);
  const accuracy = chart({ ...shared, lines, top: 1 });
  const legend = el("p", { class: "legend", "aria-hidden": "true" }, ...lines.map(({ key, kind }) => el("span", { class: kind }, words[key])));
  const last = run.epochs.at(-1), end = numeric.at(-1);
  const told = end ? say(words.lossNow, { step: end[0], loss: short(end[2]), first: short(numeric[0][2]) }) : words.nothingYet;
  ui.curves.replaceChildren(
    el("figure", {}, el("figcaption", {}, el("h2", {}, words.lossTitle), el("p", {}, told)), loss),
    el("figure", {}, el("figcaption", {}, el("h2", {}, words.accuracyTitle), el("p", {}, last ? say(words.accuracyNow, { step: last.step, train: percent(last.train_accuracy), test: percent(last.test_accuracy) }) : words.nothingYet)), accuracy, legend),
    el("details", { class: "epochs", ...(ui.curves.querySelector("details")?.open ? { open: "" } : {}) }, el("summary", {}, words.asTable), epochTable()));
}

/** Where the axis of a run ends that goes on: a long one that has just begun would be a line at the left. */
const ahead = () => Math.min(run.steps, 4 * 2 ** Math.floor(Math.log2(Math.max(run.done, 1))));

function epochTable() {
  const columns = ["epoch", "step", "loss", "train_accuracy", "test_accuracy", "validation_accuracy"].filter((key) => run.epochs.some((row) => row[key] !== null));
  const cell = (/** @type {Record<string, any>} */ row, /** @type {string} */ key) => (row[key] === null ? "" : key.endsWith("accuracy") ? percent(row[key]) : short(row[key]));
  return table(words.asTable, columns.map((key) => words[key]), run.epochs.map((row) => columns.map((key) => cell(row, key))));
}

/** @param {string} caption @param {string[]} head @param {any[][]} rows */
export function table(caption, head, rows) {
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, cell)))))));
}

export function timeline() {
  const m = now();
  ui.range.max = Math.max(0, moments.length - 1);
  ui.range.value = shown.at;
  const text = m ? say(words.moment, { step: m.vitals.step, steps: run.steps, loss: short(Number(m.vitals.loss)), place: shown.at + 1, count: moments.length }) : words.nothingYet;
  ui.range.setAttribute("aria-valuetext", text);
  ui.now.textContent = text;
  ui.follow.hidden = !data.live || run.state !== "running";
  ui.follow.setAttribute("aria-pressed", String(shown.following));
}

/** The network: texts and images of the moment; a backward line is as thick as log of its norm. */
export function network() {
  const m = now();
  if (!m) return ui.graph.replaceChildren();
  const view = pictures[m.picture], scene = place(view, new Set(view.open));
  const norms = m.norms.map((norm) => (norm === null ? null : Number(norm)));
  const svg = make("svg", { class: "graph", viewBox: `0 0 ${scene.width} ${scene.height}`, width: scene.width, height: scene.height, "aria-hidden": "true" });
  const [frames, lines, boxes, labels] = [0, 1, 2, 3].map(() => make("g"));
  for (const line of scene.lines) {
    const drawn = drawLines([line], false);
    for (const back of /** @type {NodeListOf<SVGElement>} */ (drawn.querySelectorAll(".b"))) back.style.strokeWidth = `${thickness(norms[line.value])}`;
    if (norms[line.value] !== null && !Number.isFinite(norms[line.value])) drawn.classList.add("sick");
    lines.append(drawn);
  }
  for (const line of scene.lines) {
    const { label } = line;
    if (!label) continue;
    const [above, below] = m.labels[view.labels.indexOf(label)].map((i) => (i === null ? null : m.sides[i]));
    labels.append(drawLabel({ ...line, label: { ...label, above, below } }, {}));
  }
  for (const box of scene.boxes) {
    const drawn = drawBox(view.trace, box, words);
    if (m.origin && box.kind === "node" && box.ref === m.origin.node) drawn.classList.add("sick");
    if (m.origin && box.kind === "group" && !box.open && view.trace.groups[box.ref].name === m.origin.where.split(".").at(-1)) drawn.classList.add("sick");
    (box.open ? frames : boxes).append(drawn);
  }
  svg.append(frames, lines, boxes, labels);
  svg.style.minWidth = `${0.6 * scene.width}px`; // smaller cannot be read: then it scrolls
  ui.graph.replaceChildren(svg);
}
/** In pixels: 1 for 1e-5 and less, 10 for 10 and more; a factor of 10 is worth 1.5. */
const thickness = (/** @type {number|null} */ norm) => (norm ? Math.max(1, Math.min(10, 8.5 + 1.5 * Math.log10(norm))) : 0.6);

export function layers() {
  const m = now();
  if (!m) return ui.layers.replaceChildren();
  const value = (/** @type {Real|null} */ x) => (x === null ? words.notComputed : short(Number(x)));
  const looks = (/** @type {number|null} */ side) => (side === null ? words.notComputed : look(m.sides[side]));
  const weights = m.vitals.weights.map((w) => {
    const [above, below] = m.parameters[m.paths[w.name]];
    return [`${w.name} ${shape(w.shape)}`, looks(above), value(w.norm), looks(below), value(w.gradient), w.update === null ? words.notComputed : `${short(100 * Number(w.update))} %`];
  });
  const units = m.vitals.units.map((u) => [u.name, u.op, String(u.count), u.op === "relu" ? `${u.silent.length} (${percent(u.silent.length / u.count)})` : "–", u.op === "relu" ? "–" : percent(u.saturated)]);
  const signal = m.vitals.signal.map((s) => [s.name, short(Number(s.norm))]);
  ui.layers.replaceChildren(
    table(words.weightsTitle, [words.parameter, words.weights, `‖w‖`, words.gradient, `‖∂L/∂w‖`, words.update], weights),
    ...(units.length ? [table(words.unitsTitle, [words.layer, words.kind, words.neurons, words.silent, words.saturated], units)] : []),
    ...(signal.length ? [table(words.signalTitle, [words.layer, `‖∂L/∂y‖`], signal)] : []));
}

/** An array as an image and as a histogram, side by side. @param {Side} side */
function look(side) {
  const svg = make("svg", { viewBox: "0 0 100 36", class: "look", "aria-hidden": "true" });
  if (side.image) svg.append(picture(side, 20, 2, 32));
  if (side.histogram.length) svg.append(picture({ histogram: side.histogram }, 71, 2, 32));
  svg.append(make("title", {}, side.full));
  return side.image || side.histogram.length ? svg : side.lines.at(-1);
}
