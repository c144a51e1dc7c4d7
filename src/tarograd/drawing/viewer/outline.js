// The outline: the same as the drawing in words, for the keyboard and for screen readers.
import { el, inside, nameOf, outward, readable, shareOf, slope, state, text, trace, words } from "./model.js";
import { select, toggle } from "./page.js";

export const outline = el("ul", { role: "tree", onkeydown: treeKeys, onclick: treeClicked });

/** Write the outline anew; the focus stays. */
export function tree() {
  const focused = outline.querySelector('[tabindex="0"]')?.dataset.key ?? null;
  outline.replaceChildren(...branch(0));
  const all = [...outline.querySelectorAll("[data-key]")];
  (all.find((x) => x.dataset.key === focused) ?? all[0])?.setAttribute("tabindex", "0");
}

/** The items within a group, in the order of computation. @param {number} group @returns {HTMLElement[]} */
function branch(group) {
  const { nodes, groups, leaves } = inside[group];
  const items = [...leaves.map((i) => [-1, leafItem(i)]), ...nodes.map((i) => [i, nodeItem(i)]), ...groups.map((i) => [first[i], groupItem(i)])];
  return items.sort((a, b) => a[0] - b[0]).map(([, item]) => item);
}

/** The first node of each group. */
const first = trace.groups.map(() => Infinity);
trace.nodes.forEach((node, i) => outward(node.group).forEach((g) => (first[g] = Math.min(first[g], i))));

/** @param {string} key @param {string} said @param {Record<string, any>} more @param {HTMLElement[]} inner */
const item = (key, said, more = {}, ...inner) => el("li", { role: "treeitem", tabindex: "-1", "data-key": key, ...more }, el("span", {}, said), ...inner);
const both = (/** @type {number} */ v) => `${text(v)}, ∂ ${slope(v)}`;
const leafItem = (/** @type {number} */ i) => item(`value${i}`, `${trace.values[i].name ? nameOf(i) : words.constant} = ${both(i)}`);

/** @param {number} i */
function nodeItem(i) {
  const node = trace.nodes[i];
  const inputs = node.uses.map((u) => `${nameOf(trace.uses[u].value)} ∂ ${shareOf(u)}`).join("; ");
  return item(`node${i}`, `${node.symbol} ${node.op} (${inputs}) = ${both(node.output)}`);
}

/** @param {number} i */
function groupItem(i) {
  const it = trace.groups[i], open = state.opened.has(i);
  const out = it.leaves.map(({ value }) => both(value)).join("; ");
  const kind = it.kind === "part" ? `${it.size} ${words.nodes}` : it.kind === it.name ? "" : it.kind;
  const inner = open ? [el("ul", { role: "group" }, ...branch(i))] : [];
  return item(`group${i}`, `${readable(it.name)} ${kind} = ${out}`, { "aria-expanded": String(open) }, ...inner);
}

/** @param {MouseEvent} event */
function treeClicked(event) {
  const found = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-key]"));
  const key = found?.dataset.key;
  if (!key) return;
  select(key);
  if (key.startsWith("group")) toggle(Number(key.slice(5)), event.shiftKey);
}

/** @param {KeyboardEvent} event */
function treeKeys(event) {
  const all = [...outline.querySelectorAll('[role="treeitem"]')], at = all.indexOf(document.activeElement);
  const key = all[at]?.dataset.key ?? "", group = key.startsWith("group") ? Number(key.slice(5)) : null;
  const focus = (/** @type {number} */ to) => {
    if (!all[to]) return;
    all[at]?.setAttribute("tabindex", "-1");
    all[to].setAttribute("tabindex", "0");
    all[to].focus();
  };
  const turn = (/** @type {boolean} */ all) => {
    if (group !== null) toggle(group, all);
    outline.querySelector(`[data-key="${key}"]`)?.focus();
  };
  const open = group !== null && state.opened.has(group);
  if (event.key === "ArrowDown") focus(at + 1);
  else if (event.key === "ArrowUp") focus(at - 1);
  else if (event.key === "ArrowRight" && open) focus(at + 1);
  else if (event.key === "ArrowRight" && group !== null) turn(false);
  else if (event.key === "ArrowLeft" && open) turn(false);
  else if (event.key === "ArrowLeft") focus(all.indexOf(all[at]?.parentElement.closest('[role="treeitem"]')));
  else if (event.key === "Home") focus(0);
  else if (event.key === "End") focus(all.length - 1);
  else if (event.key === "Enter" && key) {
    select(key);
    if (group !== null) turn(event.shiftKey);
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
