// From coordinates to SVG elements, in the notation of svg.py.

/** @typedef {import("./model.js").Line} Line */
/** @typedef {import("./model.js").Side} Side */
/** @typedef {import("./model.js").Box} Box */

const SVG = "http://www.w3.org/2000/svg", APART = 3, NEAR = 8, LINE = 15, THUMB = 30, CORNER = 10;

/** @type {WeakMap<EventTarget, string>} The true value of what is written, for a tooltip. */
export const fulls = new WeakMap();

/**
 * An SVG element with attributes; text goes in as text, so that no name can become markup.
 * @param {string} tag @param {Record<string, any>} attributes @param {string|null} text
 */
export function make(tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== null) element.textContent = text;
  return element;
}

/** The way through points, moved sideways by `off`. @param {number[][]} points @param {number} off */
export function path(points, off) {
  const [x0, y0] = points[0], [x1, y1] = points[points.length - 1], r = CORNER;
  const start = `M${x0} ${y0 + off}`;
  if (points.length > 2) {
    const right = points[1][0], below = points[2][1], left = points[3][0];
    return `${start}H${right - off - r}q${r} 0 ${r} ${r}V${below - off - r}q0 ${r} ${-r} ${r}` +
      `H${left - off + r}q${-r} 0 ${-r} ${r}V${y1 + off - r}q0 ${r} ${r} ${r}H${x1}`;
  }
  if (Math.abs(y1 - y0) < 0.05) return `${start}H${x1}`;
  const bend = (x0 + x1) / 2 - off * Math.tan(Math.atan2(y1 - y0, Math.max(x1 - x0, 1)) / 2);
  return `${start}C${bend} ${y0 + off} ${bend} ${y1 + off} ${x1} ${y1 + off}`;
}

/**
 * Lines of one value: the thin ones forward, the thick ones backward, wide ones to hit.
 * @param {Line[]} lines @param {boolean} reach
 */
export function drawLines(lines, reach) {
  const { value, flows } = lines[0];
  const group = make("g", { class: "edge", "data-value": value });
  const add = (/** @type {string} */ kind, /** @type {string[]} */ parts) => parts.length && group.append(make("path", { class: kind, d: parts.join("") }));
  if (reach) add("hit", lines.map((line) => path(line.points, 0)));
  add("f", lines.map((line) => path(line.points, -APART)));
  add("a", lines.filter((line) => line.head).map(({ points }) => {
    const [x, y] = points[points.length - 1]; // no marker: those are slow, and every line ends level
    return `M${x - 7} ${y - APART - 3}l8 3l-8 3z`;
  }));
  const tails = flows ? lines.filter((line) => line.tail) : [];
  add(flows ? "b" : "n", lines.map((line) => {
    const [[x, y], ...rest] = line.points;
    return path(tails.includes(line) ? [[x + 9, y], ...rest] : line.points, APART);
  }));
  add("r", tails.map(({ points: [[x, y]] }) => `M${x + 1} ${y + APART}l10 -5.5v11z`));
  for (const { branch, points } of lines) if (branch) group.append(make("circle", { class: "d", cx: points[points.length - 1][0], cy: points[0][1], r: 4.5 }));
  return group;
}

/**
 * What stands above and below a line; `texts` may hold other lines of text than the label's.
 * @param {Line} line @param {{above?: Side, below?: Side}} texts
 */
export function drawLabel(line, texts) {
  const { label, points } = line, [x0, y] = points[0], x1 = points[points.length - 1][0];
  const group = make("g", { class: "label", "data-value": line.value });
  if (!label) return group;
  const x = line.kind === "share" ? x1 - label.width / 2 : x0 + label.width / 2 + 2;
  if (label.above) drawSide(group, texts.above ?? label.above, x, y - label.above.height + LINE - 4, "v");
  if (label.below && line.flows) drawSide(group, texts.below ?? label.below, x, y + NEAR + LINE - 2, "g");
  return group;
}

/**
 * One side of a label: of class `v` the value, `g` the derivative.
 * @param {SVGElement} group @param {Side} side @param {number} x @param {number} y @param {string} kind
 */
