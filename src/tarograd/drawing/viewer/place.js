// Coordinates for any set of open groups: the same as place.py, which says why. A test holds the
// two equal. It runs once, and first thing: taking arrays apart by name would be slow here.

const PASSES = 6, BETWEEN = 8, PAD = 14, TITLE = 24, MARGIN = 12;
const NARROW = 20, STEEP = 0.3, WIDE = 80, ROW = 1400, SLACK = 1.25, TRACK = 14;
const ROOT = 0;

/** @typedef {import("./model.js").Data} Data */
/** @typedef {import("./model.js").Level} Level */
/** @typedef {import("./model.js").Box} Box */
/** @typedef {import("./model.js").Line} Line */
/** @typedef {import("./model.js").Label} Label */
/**
 * @typedef {{width: number, height: number, up: number, down: number, ports: number[],
 *   outputs: number[], labels: (Label|null)[], room: number}} Size
 * @typedef {{level: Level, sizes: Size[], x: number[], y: number[], left: number[],
 *   right: number[], row: number[], floor: number[], width: number, height: number}} Plan
 */

/**
 * The picture in which the groups of the set `opened` are open.
 * @param {Data} data @param {Set<number>} opened
 * @returns {import("./model.js").Scene}
 */
export function place(data, opened) {
  /** @type {Map<number, Plan>} */
  const plans = new Map();
  const whole = plan(data, ROOT, opened, plans);
  /** @type {Box[]} */
  const boxes = [];
  /** @type {Line[]} */
  const lines = [];
  const waiting = [[ROOT, 0, 0]];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [group, x, y] = next, made = plans.get(group);
    if (!made) continue;
    const inner = addBoxes(group, made, x, y, boxes, opened);
    addLines(group, made, x, y, lines, opened);
    waiting.push(...inner.reverse());
  }
  return { width: whole.width, height: whole.height, boxes, lines };
}

/**
 * @param {Data} data @param {number} group @param {Set<number>} opened
 * @param {Map<number, Plan>} plans
 * @returns {Plan}
 */
function plan(data, group, opened, plans) {
  const level = data.levels[group];
  const sizes = level.items.map((item) => {
    const labels = item.labels.map((i) => (i === null ? null : data.labels[i]));
    let longest = 0;
    for (const label of labels) if (label && label.width > longest) longest = label.width;
    const { size, at } = item;
    let width = size[0], height = size[1], up = size[2], down = size[3], ports = at[0], outputs = at[1];
    if (item.kind === "group" && opened.has(item.ref)) {
      const inner = plan(data, item.ref, opened, plans);
      const inlets = new Map(), outlets = new Map(), half = inner.height / 2;
      inner.level.items.forEach((x, i) => {
        if (x.kind === "inlet") inlets.set(x.ref, inner.y[i]);
        else if (x.kind === "outlet") outlets.set(x.ref, inner.y[i]);
      });
      width = inner.width;
      height = inner.height;
      up = down = half;
      ports = item.ports.map((v) => (inlets.get(v) ?? half) - half);
      outputs = item.outputs.map((v) => (outlets.get(v) ?? half) - half);
    }
    return { width, height, up, down, ports, outputs, labels, room: width + longest };
  });
  /** @type {Plan} */
  const made = {
    level, sizes, x: sizes.map(() => 0), y: align(level, sizes),
    left: [], right: [], row: [], floor: [], width: 0, height: 0,
  };
  plans.set(group, made);
  spread(made, group === ROOT ? 0 : TITLE, group === ROOT ? MARGIN : PAD);
  return made;
}

/** @param {Level} level @param {Size[]} sizes */
function align(level, sizes) {
  const near = () => sizes.map(() => /** @type {number[][]} */ ([]));
  const y = sizes.map(() => 0), left = near(), right = near();
  for (const link of level.links) {
    const start = link[1], end = link[3];
    const offset = sizes[start].outputs[link[2]] - sizes[end].ports[link[4]];
    const bends = Number(level.items[start].kind === "bend") + Number(level.items[end].kind === "bend");
    left[end].push([start, offset, 1 + 3 * bends]);
    right[start].push([end, -offset, 1 + 3 * bends]);
  }
  for (const column of level.columns) stack(column, sizes, y, left);
  for (let sweep = 1; sweep < PASSES; sweep++) {
    const columns = sweep % 2 ? [...level.columns].reverse() : level.columns;
    for (const column of columns) stack(column, sizes, y, sweep % 2 ? right : left);
  }
  return y;
}

