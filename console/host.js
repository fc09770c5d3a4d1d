// The host itself: what is stopped, figures, Diameter peers, images, dead letters.
import * as api from "./api.js";
import { card, empty, failure, h, replace, table } from "./dom.js";
import { age, bytes, count, hex, value, when } from "./format.js";
import { rates } from "./rates.js";
import { stops } from "./stops.js";

const EVERY_MS = 5000;
const FILES_SHOWN = 5;
const MOST = 50;

function figures(status) {
  const shown = [
    ["Version", value(status.version)],
    [
      "Started",
      Number.isFinite(status.uptime_s) ? age(new Date(Date.now() - status.uptime_s * 1000).toISOString()) : "–",
    ],
    ["Twins", count(status.twins)],
    ["Images", count(status.images)],
    ["Peers", count(status.peers)],
    ["Turns", count(status.turns)],
    ["Uplinks", count(status.uplinks)],
    ["Downlinks", count(status.downlinks)],
    ["Waiting", count(status.mailbox)],
    ["Dead letters", count(status.dead_letters)],
    ["Log", bytes(status.log_bytes)],
  ];
  return h(
    "dl",
    { class: "figures" },
    shown.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))),
  );
}

function peers({ peers: all }) {
  if (all.length === 0)
    return empty(
      "No Diameter peer has ever connected. ",
      h("code", {}, "diameter.peers"),
      " in the configuration names them.",
    );
  return table(
    "Peers",
    [
      { title: "Identity" },
      { title: "State" },
      { title: "Address" },
      { title: "Applications" },
      { title: "Requests", class: "number" },
      { title: "Answers", class: "number" },
      { title: "Errors", class: "number" },
      { title: "Load %", class: "number" },
      { title: "Less %", class: "number" },
    ],
    all.map((peer) => [
      [peer.identity, h("div", { class: "under muted" }, peer.realm)],
      h("span", { class: `badge ${peer.state === "open" ? "good" : "failed"}` }, peer.state),
      peer.address ?? "–",
      (peer.applications ?? []).join(", "),
      count(peer.requests),
      count(peer.answers),
      count(peer.errors),
      count(peer.load),
      count(peer.reduction),
    ]),
  );
}

function quarantine({ by, reason, since }) {
  return [
    " ",
    h("span", { class: "badge failed" }, "quarantined"),
    h("div", { class: "under muted" }, `by ${by === "host" ? "the host itself" : "an operator"} ${age(since)}`, h("span", {}, reason)),
  ];
}

function images({ images: all }) {
  if (all.length === 0)
    return empty("No images yet. Upload one: ", h("code", {}, "dromio image push build/examples/thermo.wasm"));
  return table(
    "Images",
    [
      { title: "Model" },
      { title: "Version" },
      { title: "Twins", class: "number" },
      { title: "Memory", class: "number" },
      { title: "Computes" },
      { title: "Imports" },
      { title: "Image" },
    ],
    all.map((image) => [
      [h("b", {}, image.model), image.quarantined ? quarantine(image.quarantined) : null],
      image.version,
      count(image.twins),
      bytes(image.memory),
      image.computes ? "yes" : "",
      (image.imports ?? []).join(", "),
      h("code", { title: image.image }, (image.image ?? "").slice(0, 19)),
    ]),
  );
}

function letters({ dead_letters: all }) {
  if (all.length === 0) return empty("None. An event whose turn fails is kept here, with its frame and the reason.");
  return table(
    "Dead letters",
    [{ title: "Time" }, { title: "Twin" }, { title: "Event" }, { title: "Frame" }, { title: "Reason" }],
    all
      .slice(0, MOST)
      .map((letter) => [
        h("time", { datetime: letter.time }, when(letter.time)),
        letter.id ? h("a", { href: `#/twins/${encodeURIComponent(letter.id)}` }, letter.id) : "unknown",
        (letter.kind ?? "").replaceAll("_", " "),
        h("code", { class: "frame" }, hex(letter.frame)),
        letter.reason,
      ]),
  );
}

function charging({ enabled, state, records, backlog_bytes: backlog, gaps, files = [] }) {
  if (!enabled) return empty("No charging records are written: ", h("code", {}, "charging.enabled"), " is off.");
  const shown = [
    ["State", h("span", { class: `badge ${state === "writing" ? "good" : state === "failed" ? "failed" : "pending"}` }, state)],
    ["Records", count(records)],
    ["Waiting in the log", `${count(Math.ceil((backlog ?? 0) / 1024))} KiB`],
    ["Gaps", count(gaps)],
  ];
  return [
    h(
      "dl",
      { class: "figures" },
      shown.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))),
    ),
    files.length > 0
      ? table(
          "Newest charging files",
          [{ title: "File" }, { title: "Bytes", class: "number" }],
          files
            .slice(-FILES_SHOWN)
            .reverse()
            .map((file) => [h("code", {}, file.name), count(file.bytes)]),
        )
      : null,
  ];
}

export function showHost(main, { signal }) {
  document.title = "Host – Dromio";
  const parts = [
    ["/v1/stops", "Stops", stops],
    ["/v1/peers", "Diameter peers", peers],
    ["/v1/charging", "Charging records", charging],
    ["/v1/images", "Images", images],
    ["/v1/dead-letters", "Dead letters", letters],
  ].map(([path, title, draw]) => ({ path, title, draw, place: h("div", {}, empty("Loading…")) }));
  const status = h("div", {}, empty("Loading…"));

  async function update() {
    if (!document.hidden) {
      await Promise.all(
        parts.map(async (part) => {
          try {
            replace(part.place, part.draw(await api.get(part.path, signal)));
          } catch (problem) {
            if (problem.status === 403) replace(part.place, empty("Only for the administrator."));
            else if (problem.name !== "AbortError") replace(part.place, failure(problem));
          }
        }),
      );
    }
    if (!signal.aborted) setTimeout(update, EVERY_MS);
  }

  const [first, ...others] = parts.map((part) => card(part.title, part.place));
  replace(
    main,
    h("div", { class: "title" }, h("h1", {}, "Host")),
    first,
    rates(signal, (answer) => replace(status, figures(answer))),
    card("Figures", status),
    others,
  );
  update();
}
