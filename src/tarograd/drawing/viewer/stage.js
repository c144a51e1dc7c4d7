// The drawing: what is near the window becomes elements, and is moved and marked.
import { place } from "./place.js";
import { drawBox, drawLabel, drawLines, fulls, make } from "./scene.js";
import { changed, data, el, state, trace, words } from "./model.js";
import { planSteps, progress } from "./steps.js";

/** @typedef {import("./model.js").Line} Line */
/**
 * What is drawn of the scene: made when it comes near the window.
 * @typedef {{layer: string, line: Line|null, key: string, reach: number[], make: () => SVGElement,
 *   element: SVGElement|null, base: string, marks: string}} Piece
 */

const MANY = 800; // lines; more of them are only hit exactly
const FEW = 200; // boxes; so few are made all at once
const FAR = 0.3; // a smaller picture shows no text
const EARLY = 300; // pixels around the window
const FRAME = 8; // milliseconds of each frame for what comes near
const SETTLE = 160; // milliseconds after which a moved picture is drawn sharp
const MAP = 180; // pixels, the longer side of the map; on a phone less
const LEAST = 0.5; // the scale to which a picture is made small to be seen whole at first
const READABLE = 0.7; // the scale in which a larger one is first shown

export const view = { x: 0, y: 0, k: 1 };
/** @type {import("./model.js").Scene} */
let scene = { width: 0, height: 0, boxes: [], lines: [] };
/** @type {Piece[]} */
let pieces = [];
/** @type {Record<string, SVGElement>} */
let layers = {};
/** @type {ReturnType<typeof progress>} */
let reached = { computed: [], returned: [], share: () => false };
let filling = 0, settling = 0;
let [wide, high] = [0, 0]; // the window on the picture; each reading lays the page out anew

const world = el("div", { class: "world" });
const map = el("canvas", { class: "map" });
export const stage = el("div", { class: "graph", "aria-hidden": "true" }, world, map);

/** Place and draw all that is open. */
export function draw() {
  const first = !scene.boxes.length;
  scene = place(data, state.opened);
  planSteps();
  state.step = Math.min(state.step, state.steps.length);
  whole = null;
  if (first) measure(), aim(true);
  build();
}

/** The pieces of the scene; afterwards only their classes change. */
export function build() {
  pieces = [];
  const piece = (/** @type {string} */ layer, /** @type {string} */ key, /** @type {number[][]} */ points, /** @type {() => SVGElement} */ make, /** @type {Line|null} */ line = null) => {
    const reach = [Infinity, Infinity, -Infinity, -Infinity];
    for (const point of points) {
      reach[0] = Math.min(reach[0], point[0]);
      reach[1] = Math.min(reach[1], point[1]);
      reach[2] = Math.max(reach[2], point[0]);
      reach[3] = Math.max(reach[3], point[1]);
    }
    pieces.push({ layer, line, key, reach, make, element: null, base: "", marks: "" });
  };
  /** @type {Map<string|number, Line[]>} */
  const bundles = new Map(); // the lines that always look alike are drawn as one
  for (const line of scene.lines) {
    const key = line.target ? bundles.size : `${line.group}/${line.value}/${line.flows}`;
    const bundle = bundles.get(key);
    bundle ? bundle.push(line) : bundles.set(key, [line]);
    if (line.label) piece("labels", `value${line.value}`, line.points, () => drawLabel(line, changed(line)), line);
  }
  for (const lines of bundles.values())
    piece("lines", `value${lines[0].value}`, lines.flatMap((line) => line.points), () => drawLines(lines, scene.lines.length < MANY), lines[0]);
  for (const box of scene.boxes) {
    const corners = [[box.x, box.y - box.height / 2], [box.x + box.width, box.y + box.height / 2]];
    piece(box.open ? "frames" : "boxes", (box.kind + box.ref).replace("leaf", "value"), corners, () => drawBox(trace, box, words));
  }
  const [width, height] = [scene.width + 12, scene.height];
  const layer = () => make("svg", { width, height, viewBox: `0 0 ${width} ${height}` }); // each is painted by itself
  world.style.setProperty("--wide", String(width)); // for paper
  world.style.setProperty("--high", String(height));
  layers = { frames: layer(), lines: layer(), boxes: layer(), labels: layer() };
  world.replaceChildren(...Object.values(layers));
  show();
  fill(Infinity, 0);
  put();
}

