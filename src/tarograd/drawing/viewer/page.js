// The page: what is open, how far the computation has been followed, what is selected.
import { place } from "./place.js";
import { drawBox, drawLabel, drawLines, make, picture } from "./scene.js";
import { RULES, computable, compute, number, short } from "./calculus.js";

const MANY = 800; // lines; more of them are only hit exactly
const LEARNER = 60; // operations; a smaller graph starts before its backward pass
const data = JSON.parse(document.getElementById("data").textContent);
const { trace } = data;
const opened = new Set(data.open), given = new Map();
const live = computable(trace);
const view = { x: 0, y: 0, k: 1 };
let words = {}, scene, steps = [], step = 0, selected = null, chain = new Set(), current = null, playing = 0, drawn = [];

const el = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};
const ui = {};

/* ---- what is seen of the graph -------------------------------------------------------------- */

const outward = (group) => {
  const path = [];
  for (let g = group; g !== null; g = trace.groups[g].parent) path.push(g);
  return path;
};
/** The closed group that hides a node, or the node itself, as "group3" or "node5". */
const seenAs = (node) => {
  const closed = outward(trace.nodes[node].group).filter((g) => g && !opened.has(g));
  return closed.length ? `group${closed.at(-1)}` : `node${node}`;
};
const nameOf = (v) => {
  const value = trace.values[v];
  if (value.name) return value.name;
  if (value.node !== null) return `${trace.nodes[value.node].symbol}${value.node + 1}`;
  return text(v);
};
const brief = (array) => {
  if (array === null) return words.notComputed;
  const about = trace.arrays[array], count = about.shape.reduce((a, b) => a * b, 1);
  if (about.data && about.shape.length < 2 && count <= 3 && count) {
    const numbers = about.data.map((x) => short(Number(x))).join(" ");
    return about.shape.length ? `[${numbers}]` : numbers;
  }
  const size = about.shape.length === 1 ? `(${count})` : about.shape.join("×");
  const missing = count - about.finite;
  return missing ? `${size} ${missing} ${words.notFinite}` : `${size} ‖${short(Number(about.norm))}‖`;
};
const text = (v) => (current ? short(current.values[v]) : brief(trace.values[v].array));
const slope = (v) => {
  if (current && current.gradients[v] !== null) return short(current.gradients[v]);
  return brief(trace.values[v].gradient);
};
const shareOf = (use) => (current && current.shares[use] !== null ? short(current.shares[use]) : brief(trace.uses[use].gradient));

/** The share of a value's derivative on the way to a target, when a leaf has been changed. */
function flow(value, group, target) {
  const [kind, ref] = target;
  const inside = (g) => (use) => outward(trace.nodes[use.node].group).includes(g);
  let total = 0;
  trace.uses.forEach((use, i) => {
    if (use.value !== value || current.shares[i] === null) return;
    const counts = kind === "node" ? use.node === ref && use.port === target[2]
      : kind === "group" ? inside(ref)(use) : !inside(group)(use);
    if (counts) total += current.shares[i];
  });
  if (kind === "out" && value === trace.output) total += current.gradients[trace.output];
  return total;
}

function changed(line) {
  if (!current || !given.size) return {};
  const { label, value } = line, texts = {};
  const side = (old, x) => {
    const sum = old.lines[0].startsWith("Σ ") ? "Σ " : "";
    return { ...old, lines: [sum + short(x)], full: String(x), finite: Number.isFinite(x) };
  };
  if (label.above) texts.above = side(label.above, current.values[value]);
  if (label.below) {
    const part = line.kind === "share" ? flow(value, line.group, line.target)
      : line.kind === "group" ? flow(value, data.levels[line.group].items[line.item].ref, ["out"])
      : current.gradients[value];
    texts.below = side(label.below, part);
  }
  return texts;
}

/* ---- steps ---------------------------------------------------------------------------------- */

function planSteps() {
  const parts = new Map();
  trace.nodes.forEach((node, i) => {
    const key = seenAs(i);
    if (!parts.has(key)) parts.set(key, { key, last: i, nodes: [] });
    const part = parts.get(key);
    part.last = i;
    part.nodes.push(i);
  });
  const order = [...parts.values()].sort((a, b) => a.last - b.last);
  const back = order.filter((p) => p.nodes.some((n) => trace.values[trace.nodes[n].output].gradient !== null));
  steps = order.map((part) => ({ way: "forward", part }));
  if (trace.values[trace.output].gradient !== null) {
    steps.push({ way: "start" });
    steps.push(...back.reverse().map((part) => ({ way: "backward", part })));
  }
}
const forwardSteps = () => steps.filter((s) => s.way === "forward").length;

