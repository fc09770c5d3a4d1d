// Charts in SVG, of our own: a sparkline, and a property over time with the device's contacts.
import { h, svg } from "./dom.js";
import { clock, unit, value as shown, when, why } from "./format.js";

const SPARK = { width: 120, height: 32 };

export class Sparkline {
  #values = [];
  #line = svg("polyline", { class: "spark-line" });
  #area = svg("polygon", { class: "spark-area" });

  constructor(limit) {
    this.limit = limit;
    this.element = svg(
      "svg",
      {
        viewBox: `0 0 ${SPARK.width} ${SPARK.height}`,
        class: "spark",
        "aria-hidden": "true",
        preserveAspectRatio: "none",
      },
      this.#area,
      this.#line,
    );
  }

  push(value) {
    this.#values.push(value);
    if (this.#values.length > this.limit) this.#values.shift();
    const most = Math.max(...this.#values, 1e-9);
    const step = SPARK.width / (this.limit - 1);
    const start = this.limit - this.#values.length;
    const points = this.#values.map(
      (each, index) =>
        `${((start + index) * step).toFixed(1)},${(SPARK.height - 2 - (each / most) * (SPARK.height - 5)).toFixed(1)}`,
    );
    this.#line.setAttribute("points", points.join(" "));
    this.#area.setAttribute(
      "points",
      `${(start * step).toFixed(1)},${SPARK.height} ${points.join(" ")} ${SPARK.width},${SPARK.height}`,
    );
  }
}

const MARGIN = { top: 14, right: 16, bottom: 40, left: 52 };

// Round steps that give about `count` lines between low and high.
function ticks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step)
    found.push(Math.round(at / step) * step);
  return found.map((each) => Number(each.toPrecision(12)));
}

const TIME_STEPS = [10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 604800].map(
  (seconds) => seconds * 1000,
);

function timeTicks(from, to, count) {
  const step =
    TIME_STEPS.find((each) => (to - from) / each <= count) ??
    TIME_STEPS.at(-1) * Math.ceil((to - from) / TIME_STEPS.at(-1) / count);
  const offset = new Date(from).getTimezoneOffset() * 60000;
  const found = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) found.push(at);
  return found;
}

function numeric(row) {
  return typeof row.value === "boolean" ? Number(row.value) : row.value;
}

