// Values and times as people read them.

const UNITS = { Cel: "°C", deg: "°", "%RH": "%" };

export const unit = (text) => UNITS[text] ?? text ?? "";

export function value(raw) {
  if (raw === undefined || raw === null) return "–";
  if (typeof raw === "boolean") return raw ? "yes" : "no";
  if (typeof raw === "number") return Number.isInteger(raw) ? String(raw) : String(Math.round(raw * 1000) / 1000);
  return typeof raw === "object" ? JSON.stringify(raw) : raw;
}

export function measured(property) {
  if (!property || property.value === undefined || property.value === null) return "–";
  const sign = unit(property.unit);
  return sign && typeof property.value === "number" ? `${value(property.value)} ${sign}` : value(property.value);
}

const STEPS = [
  [60, "s", 1],
  [3600, "min", 60],
  [86400, "h", 3600],
  [Infinity, "d", 86400],
];

function span(seconds) {
  const [, name, size] = STEPS.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / size)} ${name}`;
}

// "3 min ago", "in 7 min"
export function age(time, now = Date.now()) {
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return "never";
  const seconds = Math.round((now - at) / 1000);
  if (Math.abs(seconds) < 2) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

// When the next window is: ahead, or due since.
export function windowText(time) {
  return Date.parse(time ?? "") < Date.now() - 2000 ? `due ${age(time)}` : age(time);
}

export function clock(time) {
  const at = new Date(time ?? "");
  return Number.isNaN(at.getTime()) ? "–" : at.toLocaleTimeString(undefined, { hour12: false });
}

export function when(time) {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "–";
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? clock(time) : `${at.toLocaleDateString()} ${clock(time)}`;
}

const WHY = {
  uplink: "it just spoke",
  reachable: "the network says so",
  retransmission_time: "the network named it",
  pattern: "its pattern",
  twin: "the twin says so",
  learned: "learned",
  unknown: "unknown",
};
export const why = (reason) => WHY[reason] ?? reason ?? "unknown";

export function count(number) {
  if (number === undefined || number === null) return "–";
  if (number >= 1e6) return `${(number / 1e6).toFixed(number >= 1e7 ? 0 : 1)} M`;
  if (number >= 1e4) return `${(number / 1e3).toFixed(number >= 1e5 ? 0 : 1)} k`;
  return String(Math.round(number * 10) / 10);
}

export function bytes(number) {
  if (!Number.isFinite(number)) return "–";
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; number >= 1024 && step < names.length - 1; step++) number /= 1024;
  return `${number < 10 && step > 0 ? number.toFixed(1) : Math.round(number)} ${names[step]}`;
}

export const hex = (text) => (text ?? "").replace(/(..)(?=.)/g, "$1 ");