function progress() {
  const done = new Set(steps.slice(0, step).map((s) => s.way + (s.part ? s.part.key : "")));
  const started = done.has("start");
  const seen = trace.nodes.map((_, i) => seenAs(i));
  const computed = (v) => {
    const { node } = trace.values[v];
    return node === null || done.has(`forward${seen[node]}`);
  };
  const consumers = trace.values.map(() => new Set());
  for (const use of trace.uses) if (use.gradient !== null) consumers[use.value].add(seen[use.node]);
  const returned = (v) => {
    const { node } = trace.values[v], own = node === null ? null : seen[node];
    return started && [...consumers[v]].every((key) => key === own || done.has(`backward${key}`));
  };
  const share = (line) => {
    const [kind, ref] = line.target;
    return kind === "out" ? returned(line.value) : done.has(`backward${kind === "node" ? seen[ref] : `group${ref}`}`);
  };
  return { computed, returned, share };
}

/** The sentence of a step: the rule with its numbers. */
function sentences(way, key) {
  if (way === "start") return [words.start.replace("{}", slope(trace.output))];
  const ref = Number(key.slice(key.startsWith("node") ? 4 : 5));
  if (key.startsWith("group")) {
    const it = trace.groups[ref];
    if (way === "forward") return it.leaves.map(({ value }) => `${it.name}(${it.enters.map((e) => nameOf(e.value)).join(", ")}) = ${text(value)}`);
    return it.enters.filter((e) => e.gradient !== null).map((e) => `∂L/∂${nameOf(e.value)} = ${current && given.size ? short(flow(e.value, 0, ["group", ref])) : brief(e.gradient)}`);
  }
  const node = trace.nodes[ref], inputs = node.uses.map((u) => trace.uses[u].value);
  const infix = inputs.length === 2 && !/^\p{L}+$/u.test(node.symbol);
  const write = (parts) => (infix ? parts.join(` ${node.symbol} `) : `${node.symbol}(${parts.join(", ")})`);
  if (way === "forward") return [`${write(inputs.map(nameOf))} = ${write(inputs.map(text))} = ${text(node.output)}`];
  const local = live ? RULES[node.op][1](current.values[node.output], ...inputs.map((v) => current.values[v])) : null;
  return node.uses.flatMap((use, port) => {
    if (trace.uses[use].gradient === null) return [];
    const how = local ? `${short(current.gradients[node.output])} × ${short(local[port])} = ` : "";
    return [`∂L/∂${nameOf(inputs[port])} = ${how}${shareOf(use)}`];
  });
}

function go(to) {
  step = Math.max(0, Math.min(steps.length, to));
  const now = steps[step - 1];
  show();
  const said = now ? sentences(now.way, now.part?.key ?? "") : [words.begin];
  ui.strip.replaceChildren(el("span", { class: "count" }, `${step} / ${steps.length}`), ...said.map((s) => el("span", {}, s)));
  ui.count.value = step;
  remember();
}

/* ---- drawing -------------------------------------------------------------------------------- */

function draw() {
  scene = place(data, opened);
  planSteps();
  step = Math.min(step, steps.length);
  build();
  tree();
}

/** The elements of the scene; afterwards only their classes change. */
function build() {
  const layers = { frames: make("g"), lines: make("g"), boxes: make("g"), labels: make("g") };
  const reach = scene.lines.length < MANY;
  drawn = [];
  const bundles = new Map(); // the lines that always look alike are drawn as one
  for (const line of scene.lines) {
    const key = line.kind === "share" ? bundles.size : `${line.group}/${line.value}/${line.flows}`;
    if (!bundles.has(key)) bundles.set(key, []);
    bundles.get(key).push(line);
    if (!line.label) continue;
    const label = drawLabel(line, changed(line));
    layers.labels.append(label);
    drawn.push({ line, elements: [label] });
  }
  for (const lines of bundles.values()) {
    const bundle = drawLines(lines, reach);
    layers.lines.append(bundle);
    drawn.push({ line: lines[0], elements: [bundle] });
  }
  for (const box of scene.boxes) {
    const element = drawBox(trace, box, words);
    layers[box.open ? "frames" : "boxes"].append(element);
    drawn.push({ key: (box.kind + box.ref).replace("leaf", "value"), elements: [element] });
  }
  ui.world.replaceChildren(...Object.values(layers));
  show();
}

