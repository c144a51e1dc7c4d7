// The page: its bar, its keys, and what each of them does.
import { compute } from "./calculus.js";
import { data, el, live, makeRoom, nameOf, readable, seen, state, trace, words } from "./model.js";
import { build, corner, draw, fit, highlight, move, pan, pointer, resized, reveal, show, stage, view, zoom } from "./stage.js";
import { forwardSteps, planSteps, sentences } from "./steps.js";
import { follow, inspect, inspector } from "./inspector.js";
import { outline, tree } from "./outline.js";

const LEARNER = 60; // operations; a smaller graph starts before its backward pass
const PACE = 900; // milliseconds of a step while it plays
const SOON = 200; // nodes and boxes; of more the outline is written after the first picture
const QUIET = 300; // milliseconds before the address is written anew

const bar = el("header"), hints = el("p", { class: "keys" });
const strip = el("p", { role: "status", "aria-live": "polite", class: "strip" });
let slider = el("input"), finder = el("input"), hits = el("output"), remembering = 0;

/** @param {number} to */
function go(to) {
  state.step = Math.max(0, Math.min(state.steps.length, to));
  const now = state.steps[state.step - 1];
  show();
  say(now ? sentences(now.way, now.part?.key ?? "") : [words.begin]);
  slider.value = state.step;
  remember();
}

/** @param {string[]} said */
function say(said) {
  strip.replaceChildren(el("span", { class: "count" }, `${state.step} / ${state.steps.length}`), ...said.map((s) => el("span", {}, s)));
}

/** Open or close a box; it stays where it is. With `all` those of its kind, as many as can be seen. @param {number} group */
export function toggle(group, all = false) {
  const { opened } = state, before = corner(group), open = !opened.has(group), { kind } = trace.groups[group];
  open ? opened.add(group) : opened.delete(group);
  const closed = open ? makeRoom(group) : 0;
  trace.groups.forEach((g, i) => {
    if (!all || !i || i === group || g.kind !== kind) return;
    if (!open) opened.delete(i);
    else if (!opened.has(i) && opened.add(i) && seen() > data.most) opened.delete(i);
  });
  const followed = state.step === state.steps.length;
  draw();
  tree();
  const after = corner(group);
  if (before && after) {
    view.x += (before.x - after.x) * view.k;
    view.y += (before.y - after.y) * view.k;
  }
  move();
  inspect();
  slider.max = state.steps.length;
  go(followed ? state.steps.length : state.step);
  if (closed) say([words.folded.replace("{}", String(closed)).replace("{}", String(data.most))]);
}

/** @param {string|null} key */
export function select(key) {
  state.selected = key;
  state.chain = new Set();
  show();
  reveal(key);
  inspect();
  remember();
}

/** Another number for a leaf: everything is computed again. @param {number} at @param {number} x */
export function change(at, x) {
  if (Number.isNaN(x)) return;
  state.given.set(at, x);
  state.current = compute(trace, state.given);
  build();
  tree();
  if (state.steps[state.step - 1]) go(state.step);
}

/** Keep in the address what is seen, and tell it a notebook; not at every step, which browsers refuse. */
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    if (window.parent !== window) window.parent.postMessage({ tarograd: { step: state.step, selected: state.selected ?? "" } }, "*");
    try {
      history.replaceState(null, "", `#s=${state.step}&o=${[...state.opened].join(",")}`);
    } catch {
      // A page inside another one has no address of its own.
    }
  }, QUIET);
}

/** Mark what a text is found in; gives the first. @param {string} text */
function search(text) {
  const wanted = text.trim().toLowerCase();
  const has = (/** @type {string} */ name) => name.toLowerCase().includes(wanted);
  const found = !wanted ? [] : [
    ...[...trace.values.keys()].filter((v) => has(nameOf(v))).map((v) => `value${v}`),
    ...[...trace.nodes.keys()].filter((n) => has(trace.nodes[n].op)).map((n) => `node${n}`),
    ...[...trace.groups.keys()].filter((g) => g && has(trace.groups[g].name)).map((g) => `group${g}`),
  ];
  highlight(found);
  hits.textContent = wanted ? String(found.length) : "";
  return found[0];
}

function play() {
  clearInterval(state.playing);
  if (state.playing) return void (state.playing = 0);
  if (state.step === state.steps.length) go(0);
  state.playing = setInterval(() => (state.step < state.steps.length ? go(state.step + 1) : play()), PACE);
}

