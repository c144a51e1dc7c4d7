// The page of a training run, while it goes on or afterwards: curves, findings, the network at
// each recorded moment, and the same in tables for those who read or listen.
import { place } from "./place.js";
import { drawBox, drawLabel, drawLines, make, picture } from "./scene.js";
import { short } from "./calculus.js";
import { chart } from "./charts.js";

const MOST = 200; // moments that a live page keeps
const data = JSON.parse(document.getElementById("data")?.textContent ?? "");
const { run } = data;
const moments = run.moments, pictures = run.pictures;
let words = /** @type {any} */ ({}), at = moments.length - 1, following = true, lost = false, told = "";

const el = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
};
const ui = {};
/** The words with the numbers in their places. */
const say = (text, numbers = {}) => text.replace(/\{(\w+)\}/g, (_, key) => numbers[key] ?? "");
const percent = (x) => `${short(100 * Number(x))} %`;
const now = () => moments[at];

/* ---- what is said ---------------------------------------------------------------------------- */

function numbersOf(finding) {
  const { where, numbers } = finding;
  const named = Object.fromEntries(Object.entries(numbers).map(([key, x]) => [key, short(Number(x))]));
  return { ...named, share: percent(numbers.share ?? 0), inverse: short(1 / Number(numbers.ratio ?? 1)), where: where || words.everywhere, first: finding.first, last: finding.last };
}

function findingItem(finding) {
  const about = words.findings[finding.kind], numbers = numbersOf(finding);
  const when = finding.first === finding.last ? words.seenOnce : words.seen;
  return el("li", {},
    el("strong", {}, say(about.sign, numbers)), ` ${say(when, numbers)} `,
    el("span", { class: "why" }, about.why), " ",
    el("span", { class: "remedy" }, `${words.try} ${about.remedy}`), " ",
    el("button", { onclick: () => jump(finding.first) }, say(words.show, numbers)));
}

/** Where a loss that is no number began. */
function originItem(moment) {
  const { origin, vitals } = moment, inputs = origin.inputs.map((i) => say(i.low === null ? words.empty : words.range, { name: i.name, shape: shape(i.shape), low: i.low === null ? "" : short(Number(i.low)), high: i.high === null ? "" : short(Number(i.high)) }));
  const about = words.origin[origin.kind];
  const numbers = { name: origin.name, where: origin.where ? say(words.within, { where: origin.where }) : "", bad: origin.bad, size: origin.size, shape: shape(origin.shape), step: vitals.step + 1 };
  const remedy = words.remedies[origin.name] ?? words.remedies.other;
  return el("li", { class: "fatal" },
    el("strong", {}, say(about, numbers)), " ",
    inputs.length ? el("span", { class: "why" }, `${words.inputs} ${inputs.join("; ")}.`) : null, " ",
    el("span", { class: "remedy" }, `${words.try} ${origin.kind === "operation" ? remedy : words.remedies[origin.kind]}`), " ",
    el("button", { onclick: () => jump(vitals.step) }, say(words.show, { first: vitals.step })));
}
const shape = (sizes) => (sizes.length === 1 ? `(${sizes[0]})` : sizes.join("×") || "()");

function state() {
  if (lost && run.state === "running") return words.states.lost;
  if (run.state === "running" && !data.live) return words.states.unfinished;
  return words.states[run.state];
}

/* ---- the parts ------------------------------------------------------------------------------- */

function findings() {
  const sick = moments.filter((m) => m.origin);
  const items = [...sick.map(originItem), ...run.findings.map(findingItem)];
  const failed = run.state === "failed" && !sick.length ? [el("p", { class: "fatal" }, say(words.crashed, { message: run.message }))] : [];
  const trouble = run.trouble ? [el("p", {}, say(words.trouble, { message: run.trouble }))] : [];
  const none = moments.length ? words.healthy : words.nothingYet;
  ui.findings.replaceChildren(el("h2", {}, `${words.findingsTitle} (${items.length})`), ...failed, ...trouble,
    items.length ? el("ul", {}, ...items) : failed.length ? "" : el("p", {}, none));
  const summary = [state(), ...[...sick].map(() => words.notANumber), ...run.findings.map((f) => say(words.findings[f.kind].sign, numbersOf(f)))].join(" ");
  if (summary !== told) ui.live.textContent = told = summary; // a screen reader hears news once
}