/** What has been computed so far, what is selected: the classes of all elements. */
function show() {
  const { computed, returned, share } = progress();
  const now = steps[step - 1]?.part?.key;
  for (const one of drawn) {
    const { line, key, elements } = one;
    const classes = line ? [
      !computed(line.value) && "waiting",
      line.flows && !(line.kind === "share" ? share(line) : returned(line.value)) && "unreturned",
      chain.has(line.value) && "chain",
      selected === `value${line.value}` && "chosen",
    ] : [key === now && "now", selected === key && "chosen"];
    const wanted = classes.filter(Boolean).join(" ");
    if (wanted === (one.classes ?? "")) continue;
    for (const element of elements) {
      element.classList.remove(...(one.classes ?? "").split(" ").filter(Boolean));
      element.classList.add(...wanted.split(" ").filter(Boolean));
    }
    one.classes = wanted;
  }
}

function move() {
  ui.world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  ui.svg.classList.toggle("far", view.k < 0.3);
}
function fit() {
  const { clientWidth: w, clientHeight: h } = ui.svg;
  view.k = Math.min(1.6, Math.max(0.05, Math.min((w - 40) / scene.width, (h - 40) / scene.height)));
  view.x = (w - scene.width * view.k) / 2;
  view.y = (h - scene.height * view.k) / 2;
  move();
}
function zoom(factor, x = ui.svg.clientWidth / 2, y = ui.svg.clientHeight / 2) {
  const k = Math.min(8, Math.max(0.03, view.k * factor));
  view.x = x - ((x - view.x) * k) / view.k;
  view.y = y - ((y - view.y) * k) / view.k;
  view.k = k;
  move();
}

/** Open or close boxes; the one that was asked for stays where it is. */
function toggle(group, all = false) {
  const corner = () => scene.boxes.find((b) => b.kind === "group" && b.ref === group);
  const before = corner(), open = !opened.has(group), { kind } = trace.groups[group];
  trace.groups.forEach((g, i) => {
    if (i === group || (all && i && g.kind === kind)) open ? opened.add(i) : opened.delete(i);
  });
  const followed = step === steps.length;
  draw();
  const after = corner();
  if (before && after) {
    view.x += (before.x - after.x) * view.k;
    view.y += (before.y - before.height / 2 - (after.y - after.height / 2)) * view.k;
    move();
  }
  go(followed ? steps.length : step);
}

/* ---- the inspector -------------------------------------------------------------------------- */

function select(key) {
  selected = key;
  chain = new Set();
  show();
  inspect();
}
const row = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

function inspect() {
  const at = Number((selected ?? "").replace(/\D+/, ""));
  if (!selected) return ui.inspector.replaceChildren(el("p", {}, words.hint));
  if (selected.startsWith("value")) return inspectValue(at);
  const lines = ["forward", "backward"].flatMap((way) => sentences(way, selected)).map((s) => el("p", { class: "rule" }, s));
  const group = selected.startsWith("group") ? trace.groups[at] : null;
  const title = group ? group.name : `${trace.nodes[at].symbol}  ${trace.nodes[at].op}`;
  const open = group ? [el("button", { onclick: () => toggle(at) }, opened.has(at) ? words.close : words.open)] : [];
  ui.inspector.replaceChildren(el("h2", {}, title), ...lines, ...open);
}

