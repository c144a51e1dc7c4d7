// What the page of a run shows, as data, and small things that all of its parts use.
import { short } from "./calculus.js";

/**
 * Floats that JSON has no word for come as "NaN", "Infinity" and "-Infinity".
 * @typedef {number|string} Real
 * @typedef {import("./model.js").Side} Side
 * @typedef {{kind: string, where: string, first: number, last: number,
 *   numbers: Record<string, Real>}} Finding
 * @typedef {{kind: string, name: string, where: string, shape: number[], bad: number, size: number,
 *   node: number|null, inputs: {name: string, shape: number[], low: Real|null, high: Real|null}[]}} Origin
 * @typedef {{step: number, loss: Real, signal: {name: string, norm: Real}[],
 *   weights: {name: string, shape: number[], norm: Real, gradient: Real|null, update: Real|null}[],
 *   units: {name: string, op: string, count: number, silent: number[], saturated: Real}[]}} Vitals
 * @typedef {{vitals: Vitals, origin?: Origin|null, picture: number, labels: (number|null)[][],
 *   sides: Side[], parameters: Record<string, (number|null)[]>, paths: Record<string, number>,
 *   norms: (Real|null)[]}} Moment
 * @typedef {Record<string, number|null> & {step: number, train_accuracy: number, test_accuracy: number}} Epoch
 * @typedef {{about: Record<string, any>, steps: number, done: number, state: string, message: string,
 *   trouble: string, event: number, curve: Real[][], epochs: Epoch[], findings: Finding[],
 *   moments: Moment[], pictures: import("./model.js").Data[]}} Run
 */

/** @type {{run: Run, live: boolean, words: Record<string, any>}} */
export const data = JSON.parse(document.getElementById("data")?.textContent ?? "");
export const { run } = data;
export const { moments, pictures } = run;
/** @type {Record<string, any>} The words of the chosen language. */
export const words = {};
/** Which moment is shown, and whether always the newest; whether the server is gone; what was read out. */
export const shown = { at: moments.length - 1, following: true, lost: false, told: "" };
/** @type {Record<string, any>} The parts of the page. */
export const ui = {};

/**
 * An element of the page; what begins with "on" listens; null and false are left out.
 * @param {string} tag @param {Record<string, any>} attributes @param {...any} children @returns {any}
 */
export const el = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
};
/** The words with the numbers in their places. @param {string} text @param {Record<string, any>} numbers */
export const say = (text, numbers = {}) => text.replace(/\{(\w+)\}/g, (_, key) => numbers[key] ?? "");
/** @param {Real} x */
export const percent = (x) => `${short(100 * Number(x))} %`;
/** @param {number[]} sizes */
export const shape = (sizes) => (sizes.length === 1 ? `(${sizes[0]})` : sizes.join("×") || "()");
export const now = () => moments[shown.at];
/** @returns {string} */
export function state() {
  if (shown.lost && run.state === "running") return words.states.lost;
  if (run.state === "running" && !data.live) return words.states.unfinished;
  return words.states[run.state];
}