/** @param {number[]} column @param {Size[]} sizes @param {number[]} y @param {number[][][]} near */
function stack(column, sizes, y, near) {
  const blocks = [], offsets = [];
  let offset = 0, before = 0;
  for (const at of column) {
    if (offsets.length) offset += before + sizes[at].up + BETWEEN;
    before = sizes[at].down;
    offsets.push(offset);
    let total = 0, weight = 0;
    for (const it of near[at]) {
      total += (y[it[0]] + it[1]) * it[2];
      weight += it[2];
    }
    if (!weight) (weight = 0.01), (total = 0.01 * y[at]);
    const block = [total - offset * weight, weight, 1];
    for (let last = blocks[blocks.length - 1]; last; last = blocks[blocks.length - 1]) {
      if (last[0] * block[1] < block[0] * last[1]) break;
      for (let k = 0; k < 3; k++) block[k] += last[k];
      blocks.pop();
    }
    blocks.push(block);
  }
  let i = 0;
  for (const block of blocks)
    for (let k = 0; k < block[2]; k++, i++) y[column[i]] = block[0] / block[1] + offsets[i];
}

/** @param {Plan} plan @param {number} title @param {number} margin */
function spread(plan, title, margin) {
  const { level, sizes } = plan;
  const climb = level.columns.map(() => 0), across = level.columns.map(() => 0);
  for (const link of level.links) {
    const start = link[1], output = link[2], end = link[3], port = link[4];
    const rank = level.items[start].rank;
    const rise = plan.y[end] + sizes[end].ports[port] - (plan.y[start] + sizes[start].outputs[output]);
    climb[rank] = Math.max(climb[rank], Math.abs(rise));
    across[rank] += 1;
  }
  const widths = level.columns.map((column) => Math.max(0, ...column.map((i) => sizes[i].room)));
  const gaps = climb.map((c, i) => (across[i] ? Math.min(Math.max(NARROW, STEEP * c), WIDE) : 0));
  const sum = (/** @type {number[]} */ xs) => xs.reduce((a, b) => a + b, 0);
  const breaks = sum(widths) + sum(gaps) > SLACK * ROW;
  const most = Math.max(0, ...across);
  const indent = margin + (breaks ? TRACK * (most + 1) : 0);
  const begins = breaks ? starts(widths, gaps, across, indent) : new Set();
  let x = indent;
  widths.forEach((width, rank) => {
    const next = begins.has(rank);
    plan.row.push((rank ? plan.row[rank - 1] : 0) + (next ? 1 : 0));
    if (next) x = indent;
    plan.left.push(x);
    plan.right.push(x + width);
    x += width + gaps[rank];
  });
  plan.width = Math.max(0, ...plan.right) + margin + (breaks ? TRACK * (most + 1) : 0);
  /** @type {number[][]} */
  const rows = [];
  plan.row.forEach((row, rank) => (rows[row] ??= []).push(rank));
  let top = title + margin;
  for (const ranks of rows) {
    const inside = ranks.flatMap((rank) => level.columns[rank]);
    const highest = inside.map((i) => plan.y[i] - sizes[i].up);
    const shift = top - (highest.length ? Math.min(...highest) : 0);
    for (const rank of ranks)
      for (const i of level.columns[rank]) {
        plan.y[i] += shift;
        const late = ["leaf", "share"].includes(level.items[i].kind);
        plan.x[i] = late ? plan.right[rank] - sizes[i].room : plan.left[rank];
      }
    const lowest = inside.map((i) => plan.y[i] + sizes[i].down);
    plan.floor.push(lowest.length ? Math.max(...lowest) : top);
    top = plan.floor[plan.floor.length - 1] + TRACK * (across[ranks[ranks.length - 1]] + 2);
  }
  plan.height = (plan.floor.at(-1) ?? top) + margin;
}

/** @param {number[]} widths @param {number[]} gaps @param {number[]} across @param {number} indent */
function starts(widths, gaps, across, indent) {
  const found = new Set(), lefts = /** @type {number[]} */ ([]);
  let first = 0, x = indent;
  for (let rank = 0; rank < widths.length; rank++) {
    if (rank > first && widths[rank] > 0 && x + widths[rank] > ROW) {
      let best = rank;
      for (let at = rank - 1; at > first && lefts[at] >= ROW / 2; at--) if (across[at - 1] < across[best - 1]) best = at;
      found.add(best);
      first = rank = best;
      x = indent;
    }
    lefts[rank] = x;
    x += widths[rank] + gaps[rank];
  }
  return found;
}