function inspectValue(at) {
  const value = trace.values[at];
  const parts = [el("h2", {}, nameOf(at))];
  for (const [title, array, now] of [[words.value, value.array, text(at)], [words.derivative, value.gradient, slope(at)]]) {
    const about = array === null ? null : trace.arrays[array];
    const list = el("dl", {}, ...row(title, now));
    if (about?.shape.length) {
      list.append(...row(words.shape, `${about.shape.join("×")} ${about.dtype}`), ...row(words.norm, String(about.norm)), ...row(words.range, `${short(Number(about.min))} … ${short(Number(about.max))}`));
      if (about.data) list.append(...row(words.numbers, about.data.map((x) => short(Number(x))).join("  ")));
    } else if (about?.data && !given.size) list.append(...row(words.exact, String(about.data[0])));
    parts.push(list);
    for (const image of [about?.image, null])
      if (about && (image || about.histogram?.length)) {
        const drawn = make("svg", { viewBox: "0 0 160 92", class: "large" });
        drawn.append(picture({ image, histogram: about.histogram ?? [] }, 80, 2, 88));
        parts.push(drawn);
      }
  }
  if (live && value.node === null) {
    const input = el("input", { type: "number", step: "any", value: String(current.values[at]), "aria-label": words.change, id: "leaf" });
    input.addEventListener("input", () => change(at, input.valueAsNumber));
    parts.push(el("label", {}, `${words.change} `, input));
  }
  parts.push(el("button", { onclick: () => follow(at) }, words.chain), el("button", { onclick: () => navigator.clipboard?.writeText(`picture.trace.values[${at}].array`) }, words.copy));
  ui.inspector.replaceChildren(...parts, el("div", { id: "paths" }));
}

function change(at, x) {
  if (Number.isNaN(x)) return;
  given.set(at, x);
  current = compute(trace, given);
  build();
  tree();
  if (steps[step - 1]) go(step);
}

/** All ways from a value to the end, with the product of the local derivatives along each. */
function follow(at) {
  const paths = [], uses = trace.values.map(() => []);
  trace.uses.forEach((use, i) => use.gradient !== null && uses[use.value].push(i));
  const walk = [[at, []]];
  while (walk.length && paths.length < 50) {
    const [value, way] = walk.pop();
    if (value === trace.output) paths.push(way);
    for (const use of [...uses[value]].reverse()) walk.push([trace.nodes[trace.uses[use].node].output, [...way, use]]);
  }
  chain = new Set([at, ...paths.flat().map((use) => trace.nodes[trace.uses[use].node].output)]);
  const local = (use) => {
    const { node, port } = trace.uses[use], it = trace.nodes[node];
    const inputs = it.uses.map((u) => current.values[trace.uses[u].value]);
    return RULES[it.op][1](current.values[it.output], ...inputs)[port];
  };
  const upstream = live ? current.gradients[trace.output] : 1;
  const products = live ? paths.map((way) => way.reduce((p, use) => p * local(use), upstream)) : [];
  const lines = paths.map((way, i) => {
    const symbols = way.map((use) => trace.nodes[trace.uses[use].node].symbol).join(" → ");
    return el("li", {}, live ? `${symbols}:  ${way.map((use) => short(local(use))).join(" × ")} = ${short(products[i])}` : symbols);
  });
  const sum = live ? [el("p", { class: "rule" }, `Σ = ${short(products.reduce((a, b) => a + b, 0))}`)] : [];
  show();
  document.getElementById("paths").replaceChildren(el("h3", {}, `${paths.length} ${words.paths}`), el("ol", {}, ...lines), ...sum);
}

/* ---- the outline: the same in words --------------------------------------------------------- */

function tree() {
  const focused = ui.tree.querySelector('[tabindex="0"]')?.dataset.key ?? null;
  const branch = (group) => {
    const items = trace.values.flatMap((v, i) => (v.node === null && v.home === group ? [[-1, leafItem(i)]] : []));
    trace.nodes.forEach((n, i) => n.group === group && items.push([i, nodeItem(i)]));
    trace.groups.forEach((g, i) => i && g.parent === group && items.push([first(i), groupItem(i)]));
    return items.sort((a, b) => a[0] - b[0]).map(([, item]) => item);
  };
  const first = (group) => trace.nodes.findIndex((n) => outward(n.group).includes(group));
  const item = (key, said, more = {}, ...inner) => el("li", { role: "treeitem", tabindex: "-1", "data-key": key, ...more }, el("span", {}, said), ...inner);
  const both = (v) => `${text(v)}, ∂ ${slope(v)}`;
  const leafItem = (i) => item(`value${i}`, `${trace.values[i].name ?? words.constant} = ${both(i)}`);
  const nodeItem = (i) => {
    const node = trace.nodes[i];
    const inputs = node.uses.map((u) => `${nameOf(trace.uses[u].value)} ∂ ${shareOf(u)}`).join("; ");
    return item(`node${i}`, `${node.symbol} ${node.op} (${inputs}) = ${both(node.output)}`);
  };
  const groupItem = (i) => {
    const it = trace.groups[i], open = opened.has(i);
    const out = it.leaves.map(({ value }) => both(value)).join("; ");
    return item(`group${i}`, `${it.name} ${it.kind === it.name ? "" : it.kind} = ${out}`, { "aria-expanded": String(open) }, ...(open ? [el("ul", { role: "group" }, ...branch(i))] : []));
  };
  ui.tree.replaceChildren(...branch(0));
  const all = [...ui.tree.querySelectorAll("[data-key]")];
  (all.find((x) => x.dataset.key === focused) ?? all[0])?.setAttribute("tabindex", "0");
}

