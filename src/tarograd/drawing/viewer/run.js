// The page of a training run, while it goes on or afterwards: curves, findings, the network at
// each recorded moment, and the same in tables for those who read or listen.
import { data, el, moments, now, pictures, run, say, shown, state, ui, words } from "./recording.js";
import { curves, findings, layers, network, table, timeline } from "./panels.js";

/** @typedef {import("./recording.js").Moment} Moment */
/** @typedef {import("./recording.js").Run} Run */

const MOST = 200; // moments that a live page keeps
const QUIET = 300; // milliseconds before the address is written anew
let remembering = 0;

/* ---- time ------------------------------------------------------------------------------------ */

/** @param {number} to */
function show(to, follow = false) {
  shown.at = Math.max(0, Math.min(moments.length - 1, to));
  shown.following = follow || (data.live && run.state === "running" && shown.at === moments.length - 1 && shown.following);
  timeline();
  network();
  layers();
  curves();
  remember();
}
/** Keep the moment in the address, when the hand rests: browsers refuse it at every step. */
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    try {
      history.replaceState(null, "", shown.following || !moments.length ? "#" : `#step=${now().vitals.step}`);
    } catch {
      // A page inside another one has no address of its own.
    }
  }, QUIET);
}
/** To the moment that is nearest to a step. @param {number} step */
export function jump(step) {
  shown.following = false;
  const far = (/** @type {Moment} */ m) => Math.abs(m.vitals.step - step);
  show(moments.reduce((best, m, i) => (far(m) < far(moments[best]) ? i : best), 0));
}
const move = (/** @type {number} */ to) => { shown.following = false; show(to); };

/** @param {MessageEvent} event */
function news(event) {
  /** @type {Run} */
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
  shown.at = Math.max(0, moments.indexOf(looked));
  if (run.state !== "running") ui.source.close();
  ui.state.textContent = state();
  findings();
  const sick = moments.findIndex((m) => m.origin);
  if (shown.following) show(sick >= 0 ? sick : moments.length - 1, true);
  else timeline(), curves();
}
/** Of the moments between the first and the last the one that tells least. */
function closest() {
  const gap = (/** @type {number} */ i) => (moments[i].origin || moments[i] === now() ? Infinity : moments[i + 1].vitals.step - moments[i - 1].vitals.step);
  return moments.slice(2).reduce((best, _, i) => (gap(i + 1) < gap(best) ? i + 1 : best), 1);
}

function listen() {
  ui.source = new EventSource(`events?after=${run.event}`);
  ui.source.onmessage = (/** @type {MessageEvent} */ event) => { shown.lost = false; news(event); };
  ui.source.onerror = () => { shown.lost = true; ui.state.textContent = state(); findings(); };
}

/* ---- start ----------------------------------------------------------------------------------- */

/** @param {string} language */
function speak(language) {
  Object.assign(words, data.words[language], data.words[language].run);
  document.documentElement.lang = language;
  const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {string} */ key, /** @type {() => void} */ action) => el("button", { title: `${name} (${key})`, "aria-label": name, onclick: action }, text);
  const choose = el("select", { "aria-label": words.language, onchange: () => speak(choose.value) }, ...Object.entries(data.words).map(([key, it]) => el("option", { value: key, lang: key, ...(key === language ? { selected: "" } : {}) }, it.name)));
  ui.state = el("span", { class: "state" }, state());
  ui.bar.replaceChildren(el("h1", {}, say(words.title, { network: run.about.network, data: run.about.data })), ui.state, choose);
  ui.range = el("input", { type: "range", min: 0, step: 1, "aria-label": words.time, oninput: () => move(ui.range.valueAsNumber) });
  ui.now = el("output");
  ui.follow = el("button", { onclick: () => show(moments.length - 1, true), "aria-pressed": "true" }, words.follow);
  ui.time.replaceChildren(button("|◀\ufe0e", words.firstMoment, "Home", () => move(0)), button("◀\ufe0e", words.earlier, "←", () => move(shown.at - 1)), ui.range, button("▶\ufe0e", words.later, "→", () => move(shown.at + 1)), button("▶\ufe0e|", words.lastMoment, "End", () => move(moments.length - 1)), ui.follow, ui.now);
  ui.time.setAttribute("aria-label", words.time);
  ui.networkTitle.replaceChildren(el("h2", {}, words.networkTitle), el("p", {}, words.notation));
  ui.graph.setAttribute("aria-label", words.networkTitle);
  const settings = Object.entries(run.about).map(([key, x]) => [key.replace("_", " "), String(x)]);
  ui.about.replaceChildren(el("details", {}, el("summary", {}, words.settings), table(words.settings, ["", ""], settings)), el("p", { class: "keys" }, words.runKeys));
  shown.told = "";
  findings();
  show(shown.at, shown.following);
}

/** @param {KeyboardEvent} event */
function keys(event) {
  if (/** @type {Element} */ (event.target).closest("input, select, summary, .wide, .scroll") || event.ctrlKey || event.metaKey || event.altKey) return;
  /** @type {Record<string, () => void>} */
  const steps = { ArrowLeft: () => move(shown.at - 1), ArrowRight: () => move(shown.at + 1), Home: () => move(0), End: () => move(moments.length - 1), f: () => show(moments.length - 1, true), n: nextFinding };
  if (event.key in steps) steps[event.key](), event.preventDefault();
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
  shown.following = data.live && run.state === "running";
  const asked = Number(new URLSearchParams(location.hash.slice(1)).get("step") ?? NaN);
  const sick = moments.findIndex((m) => m.origin);
  if (sick >= 0) shown.at = sick;
  const known = navigator.languages.map((a) => Object.keys(data.words).find((w) => w.split("-")[0] === a.split("-")[0])).filter(Boolean);
  speak(known[0] ?? "en");
  if (!Number.isNaN(asked) && moments.length) jump(asked);
  document.addEventListener("keydown", keys);
  if (data.live && run.state === "running") listen();
}
start();