function curves() {
  const cursor = moments.length ? now().vitals.step : null;
  const marks = [...run.findings.map((f) => f.first), ...moments.filter((m) => m.origin).map((m) => m.vitals.step)];
  const numeric = run.curve.map((row) => row.map(Number)), shared = { steps: run.state === "running" ? run.steps : run.done, cursor, marks, pick: jump };
  const loss = chart({ ...shared, lines: [{ kind: "one", points: numeric.map(([s, , mean]) => [s, mean]) }], band: numeric.map(([s, low, , high]) => [s, low, high]) });
  const of = (key) => run.epochs.filter((row) => row[key] !== null).map((row) => [row.step, row[key]]);
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

function epochTable() {
  const columns = ["epoch", "step", "loss", "train_accuracy", "test_accuracy", "validation_accuracy"].filter((key) => run.epochs.some((row) => row[key] !== null));
  const cell = (row, key) => (row[key] === null ? "" : key.endsWith("accuracy") ? percent(row[key]) : short(row[key]));
  return table(words.asTable, columns.map((key) => words[key]), run.epochs.map((row) => columns.map((key) => cell(row, key))));
}

function table(caption, head, rows) {
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, cell)))))));
}

function timeline() {
  const m = now();
  ui.range.max = Math.max(0, moments.length - 1);
  ui.range.value = at;
  const text = m ? say(words.moment, { step: m.vitals.step, steps: run.steps, loss: short(Number(m.vitals.loss)), place: at + 1, count: moments.length }) : words.nothingYet;
  ui.range.setAttribute("aria-valuetext", text);
  ui.now.textContent = text;
  ui.follow.hidden = !data.live || run.state !== "running";
  ui.follow.setAttribute("aria-pressed", String(following));
}