function treeKeys(event) {
  const all = [...ui.tree.querySelectorAll('[role="treeitem"]')], at = all.indexOf(document.activeElement);
  const key = all[at]?.dataset.key ?? "", group = key.startsWith("group") ? Number(key.slice(5)) : null;
  const focus = (to) => {
    if (!all[to]) return;
    all[at]?.setAttribute("tabindex", "-1");
    all[to].setAttribute("tabindex", "0");
    all[to].focus();
  };
  const again = () => ui.tree.querySelector(`[data-key="${key}"]`)?.focus();
  if (event.key === "ArrowDown") focus(at + 1);
  else if (event.key === "ArrowUp") focus(at - 1);
  else if (event.key === "ArrowRight" && group !== null && !opened.has(group)) toggle(group), again();
  else if (event.key === "ArrowLeft" && group !== null && opened.has(group)) toggle(group), again();
  else if (event.key === "Enter" && key) {
    select(key);
    if (group !== null) toggle(group, event.shiftKey), again();
  } else if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
}

/* ---- the page itself ------------------------------------------------------------------------ */

function remember() {
  try {
    history.replaceState(null, "", `#s=${step}&o=${[...opened].join(",")}`);
  } catch {
    // A page inside another one has no address of its own.
  }
}

function search(text) {
  const wanted = text.trim().toLowerCase();
  const hits = wanted ? [...trace.values.keys()].filter((v) => nameOf(v).toLowerCase().includes(wanted)).map((v) => `value${v}`)
    .concat([...trace.nodes.keys()].filter((n) => trace.nodes[n].op.includes(wanted)).map((n) => `node${n}`))
    .concat([...trace.groups.keys()].filter((g) => g && trace.groups[g].name.toLowerCase().includes(wanted)).map((g) => `group${g}`)) : [];
  for (const box of ui.world.querySelectorAll(".box")) box.classList.toggle("hit-by-search", hits.includes(box.dataset.kind.replace("leaf", "value") + box.dataset.ref));
  ui.found.textContent = wanted ? String(hits.length) : "";
  return hits[0];
}

function play() {
  clearInterval(playing);
  if (playing) return void (playing = 0);
  if (step === steps.length) go(0);
  playing = setInterval(() => (step < steps.length ? go(step + 1) : play()), 900);
}

function keys(event) {
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const actions = {
    ArrowRight: () => go(step + 1), ArrowLeft: () => go(step - 1), Home: () => go(0), End: () => go(steps.length), " ": play,
    f: fit, "/": () => ui.search.focus(), "+": () => zoom(1.25), "-": () => zoom(0.8), Escape: () => select(null),
    c: () => selected?.startsWith("value") && follow(Number(selected.slice(5))), e: () => document.getElementById("leaf")?.focus(),
    Enter: () => selected?.startsWith("group") && toggle(Number(selected.slice(5)), event.shiftKey),
  };
  if (!(event.key in actions) || (event.target instanceof HTMLButtonElement && [" ", "Enter"].includes(event.key))) return;
  event.preventDefault();
  actions[event.key]();
}

