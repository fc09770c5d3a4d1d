// The host's rates, as they are now, with their last two minutes.
import * as api from "./api.js";
import { Sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count } from "./format.js";

const EVERY_MS = 2000;
const SAMPLES = 60;
const FORGET_MS = 10000; // a gap longer than this begins the picture anew
const SHOWN = [
  ["uplinks", "Uplinks"],
  ["turns", "Turns"],
  ["commits", "Commits"],
  ["downlinks", "Downlinks"],
];

let kept = new Map(); // what was shown last, so that going from page to page does not lose it
let before = null;

export function rates(signal, onStatus) {
  if (before === null || performance.now() - before.at > FORGET_MS) {
    kept = new Map();
    before = null;
  }
  const tiles = SHOWN.map(([name, title]) => ({
    name,
    spark: kept.get(name)?.spark ?? new Sparkline(SAMPLES),
    number: h("span", { class: "number" }, kept.get(name)?.number.textContent ?? "–"),
    title,
  }));
  for (const tile of tiles) kept.set(tile.name, tile);
  const element = h(
    "section",
    { class: "rates", "aria-label": "Rates" },
    tiles.map((tile) =>
      h(
        "div",
        { class: "tile" },
        h("div", {}, h("span", { class: "label" }, `${tile.title}/s`), tile.number),
        tile.spark.element,
      ),
    ),
  );

  function take(status) {
    const now = performance.now();
    onStatus?.(status);
    for (const tile of tiles) {
      const total = status[tile.name];
      if (before !== null && Number.isFinite(total) && Number.isFinite(before.status[tile.name])) {
        const rate = Math.max(0, (total - before.status[tile.name]) / ((now - before.at) / 1000));
        tile.spark.push(rate);
        tile.number.textContent = count(rate);
      }
    }
    before = { status, at: now };
  }

  async function ask() {
    try {
      if (!document.hidden) take(await api.get("/v1/status", signal));
    } catch (problem) {
      if (problem.name === "AbortError" || signal.aborted) return;
      if (problem.status === 403) {
        element.remove(); // not for this login
        return;
      }
      before = null;
    }
    if (!signal.aborted) setTimeout(ask, EVERY_MS);
  }
  ask();
  return element;
}
