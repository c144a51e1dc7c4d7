// The rules on plain numbers, to follow a changed leaf without asking Python.
// Each: what is computed, and for each input its derivative, from the inputs and the output.

/** @typedef {import("./model.js").Trace} Trace */

/** @type {Record<string, [(...xs: number[]) => number, (y: number, ...xs: number[]) => number[]]>} */
export const RULES = {
  add: [(a, b) => a + b, () => [1, 1]],
  subtract: [(a, b) => a - b, () => [1, -1]],
  multiply: [(a, b) => a * b, (y, a, b) => [b, a]],
  divide: [(a, b) => a / b, (y, a, b) => [1 / b, -y / b]],
  negative: [(x) => -x, () => [-1]],
  power: [(a, b) => a ** b, (y, a, b) => [b ? b * a ** (b - 1) : 0, a > 0 ? y * Math.log(a) : 0]],
  exp: [Math.exp, (y) => [y]],
  log: [Math.log, (y, x) => [1 / x]],
  sqrt: [Math.sqrt, (y) => [1 / (2 * y)]],
  sin: [Math.sin, (y, x) => [Math.cos(x)]],
  cos: [Math.cos, (y, x) => [-Math.sin(x)]],
  tanh: [Math.tanh, (y) => [1 - y * y]],
  sign: [Math.sign, () => [0]],
  abs: [Math.abs, (y, x) => [Math.sign(x)]],
  maximum: [Math.max, (y, a, b) => (a === b ? [0.5, 0.5] : a > b ? [1, 0] : [0, 1])],
  minimum: [Math.min, (y, a, b) => (a === b ? [0.5, 0.5] : a < b ? [1, 0] : [0, 1])],
  where: [(c, a, b) => (c ? a : b), (y, c) => [0, c ? 1 : 0, c ? 0 : 1]],
  greater: [(a, b) => Number(a > b), () => [0, 0]],
  greater_equal: [(a, b) => Number(a >= b), () => [0, 0]],
  less: [(a, b) => Number(a < b), () => [0, 0]],
  less_equal: [(a, b) => Number(a <= b), () => [0, 0]],
  relu: [(x) => Math.max(x, 0), (y, x) => [x > 0 ? 1 : 0]],
  sigmoid: [(x) => 1 / (1 + Math.exp(-x)), (y) => [y * (1 - y)]],
  sum: [(x) => x, () => [1]],
  mean: [(x) => x, () => [1]],
  repeat: [(x) => x, () => [1]],
  sum_to: [(x) => x, () => [1]],
  reshape: [(x) => x, () => [1]],
  cast: [(x) => x, () => [1]],
};

/**
 * The number of an array of the trace; null unless it is a single number.
 * @param {Trace} trace @param {number|null} array
 */
export function number(trace, array) {
  const about = array === null ? null : trace.arrays[array];
  return about && about.shape.length === 0 && about.data ? Number(about.data[0]) : null;
}

/** Whether the whole computation is one of single numbers with known rules. @param {Trace} trace */
export function computable(trace) {
  return trace.values.every((v) => number(trace, v.array) !== null) && trace.nodes.every((n) => n.op in RULES);
}

/**
 * All values, derivatives, and shares by use, when the leaves have the values `given`.
 * @param {Trace} trace @param {Map<number, number>} given
 */
export function compute(trace, given) {
  const values = trace.values.map((v, i) => given.get(i) ?? number(trace, v.array) ?? NaN);
  const inputs = (/** @type {import("./model.js").Node} */ node) => node.uses.map((u) => values[trace.uses[u].value]);
  for (const node of trace.nodes) values[node.output] = RULES[node.op][0](...inputs(node));
  const gradients = trace.values.map(() => 0), shares = trace.uses.map(() => /** @type {any} */ (null));
  gradients[trace.output] = number(trace, trace.values[trace.output].gradient) ?? 1;
  for (const node of [...trace.nodes].reverse()) {
    const local = RULES[node.op][1](values[node.output], ...inputs(node));
    node.uses.forEach((use, port) => {
      if (trace.uses[use].gradient === null) return;
      shares[use] = gradients[node.output] * local[port];
      gradients[trace.uses[use].value] += shares[use];
    });
  }
  return { values, gradients: gradients.map((g, i) => (trace.values[i].gradient === null ? null : g)), shares };
}

/** A number as it stands on an edge, like numbers.short in Python. @param {number} x */
export function short(x) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const digits = size >= 1e-3 && size < 1e6 ? Math.max(4, Math.trunc(Math.log10(size)) + 1) : 4;
  const text = x.toPrecision(digits);
  const exponent = Number(x.toExponential(digits - 1).split("e")[1]);
  if (exponent < -4 || exponent >= digits) {
    const [mantissa, power] = x.toExponential(digits - 1).split("e");
    return `${Number(mantissa)}e${Number(power)}`;
  }
  return String(Number(text));
}