/** Make what is near the window, a few milliseconds of each frame. */
function fill(budget = FRAME, early = EARLY) {
  filling = 0;
  const all = scene.boxes.length <= FEW || early === Infinity, far = view.k < FAR, end = performance.now() + budget;
  const [x0, y0] = [-(view.x + early) / view.k, -(view.y + early) / view.k];
  const [x1, y1] = [x0 + (wide + 2 * early) / view.k, y0 + (high + 2 * early) / view.k];
  for (const piece of pieces) {
    if (piece.element || (far && !all && piece.layer === "labels")) continue;
    const { reach } = piece;
    if (!all && (reach[0] > x1 || reach[2] < x0 || reach[1] > y1 || reach[3] < y0)) continue;
    piece.element = piece.make();
    piece.base = piece.element.getAttribute("class") ?? "";
    mark(piece);
    layers[piece.layer].append(piece.element);
    if (performance.now() > end) return void (filling = requestAnimationFrame(() => fill()));
  }
}

window.addEventListener("beforeprint", () => fill(Infinity, Infinity)); // paper shows the whole

/** What has been computed so far, what is selected: the classes of all elements. */
export function show() {
  reached = progress();
  for (const piece of pieces) if (piece.element) mark(piece);
}

/** @param {Piece} piece */
function mark(piece) {
  const { line, key } = piece;
  let marks = piece.base;
  if (line) {
    if (!reached.computed[line.value]) marks += " waiting";
    if (line.flows && !(line.target ? reached.share(line) : reached.returned[line.value])) marks += " unreturned";
    if (state.chain.has(line.value)) marks += " chain";
  } else {
    if (key === state.steps[state.step - 1]?.part?.key) marks += " now";
    if (found.has(key)) marks += " hit-by-search";
  }
  if (state.selected === key) marks += " chosen";
  if (marks === piece.marks) return;
  piece.element?.setAttribute("class", marks);
  piece.marks = marks;
}

/** @type {Set<string>} What was searched for. */
let found = new Set();
/** @param {string[]} keys */
export function highlight(keys) {
  found = new Set(keys);
  show();
}

/* ---- moving --------------------------------------------------------------------------------- */

/** Put the picture where `view` says. */
function put() {
  world.style.transform = `translate(${view.x}px,${view.y}px) scale(${view.k})`;
  world.classList.toggle("far", view.k < FAR);
  const hidden = view.x >= 0 && view.y >= 0 && view.x + view.k * scene.width <= wide && view.y + view.k * scene.height <= high;
  map.hidden = hidden || scene.boxes.length < 12;
  filling ||= requestAnimationFrame(() => {
    filling = requestAnimationFrame(() => fill()); // what is seen already is painted first
    drawMap();
  });
}

/** The same by hand: while it moves the picture is drawn as it is, then sharp. */
export function move() {
  world.classList.add("moving");
  touched = true;
  clearTimeout(settling);
  settling = setTimeout(() => world.classList.remove("moving"), SETTLE);
  put();
}

/** The whole picture in the window; at first, of one that is too large for that, its beginning. */
function aim(first = false) {
  const fitting = Math.max(0.03, Math.min((wide - 40) / scene.width, (high - 40) / scene.height));
  view.k = first && fitting < LEAST ? READABLE : Math.min(1.6, fitting);
  view.x = Math.max(20, (wide - scene.width * view.k) / 2);
  view.y = Math.max(20, (high - scene.height * view.k) / 2);
}
export function fit() {
  aim();
  move();
}

/** @param {number} factor */
export function zoom(factor, x = wide / 2, y = high / 2) {
  const k = Math.min(8, Math.max(0.03, view.k * factor));
  view.x = x - ((x - view.x) * k) / view.k;
  view.y = y - ((y - view.y) * k) / view.k;
  view.k = k;
  move();
}

let touched = false; // by hand: then it stays as large as it is
const measure = () => ([wide, high] = [stage.clientWidth, stage.clientHeight]);
/** The window has another size: what is in its middle stays there. */
export function resized() {
  const [w, h] = [wide, high];
  measure();
  if (w === wide && h === high) return;
  whole = null; // the pixels may have another size, too
  if (!touched) aim(true);
  else (view.x += (wide - w) / 2), (view.y += (high - h) / 2);
  put();
}

/** Move the picture by a part of the window. @param {number} right @param {number} down */
export function pan(right, down) {
  view.x += right * 80;
  view.y += down * 80;
  move();
}

/** The upper left corner of a box. @param {number} group */
export function corner(group) {
  const box = scene.boxes.find((b) => b.kind === "group" && b.ref === group);
  return box && { x: box.x, y: box.y - box.height / 2 };
}

/** Move the picture if something is outside of the window. @param {string|null} key */
export function reveal(key) {
  const piece = pieces.find((p) => p.key === key && !p.line) ?? pieces.find((p) => p.key === key);
  if (!piece) return;
  const [left, top, right, bottom] = piece.reach;
  const [x, y] = [view.x + view.k * Math.min(left, right), view.y + view.k * Math.min(top, bottom)];
  if (x >= 0 && y >= 0 && x + 40 <= wide && y + 40 <= high) return;
  view.x += wide / 2 - x;
  view.y += high / 2 - y;
  move();
}

/* ---- the map -------------------------------------------------------------------------------- */