/** @param {KeyboardEvent} event */
function keys(event) {
  const target = /** @type {HTMLElement} */ (event.target), { selected } = state;
  if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key === "Escape") target.blur();
    return;
  }
  /** @type {Record<string, () => void>} */
  const actions = event.shiftKey && event.key.startsWith("Arrow") ? {
    ArrowRight: () => pan(-1, 0), ArrowLeft: () => pan(1, 0), ArrowDown: () => pan(0, -1), ArrowUp: () => pan(0, 1),
  } : {
    ArrowRight: () => go(state.step + 1), ArrowLeft: () => go(state.step - 1), Home: () => go(0), End: () => go(state.steps.length), " ": play,
    f: () => fit(), "/": () => finder.focus(), "+": () => zoom(1.25), "-": () => zoom(0.8), Escape: () => select(null),
    c: () => selected?.startsWith("value") && follow(Number(selected.slice(5))), e: () => document.getElementById("leaf")?.focus(),
    v: () => selected?.startsWith("node") && select(`value${trace.nodes[Number(selected.slice(4))].output}`),
    s: () => document.getElementById("slice")?.focus(),
    Enter: () => selected?.startsWith("group") && toggle(Number(selected.slice(5)), event.shiftKey),
  };
  if (!(event.key in actions) || (target instanceof HTMLButtonElement && [" ", "Enter"].includes(event.key))) return;
  event.preventDefault();
  actions[event.key]();
}

/** @param {Element} target @param {MouseEvent} event */
function clicked(target, event) {
  const box = /** @type {HTMLElement|null} */ (target.closest(".box")), edge = /** @type {HTMLElement|null} */ (target.closest(".edge, .label"));
  if (box && !(box.classList.contains("open") && target.tagName !== "text")) {
    select((box.dataset.kind ?? "").replace("leaf", "value") + box.dataset.ref);
    if (box.dataset.kind === "group") toggle(Number(box.dataset.ref), event.shiftKey);
  } else select(edge ? `value${edge.dataset.value}` : null);
}

/** @param {string} language */
function speak(language) {
  Object.assign(words, data.words[language]);
  document.documentElement.lang = language;
  const signs = /** @type {Record<string, string>} */ ({ first: "|◀\ufe0e", back: "◀\ufe0e", next: "▶\ufe0e", last: "▶\ufe0e|", play: "▷", fit: "[ ]" }); // as text, which a phone takes for emoji
  const button = (/** @type {string} */ word, /** @type {string} */ key, /** @type {() => void} */ action) => el("button", { title: `${words[word]} (${key})`, "aria-label": words[word], onclick: action }, signs[word]);
  slider = el("input", { type: "range", min: 0, max: state.steps.length, "aria-label": words.step, oninput: () => go(slider.valueAsNumber) });
  finder = el("input", { type: "search", placeholder: `${words.search} (/)`, "aria-label": words.search, oninput: () => search(finder.value), onkeydown: (/** @type {KeyboardEvent} */ e) => e.key === "Enter" && search(finder.value) && select(search(finder.value)) });
  const choose = el("select", { "aria-label": words.language, onchange: () => speak(choose.value) }, ...Object.entries(data.words).map(([key, it]) => el("option", { value: key, lang: key, ...(key === language ? { selected: "" } : {}) }, it.name)));
  bar.replaceChildren(el("h1", {}, readable(trace.title)), button("first", "Home", () => go(0)), button("back", "←", () => go(state.step - 1)), button("play", words.space, play), button("next", "→", () => go(state.step + 1)), button("last", "End", () => go(state.steps.length)), slider, button("fit", "f", () => fit()), finder, hits, choose);
  outline.setAttribute("aria-label", words.outline);
  inspector.setAttribute("aria-label", words.details);
  hints.textContent = words.keys;
  draw();
  if (outline.firstChild || seen() < SOON) tree();
  else requestAnimationFrame(() => setTimeout(tree, 50)); // the picture comes first
  slider.max = state.steps.length;
  inspect();
  go(state.step);
}

function start() {
  document.getElementById("app")?.append(bar, el("nav", {}, outline), stage, inspector, el("footer", {}, strip, hints));
  const from = new URLSearchParams(location.hash.slice(1)), opened = from.get("o");
  if (opened) state.opened = new Set([0, ...opened.split(",").map(Number).filter((g) => trace.groups[g])]);
  makeRoom(0);
  planSteps();
  state.step = from.has("s") ? Number(from.get("s")) || 0 : trace.nodes.length <= LEARNER ? forwardSteps() : state.steps.length;
  const asked = [data.language, ...navigator.languages].filter((x) => x !== null);
  const known = asked.map((a) => Object.keys(data.words).find((w) => w.split("-")[0] === a.split("-")[0])).filter((x) => x !== undefined);
  speak(known[0] ?? "en");
  pointer(clicked);
  document.addEventListener("keydown", keys);
  new ResizeObserver(resized).observe(stage);
  window.addEventListener("message", ({ source, data }) => source === window.parent && Number.isInteger(data?.tarograd?.step) && go(data.tarograd.step));
}
start();