function pointer() {
  let from = null, moved = false;
  ui.svg.addEventListener("pointerdown", (e) => ((from = [e.clientX - view.x, e.clientY - view.y]), (moved = false)));
  window.addEventListener("pointerup", () => (from = null));
  ui.svg.addEventListener("pointermove", (e) => {
    if (!from) return;
    const [x, y] = [e.clientX - from[0], e.clientY - from[1]];
    if (Math.hypot(x - view.x, y - view.y) > 3) moved = true;
    if (moved) (view.x = x), (view.y = y), move();
  });
  ui.svg.addEventListener("wheel", (e) => {
    e.preventDefault();
    const { left, top } = ui.svg.getBoundingClientRect();
    zoom(Math.exp(-e.deltaY / 500), e.clientX - left, e.clientY - top);
  }, { passive: false });
  ui.svg.addEventListener("click", (e) => {
    if (moved) return;
    const box = e.target.closest(".box"), edge = e.target.closest(".edge, .label");
    if (box && !(box.classList.contains("open") && e.target.tagName !== "text")) {
      const key = box.dataset.kind.replace("leaf", "value") + box.dataset.ref;
      select(key);
      if (box.dataset.kind === "group") toggle(Number(box.dataset.ref), e.shiftKey);
    } else select(edge ? `value${edge.dataset.value}` : null);
  });
}

function speak(language) {
  words = data.words[language];
  document.documentElement.lang = language;
  const button = (word, key, action) => el("button", { title: `${words[word]} (${key})`, "aria-label": words[word], onclick: action }, { first: "|◀", back: "◀", next: "▶", last: "▶|", play: "▷", fit: "[ ]" }[word]);
  ui.count = el("input", { type: "range", min: 0, max: steps.length, "aria-label": words.step, oninput: (e) => go(Number(e.target.value)) });
  ui.search = el("input", { type: "search", placeholder: `${words.search} (/)`, "aria-label": words.search, oninput: (e) => search(e.target.value), onkeydown: (e) => e.key === "Enter" && search(e.target.value) && select(search(e.target.value)) });
  ui.found = el("output");
  const choose = el("select", { "aria-label": words.language, onchange: (e) => speak(e.target.value) }, ...Object.entries(data.words).map(([key, it]) => el("option", { value: key, lang: key, ...(key === language ? { selected: "" } : {}) }, it.name)));
  ui.bar.replaceChildren(el("h1", {}, trace.title), button("first", "Home", () => go(0)), button("back", "←", () => go(step - 1)), button("play", words.space, play), button("next", "→", () => go(step + 1)), button("last", "End", () => go(steps.length)), ui.count, button("fit", "f", fit), ui.search, ui.found, choose);
  ui.tree.setAttribute("aria-label", words.outline);
  ui.inspector.setAttribute("aria-label", words.details);
  ui.keys.textContent = words.keys;
  draw();
  ui.count.max = steps.length;
  inspect();
  go(step);
}

function start() {
  ui.bar = el("header");
  ui.tree = el("ul", { role: "tree", onkeydown: treeKeys, onclick: (e) => {
    const item = e.target.closest("[data-key]");
    if (item) select(item.dataset.key), item.dataset.key.startsWith("group") && toggle(Number(item.dataset.key.slice(5)), e.shiftKey);
  } });
  ui.svg = make("svg", { class: "graph", "aria-hidden": "true" });
  ui.world = make("g");
  ui.svg.append(ui.world);
  ui.inspector = el("aside", { tabindex: "0", role: "region" });
  ui.strip = el("p", { role: "status", "aria-live": "polite", class: "strip" });
  ui.keys = el("p", { class: "keys" });
  document.getElementById("app").append(ui.bar, el("nav", {}, ui.tree), ui.svg, ui.inspector, el("footer", {}, ui.strip, ui.keys));
  const from = new URLSearchParams(location.hash.slice(1));
  if (from.has("o")) {
    opened.clear();
    for (const g of from.get("o").split(",").map(Number)) if (trace.groups[g]) opened.add(g);
  }
  opened.add(0);
  if (live) current = compute(trace, given);
  planSteps();
  step = from.has("s") ? Number(from.get("s")) || 0 : trace.nodes.length <= LEARNER ? forwardSteps() : steps.length;
  const asked = [data.language, ...navigator.languages].filter(Boolean);
  const known = asked.map((a) => Object.keys(data.words).find((w) => w.split("-")[0] === a.split("-")[0])).filter(Boolean);
  speak(known[0] ?? "en");
  fit();
  pointer();
  document.addEventListener("keydown", keys);
  window.addEventListener("resize", fit);
}
start();