/** @type {{boxes: HTMLCanvasElement, frame: string}|null} All boxes, small, and the color around the window. */
let whole = null;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => ((whole = null), drawMap()));

const mapScale = () => Math.min(MAP, wide / 4) / Math.max(scene.width, scene.height);

/** The whole, small, with the window in it; only while not all is seen. */
function drawMap() {
  if (map.hidden) return;
  const scale = mapScale(), ratio = window.devicePixelRatio;
  whole ??= drawWhole(scale, ratio);
  const to = map.getContext("2d");
  to.resetTransform();
  to.clearRect(0, 0, map.width, map.height);
  to.drawImage(whole.boxes, 0, 0);
  to.scale(ratio * scale, ratio * scale);
  to.strokeStyle = whole.frame;
  to.lineWidth = 2 / scale;
  to.strokeRect(-view.x / view.k, -view.y / view.k, wide / view.k, high / view.k);
}

/** @param {number} scale @param {number} ratio */
function drawWhole(scale, ratio) {
  const size = [Math.max(scene.width * scale, 24), Math.max(scene.height * scale, 24)];
  [map.style.width, map.style.height] = size.map((x) => `${x}px`);
  [map.width, map.height] = size.map((x) => Math.round(x * ratio));
  const boxes = el("canvas", { width: map.width, height: map.height }), to = boxes.getContext("2d");
  const style = getComputedStyle(stage);
  to.scale(ratio * scale, ratio * scale);
  to.fillStyle = style.getPropertyValue("--line");
  for (const box of scene.boxes) {
    to.globalAlpha = box.open ? 0.12 : 0.7;
    to.fillRect(box.x, box.y - box.height / 2, Math.max(box.width, 2 / scale), Math.max(box.height, 2 / scale));
  }
  return { boxes, frame: style.getPropertyValue("--back") };
}

/* ---- by hand -------------------------------------------------------------------------------- */

/**
 * Drag, pinch, wheel, click, and the tooltips with the true values.
 * @param {(target: Element, event: MouseEvent) => void} clicked
 */
export function pointer(clicked) {
  /** @type {number[]|null} */
  let from = null;
  let moved = false, mapped = false;
  /** @type {Map<number, number[]>} */
  const fingers = new Map(); // where each of them is
  const jump = (/** @type {PointerEvent} */ e) => {
    const { left, top, width } = map.getBoundingClientRect(), scale = mapScale();
    if (!width) return;
    view.x = wide / 2 - ((e.clientX - left) / scale) * view.k;
    view.y = high / 2 - ((e.clientY - top) / scale) * view.k;
    move();
  };
  stage.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => {
    mapped = e.target === map;
    moved = mapped;
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    from = fingers.size > 1 ? null : [e.clientX - view.x, e.clientY - view.y];
    if (mapped) jump(e);
  });
  for (const end of ["pointerup", "pointercancel"])
    window.addEventListener(end, (e) => (fingers.delete(/** @type {PointerEvent} */ (e).pointerId), (from = null)));
  stage.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => {
    if (fingers.size === 2 && fingers.has(e.pointerId)) return pinch(fingers, e), void (moved = true);
    if (!from) return;
    if (mapped) return jump(e);
    const [x, y] = [e.clientX - from[0], e.clientY - from[1]];
    if (Math.hypot(x - view.x, y - view.y) > 3) moved = true;
    if (moved) (view.x = x), (view.y = y), move();
  });
  stage.addEventListener("wheel", (/** @type {WheelEvent} */ e) => {
    e.preventDefault();
    const { left, top } = stage.getBoundingClientRect();
    zoom(Math.exp(-e.deltaY / 500), e.clientX - left, e.clientY - top);
  }, { passive: false });
  stage.addEventListener("click", (/** @type {MouseEvent} */ e) => !moved && clicked(/** @type {Element} */ (e.target), e));
  stage.addEventListener("pointerover", (/** @type {{target: Element}} */ { target }) => {
    const full = fulls.get(target);
    if (full && !target.querySelector("title")) target.append(make("title", {}, full));
  });
}

/** Two fingers: what is between them stays there, and grows as they part. @param {Map<number, number[]>} fingers @param {PointerEvent} e */
function pinch(fingers, e) {
  const { left, top } = stage.getBoundingClientRect();
  const seen = () => {
    const [[x0, y0], [x1, y1]] = [...fingers.values()];
    return { x: (x0 + x1) / 2 - left, y: (y0 + y1) / 2 - top, apart: Math.max(1, Math.hypot(x1 - x0, y1 - y0)) };
  };
  const before = seen();
  fingers.set(e.pointerId, [e.clientX, e.clientY]);
  const after = seen();
  view.x += after.x - before.x;
  view.y += after.y - before.y;
  zoom(after.apart / before.apart, after.x, after.y);
}