/** The network: texts and images of the moment; a backward line is as thick as log of its norm. */
function network() {
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
const thickness = (norm) => (norm ? Math.max(1, Math.min(10, 8.5 + 1.5 * Math.log10(norm))) : 0.6);

function layers() {
  const m = now();
  if (!m) return ui.layers.replaceChildren();
  const value = (x) => (x === null ? words.notComputed : short(Number(x)));
  const looks = (side) => (side === null ? words.notComputed : look(m.sides[side]));
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

/** An array as an image and as a histogram, side by side. */
function look(side) {
  const svg = make("svg", { viewBox: "0 0 100 36", class: "look", "aria-hidden": "true" });
  if (side.image) svg.append(picture(side, 20, 2, 32));
  if (side.histogram.length) svg.append(picture({ histogram: side.histogram }, 71, 2, 32));
  svg.append(make("title", {}, side.full));
  return side.image || side.histogram.length ? svg : side.lines.at(-1);
}

/* ---- time ------------------------------------------------------------------------------------ */

function show(to, follow = false) {
  at = Math.max(0, Math.min(moments.length - 1, to));
  following = follow || (data.live && run.state === "running" && at === moments.length - 1 && following);
  timeline();
  network();
  layers();
  curves();
  history.replaceState(null, "", following || !moments.length ? "#" : `#step=${now().vitals.step}`);
}
/** To the moment that is nearest to a step. */
function jump(step) {
  following = false;
  const far = (m) => Math.abs(m.vitals.step - step);
  show(moments.reduce((best, m, i) => (far(m) < far(moments[best]) ? i : best), 0));
}
const move = (to) => { following = false; show(to); };

function news(event) {
  const { moments: more, pictures: layouts, ...rest } = JSON.parse(event.data);
  Object.assign(run, rest);
  pictures.splice(0, pictures.length, ...layouts);
  const looked = now();
  for (const moment of more) {
    const same = moments.findIndex((m) => m.vitals.step === moment.vitals.step);
    if (same >= 0) moments.splice(same, 1); // after NaN the last moment comes again, with its cause
    moments.push(moment);
  }
  moments.sort((a, b) => a.vitals.step - b.vitals.step);
  while (moments.length > MOST) moments.splice(closest(), 1);
  at = Math.max(0, moments.indexOf(looked));
  if (run.state !== "running") ui.source.close();
  ui.state.textContent = state();
  findings();
  const sick = moments.findIndex((m) => m.origin);
  if (following) show(sick >= 0 ? sick : moments.length - 1, true);
  else timeline(), curves();
}
/** Of the moments between the first and the last the one that tells least. */
function closest() {
  const gap = (i) => (moments[i].origin || moments[i] === now() ? Infinity : moments[i + 1].vitals.step - moments[i - 1].vitals.step);
  return moments.slice(2).reduce((best, _, i) => (gap(i + 1) < gap(best) ? i + 1 : best), 1);
}

function listen() {
  ui.source = new EventSource(`events?after=${run.event}`);
  ui.source.onmessage = (event) => { lost = false; news(event); };
  ui.source.onerror = () => { lost = true; ui.state.textContent = state(); findings(); };
}

/* ---- start ----------------------------------------------------------------------------------- */

function speak(language) {
  words = { ...data.words[language], ...data.words[language].run };
  document.documentElement.lang = language;
  const button = (text, name, key, action) => el("button", { title: `${name} (${key})`, "aria-label": name, onclick: action }, text);
  const choose = el("select", { "aria-label": words.language, onchange: (e) => speak(e.target.value) }, ...Object.entries(data.words).map(([key, it]) => el("option", { value: key, lang: key, ...(key === language ? { selected: "" } : {}) }, it.name)));
  ui.state = el("span", { class: "state" }, state());
  ui.bar.replaceChildren(el("h1", {}, say(words.title, { network: run.about.network, data: run.about.data })), ui.state, choose);
  ui.range = el("input", { type: "range", min: 0, step: 1, "aria-label": words.time, oninput: (e) => move(Number(e.target.value)) });
  ui.now = el("output");
  ui.follow = el("button", { onclick: () => show(moments.length - 1, true), "aria-pressed": "true" }, words.follow);
  ui.time.replaceChildren(button("|◀", words.firstMoment, "Home", () => move(0)), button("◀", words.earlier, "←", () => move(at - 1)), ui.range, button("▶", words.later, "→", () => move(at + 1)), button("▶|", words.lastMoment, "End", () => move(moments.length - 1)), ui.follow, ui.now);
  ui.time.setAttribute("aria-label", words.time);
  ui.networkTitle.replaceChildren(el("h2", {}, words.networkTitle), el("p", {}, words.notation));
  ui.graph.setAttribute("aria-label", words.networkTitle);
  const settings = Object.entries(run.about).map(([key, x]) => [key.replace("_", " "), String(x)]);
  ui.about.replaceChildren(el("details", {}, el("summary", {}, words.settings), table(words.settings, ["", ""], settings)), el("p", { class: "keys" }, words.runKeys));
  told = "";
  findings();
  show(at, following);
}

function keys(event) {
  if (event.target.closest("input, select, summary, .wide, .scroll") || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: () => move(at - 1), ArrowRight: () => move(at + 1), Home: () => move(0), End: () => move(moments.length - 1), f: () => show(moments.length - 1, true), n: nextFinding }[event.key];
  if (step) step(), event.preventDefault();
}
function nextFinding() {
  const steps = [...run.findings.map((f) => f.first), ...moments.filter((m) => m.origin).map((m) => m.vitals.step)].sort((a, b) => a - b);
  if (steps.length) jump(steps.find((s) => s > now().vitals.step) ?? steps[0]);
}

function start() {
  ui.bar = el("header");
  ui.findings = el("section", { class: "findings" });
  ui.time = el("section", { class: "time" });
  ui.curves = el("section", { class: "curves" });
  ui.networkTitle = el("div");
  ui.graph = el("div", { class: "scroll", tabindex: "0", role: "region" });
  ui.layers = el("section", { class: "layers" });
  ui.about = el("footer");
  ui.live = el("p", { role: "status", "aria-live": "polite", class: "heard" });
  const app = document.getElementById("app");
  app?.append(ui.bar, ui.live, ui.findings, ui.time, ui.curves, el("section", { class: "network" }, ui.networkTitle, ui.graph), ui.layers, ui.about);
  following = data.live && run.state === "running";
  const asked = Number(new URLSearchParams(location.hash.slice(1)).get("step") ?? NaN);
  const sick = moments.findIndex((m) => m.origin);
  if (sick >= 0) at = sick;
  const known = navigator.languages.map((a) => Object.keys(data.words).find((w) => w.split("-")[0] === a.split("-")[0])).filter(Boolean);
  speak(known[0] ?? "en");
  if (!Number.isNaN(asked) && moments.length) jump(asked);
  document.addEventListener("keydown", keys);
  if (data.live && run.state === "running") listen();
}
start();