/**
 * @param {number} group @param {Plan} plan @param {number} x @param {number} y
 * @param {Box[]} boxes @param {Set<number>} opened
 */
function addBoxes(group, plan, x, y, boxes, opened) {
  /** @type {number[][]} */
  const inner = [];
  plan.level.items.forEach((item, i) => {
    if (!["node", "leaf", "group"].includes(item.kind)) return;
    const open = item.kind === "group" && opened.has(item.ref), size = plan.sizes[i];
    const box = { kind: item.kind, ref: item.ref, group, x: x + plan.x[i], y: y + plan.y[i] };
    boxes.push({ ...box, width: size.width, height: size.height, open });
    if (open) inner.push([item.ref, box.x, box.y - size.height / 2]);
  });
  return inner;
}

/**
 * @param {number} group @param {Plan} plan @param {number} x @param {number} y
 * @param {Line[]} lines @param {Set<number>} opened
 */
function addLines(group, plan, x, y, lines, opened) {
  const { level } = plan, forks = level.items.map(() => 0);
  const flowing = new Set(level.flowing), branching = new Set(level.branching);
  const returned = new Set(level.links.filter((link) => link[5]).map((link) => link[3]));
  for (const link of level.links) forks[link[1]] += 1;
  level.items.forEach((item, i) => {
    const size = plan.sizes[i];
    let start = plan.x[i] + size.width, right = plan.right[item.rank];
    if (item.kind === "outlet") right = group === ROOT ? plan.left[item.rank] + MARGIN : plan.width;
    if (["bend", "outlet", "share"].includes(item.kind)) start = plan.left[item.rank];
    if (item.kind === "inlet") start = 0;
    const outputs = item.outputs.length ? item.outputs : item.ports;
    outputs.forEach((value, k) => {
      const out = item.outputs.length > 0;
      const height = y + plan.y[i] + (out ? size.outputs[k] : 0);
      const share = item.kind === "share";
      lines.push({
        kind: item.kind, value, group, item: i, target: item.target,
        points: [[x + start, height], [x + right, height]],
        flows: share ? returned.has(i) : flowing.has(value),
        label: out ? size.labels[k] : null,
        head: item.kind === "outlet" && group === ROOT,
        tail: ["node", "leaf"].includes(item.kind) || (item.kind === "group" && !opened.has(item.ref)),
        branch: branching.has(value) && !["share", "outlet"].includes(item.kind) && forks[i] !== 1,
      });
    });
  });
  const crossing = level.columns.map(() => 0);
  for (const link of level.links) {
    const start = link[1], end = link[3], port = link[4];
    const rank = level.items[start].rank, item = level.items[end];
    const height = plan.y[start] + plan.sizes[start].outputs[link[2]];
    const way = [[plan.right[rank], height]];
    const stop = [entry(plan, end, port), plan.y[end] + plan.sizes[end].ports[port]];
    if (plan.row[rank] !== plan.row[rank + 1]) {
      const track = TRACK * ++crossing[rank], below = plan.floor[plan.row[rank]] + track;
      const [outer, back] = [plan.right[rank] + track, plan.left[rank + 1] - track];
      way.push([outer, height], [outer, below], [back, below], [back, stop[1]]);
    }
    lines.push({
      kind: "link", value: link[0], group, flows: link[5], label: null, tail: false, branch: false,
      target: level.items[start].target ?? item.target, // of the share on either side
      points: [...way, stop].map((point) => [x + point[0], y + point[1]]),
      head: item.kind === "node" || (item.kind === "group" && !opened.has(item.ref)),
    });
  }
}

/** @param {Plan} plan @param {number} end @param {number} port */
function entry(plan, end, port) {
  const item = plan.level.items[end], size = plan.sizes[end];
  if (!["node", "group"].includes(item.kind) || size.width !== size.height) return plan.left[item.rank];
  const radius = size.width / 2, off = size.ports[port];
  return plan.x[end] + radius - Math.sqrt(Math.max(radius * radius - off * off, 0));
}