// `rows` newest first as the API gives them; `contacts` are times the device was heard.
export function historyChart({ name, unitName, rows, contacts, contact, width, now = Date.now() }) {
  const height = width < 500 ? 220 : 280;
  const points = rows
    .map((row) => ({ at: Date.parse(row.time), value: numeric(row), row }))
    .filter((point) => Number.isFinite(point.value) && Number.isFinite(point.at))
    .reverse();
  if (points.length === 0)
    return h("p", { class: "empty" }, `No readings of ${name} yet. They show here as the device sends them.`);

  const next = Date.parse(contact?.next ?? "");
  const from = Math.min(points[0].at, now - 60000);
  const to = Math.max(now, Number.isNaN(next) ? 0 : Math.min(next, now + (now - from) / 2)) + (now - from) * 0.03;
  let low = Math.min(...points.map((point) => point.value));
  let high = Math.max(...points.map((point) => point.value));
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  low -= room;
  high += room;
  const x = (at) => MARGIN.left + ((at - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
  const y = (each) => MARGIN.top + (1 - (each - low) / (high - low)) * (height - MARGIN.top - MARGIN.bottom);
  const bottom = height - MARGIN.bottom;

  const grid = ticks(low, high, 4).map((each) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(each), y2: y(each) }),
    svg("text", { class: "tick", x: MARGIN.left - 8, y: y(each) + 4, "text-anchor": "end" }, shown(each)),
  ]);
  const times = timeTicks(from, to, Math.max(2, Math.floor(width / 130))).map((at) =>
    svg("text", { class: "tick", x: x(at), y: height - 8, "text-anchor": "middle" }, tickText(at, to - from)),
  );
  const heard = contacts
    .map((time) => Date.parse(time))
    .filter((at) => at >= from && at <= to)
    .map((at) => svg("line", { class: "contact", x1: x(at), x2: x(at), y1: bottom + 4, y2: bottom + 12 }));
  const line = svg("polyline", { class: "series", points: stepped(points, x, y, name, rows) });
  const dots =
    points.length <= 60
      ? points.map((point) =>
          svg("circle", { class: `dot ${point.row.quality ?? ""}`, cx: x(point.at), cy: y(point.value), r: 2.5 }),
        )
      : [];
  const isNear = next > now && Math.abs(x(next) - x(now)) < 90; // their words would lie on each other
  const marks = [mark(now, "now", "mark-now", x, bottom, width, isNear && x(next) <= width - 90)];
  if (!Number.isNaN(next) && next > now && next <= to)
    marks.push(mark(next, "next window", "mark-next", x, bottom, width));

  const last = points.at(-1);
  const label =
    `${name} from ${when(points[0].row.time)} to ${when(last.row.time)}: last ${shown(last.row.value)} ${unit(unitName)}, ` +
    `lowest ${shown(Math.min(...points.map((point) => point.value)))}, highest ${shown(Math.max(...points.map((point) => point.value)))}. ` +
    `Next contact: ${contact?.next ? `${when(contact.next)}, ${why(contact.why)}` : "unknown"}.`;
  const readout = h("p", { class: "readout", "aria-hidden": "true" }, readoutText(last, unitName));
  const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: bottom, visibility: "hidden" });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, class: "chart", role: "img", "aria-label": label },
    grid,
    times,
    svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }),
    svg("text", { class: "tick", x: MARGIN.left - 8, y: bottom + 13, "text-anchor": "end" }, "heard"),
    heard,
    marks,
    line,
    dots,
    cursor,
  );
  picture.addEventListener("pointermove", (event) => {
    const place = picture.getBoundingClientRect();
    const at =
      from +
      ((((event.clientX - place.left) / place.width) * width - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) *
        (to - from);
    const nearest = points.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best));
    cursor.setAttribute("x1", x(nearest.at));
    cursor.setAttribute("x2", x(nearest.at));
    cursor.setAttribute("visibility", "visible");
    readout.textContent = readoutText(nearest, unitName);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = readoutText(last, unitName);
  });
  return h("figure", { class: "figure" }, readout, picture);
}

function tickText(at, range) {
  const date = new Date(at);
  if (range > 3 * 86400000) return date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  return range > 600000
    ? date.toLocaleTimeString(undefined, { hour12: false, hour: "2-digit", minute: "2-digit" })
    : clock(date);
}

// Settings and switches hold until the next change: steps. Readings are joined.
function stepped(points, x, y, name, rows) {
  const isStep = typeof rows[0]?.value === "boolean" || rows[0]?.source === "application";
  const found = [];
  points.forEach((point, index) => {
    if (isStep && index > 0) found.push(`${x(point.at).toFixed(1)},${y(points[index - 1].value).toFixed(1)}`);
    found.push(`${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`);
  });
  return found.join(" ");
}

function mark(at, text, kind, x, bottom, width, isBefore = false) {
  const place = x(at);
  const isLeft = isBefore || place > width - 90;
  return [
    svg("line", { class: kind, x1: place, x2: place, y1: MARGIN.top, y2: bottom }),
    svg(
      "text",
      {
        class: "mark-text",
        x: place + (isLeft ? -5 : 5),
        y: kind === "mark-next" ? MARGIN.top + 24 : MARGIN.top + 9,
        "text-anchor": isLeft ? "end" : "start",
      },
      text,
    ),
  ];
}

function readoutText(point, unitName) {
  const row = point.row;
  return `${shown(row.value)} ${unit(unitName)} · ${when(row.time)} · ${row.quality ?? ""}${row.source ? ` · from the ${row.source}` : ""}`;
}
