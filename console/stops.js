// What may not run: a line over every page with the kinds of it, which anybody may know, and the Host page's list.
import * as api from "./api.js";
import { empty, h, replace, table } from "./dom.js";
import { age, when } from "./format.js";

const EVERY_MS = 5000;
const SAID = {
  code: "All code is stopped: no twin takes a turn.",
  domain: "A domain is stopped.",
  image: "An image is quarantined.",
  application: "An application is stopped.",
};

function line(kinds) {
  const text = kinds.map((kind) => SAID[kind] ?? `Stopped: ${kind}.`).join(" ");
  return [h("strong", {}, text), " ", h("a", { href: "#/host" }, "Which and why")];
}

// Keeps the line in `place` up to date for as long as the page lives; nothing is asked while nobody is signed in.
export function watchStops(place) {
  let shown = "";
  function show(kinds) {
    if (kinds.join() === shown) return; // what has not changed is not read out again
    shown = kinds.join();
    replace(place, kinds.length > 0 ? line(kinds) : "");
    place.hidden = kinds.length === 0;
  }
  async function ask() {
    try {
      if (!api.hasSession()) show([]);
      else if (!document.hidden) show((await api.get("/healthz")).stopped ?? []);
    } catch {
      // A host that does not answer may still be stopped: what was known stays.
    }
  }
  async function keep() {
    await ask();
    setTimeout(keep, EVERY_MS);
  }
  keep();
  return ask;
}

function subject(stop) {
  if (stop.stop === "image") return h("code", { title: stop.image }, (stop.image ?? "").slice(0, 19));
  return stop.domain ?? stop.application ?? "of every image";
}

const KINDS = { code: "All code", domain: "Domain", image: "Image (quarantine)", application: "Application" };

export function stops({ stops: all }) {
  if (all.length === 0) return empty("None: everything may run.");
  return [
    table(
      "Stops",
      [{ title: "Stopped" }, { title: "Which" }, { title: "Since" }, { title: "By" }, { title: "Reason" }],
      all.map((stop) => [
        h("b", {}, KINDS[stop.stop] ?? stop.stop),
        subject(stop),
        [h("time", { datetime: stop.since }, when(stop.since)), h("div", { class: "under muted" }, age(stop.since))],
        stop.by === "host" ? h("span", { class: "badge failed" }, "the host itself") : "an operator",
        stop.reason,
      ]),
    ),
    h("p", { class: "hint" }, "A stop ends with ", h("code", {}, "dromio stop remove"), "."),
  ];
}