function drawSide(group, side, x, y, kind) {
  const named = side.finite ? kind : `${kind} e`, pictured = side.image || side.histogram.length;
  const add = (/** @type {SVGElement} */ element) => (fulls.set(element, side.full), group.append(element));
  if (pictured) {
    const drawn = picture(side, x, kind === "g" ? y + LINE * (side.lines.length - 1) + 6 : y - LINE + 4);
    drawn.classList.add(kind);
    add(drawn);
    if (kind !== "g") y += THUMB + 4;
  }
  side.lines.forEach((text, i) => add(make("text", { x, y: y + LINE * i, class: i || pictured ? `${named} s` : named }, text)));
}

/**
 * A small image, or a histogram, of an array.
 * @param {{image?: string|null, histogram: number[]}} side @param {number} x @param {number} y
 */
export function picture(side, x, y, size = THUMB) {
  if (side.image)
    return make("image", { x: x - size / 2, y, width: size, height: size, preserveAspectRatio: "none", href: `data:image/png;base64,${side.image}` });
  const most = Math.max(...side.histogram, 1), step = (size * 4) / 3 / side.histogram.length;
  const bars = side.histogram.map((n, i) =>
    n ? `M${x - (size * 2) / 3 + (i + 0.5) * step} ${y + size}v${(-size * n) / most}` : "");
  return make("path", { class: "h", d: bars.join(""), "stroke-width": Math.max(step - 0.6, 0.5) });
}

/**
 * A node, a closed group, a leaf, or the frame of an open group.
 * @param {import("./model.js").Trace} trace @param {Box} box @param {Record<string, string>} words
 */
export function drawBox(trace, box, words) {
  const group = make("g", { class: `box ${box.kind}${box.open ? " open" : ""}`, "data-kind": box.kind, "data-ref": box.ref });
  const middle = box.x + box.width / 2, top = box.y - box.height / 2;
  const frame = (/** @type {string} */ kind, /** @type {number} */ rx) => make("rect", { class: kind, x: box.x, y: top, width: box.width, height: box.height, rx });
  const circle = (/** @type {string} */ kind, /** @type {string} */ symbol) => {
    const round = box.width === box.height;
    group.append(round ? make("circle", { class: kind, cx: middle, cy: box.y, r: box.width / 2 }) : frame(kind, 19));
    const big = [...symbol].length === 1;
    group.append(make("text", { x: middle, y: box.y + (big ? 6 : 4.5), class: big ? "big" : "" }, symbol));
  };
  if (box.kind === "node") circle("o", trace.nodes[box.ref].symbol);
  else if (box.kind === "leaf") {
    const value = trace.values[box.ref];
    if (!value.name && value.kind === "constant") group.append(make("circle", { class: "d", cx: middle, cy: box.y, r: 2.5 }));
    else {
      if (value.kind !== "input") group.append(frame("p", 6));
      group.append(make("text", { x: middle, y: box.y + 4.5, class: value.kind === "input" ? "m" : "" }, clip(value.name ?? "·")));
    }
  } else {
    const it = trace.groups[box.ref];
    const below = it.kind === "operation" ? "" : it.kind === "part" ? `${it.size} ${words.nodes}` : it.kind;
    if (box.open) {
      group.append(frame("x", 12), make("text", { class: "t m", x: box.x + 12, y: top + 18 }, `▾ ${clip(it.name)}`));
      const start = box.x + 34 + 8 * clip(it.name).length;
      if (start + 40 < box.x + box.width) group.append(make("text", { class: "t s", x: start, y: top + 18 }, clip(below)));
    } else if (it.kind === "operation") circle("l", it.symbol);
    else {
      group.append(frame("l", 10), make("text", { class: "m", x: middle, y: box.y - 2 }, clip(it.name)));
      group.append(make("text", { class: "s", x: middle, y: box.y + 14 }, clip(below)));
    }
  }
  return group;
}

/** @param {string} name */
function clip(name) {
  const text = name.replace(/\p{C}/gu, " ");
  return text.length <= 24 ? text : `${text.slice(0, 23)}…`;
}
