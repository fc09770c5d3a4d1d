// What the network and applications over T8 have to do with one twin: its connection, its schedule, who watches it or
// asks something of it, and what the network said last.
import { empty, h, table } from "./dom.js";
import { age, value, when } from "./format.js";

const EVENTS_SHOWN = 10;
const KINDS = new Set(["network", "connection", "trigger", "schedule", "reachability"]);
const MINUTE = 60;

const APIS = {
  "3gpp-monitoring-event": { word: "watches", title: (each) => words(each.monitoringType) },
  "3gpp-device-triggering": { word: "triggers", title: (each) => `port ${value(each.applicationPortId)}` },
  "3gpp-cp-parameter-provisioning": { word: "says how it communicates", title: patterns },
  "3gpp-network-parameter-configuration": { word: "sets its parameters", title: parameters },
  "3gpp-ecr-control": { word: "sets its coverage", title: () => "" },
};

// LOSS_OF_CONNECTIVITY as people write it.
const words = (text) => (text ?? "").toLowerCase().replaceAll("_", " ");

function seconds(count) {
  if (count < 2 * MINUTE) return `${count} s`;
  return count < 120 * MINUTE ? `${Math.round(count / MINUTE)} min` : `${Math.round(count / (60 * MINUTE))} h`;
}

function patterns(resource) {
  const sets = Object.keys(resource.cpParameterSets ?? {});
  return sets.length > 0 ? `${sets.length} ${sets.length === 1 ? "pattern" : "patterns"}` : "";
}

function parameters(resource) {
  const said = [
    ["latency", resource.maximumLatency],
    ["response", resource.maximumResponseTime],
  ].filter(([, count]) => typeof count === "number");
  return said.map(([name, count]) => `${name} ${seconds(count)}`).join(", ");
}

// ---- connection and schedule ----

function connectionLine(connection) {
  if (!connection) return h("span", {}, "Connection ", h("b", {}, "none"));
  const radio = connection.radio ? ` over ${connection.radio.replaceAll("_", " ")}` : "";
  return [
    h("span", {}, "Connection ", h("b", {}, `established${radio}`), connection.node ? ` at ${connection.node}` : ""),
    connection.plmn
      ? h(
          "span",
          {},
          "Network ",
          h("b", {}, connection.plmn),
          connection.roaming ? [" ", h("span", { class: "badge pending" }, "roaming")] : " (at home)",
        )
      : null,
    connection.via ? h("span", {}, `through ${connection.via}`) : null,
  ];
}

function scheduleWords(schedule) {
  const told = (row) =>
    Object.entries(row ?? {})
      .map(([name, count]) => (name === "packets" ? `${count} packets` : name.endsWith("_ms") ? `${name.slice(0, -3)} ${count} ms` : `${name} ${seconds(count)}`))
      .join(", ");
  const wanted = told(schedule.wanted);
  const network = told(schedule.network);
  return [h("b", {}, words(schedule.state)), wanted ? `, wanted: ${wanted}` : "", network ? `, network: ${network}` : ""];
}

function scheduleLine(schedule) {
  return schedule ? h("span", {}, "Schedule ", scheduleWords(schedule)) : null;
}

// ---- applications ----

function stateOf(each) {
  const { resource } = each;
  if (resource.deliveryResult) {
    const kind = resource.deliveryResult === "SUCCESS" ? "delivered" : resource.deliveryResult === "TRIGGERED" ? "pending" : "failed";
    return h("span", { class: `badge ${kind}` }, words(resource.deliveryResult));
  }
  if (each.api !== "3gpp-monitoring-event") return h("span", { class: "badge good" }, "in effect");
  const most = resource.maximumNumberOfReports;
  return [
    `${each.reports}${most ? ` of ${most}` : ""} ${each.reports === 1 && !most ? "report" : "reports"}`,
    resource.monitorExpireTime ? h("div", { class: "under muted" }, `until ${when(resource.monitorExpireTime)}`) : null,
  ];
}

function exposureRow(each) {
  const api = APIS[each.api] ?? { word: each.api, title: () => "" };
  return [
    h("b", {}, each.application ?? "the twin"),
    [api.word, " ", h("b", {}, api.title(each.resource))],
    stateOf(each),
    h("time", { datetime: each.made, title: when(each.made) }, age(each.made)),
  ];
}

function exposures({ exposures: list = [], more }) {
  if (list.length === 0) return empty("No application watches, triggers or configures this device over T8.");
  return [
    table(
      "What applications have at this device",
      [{ title: "Application" }, { title: "What" }, { title: "State" }, { title: "Made" }],
      list.map(exposureRow),
    ),
    more ? h("p", { class: "hint" }, "There are more than fit here.") : null,
  ];
}

// ---- what the network said ----

// An object's members as they are, but what only repeats the row.
function members(object) {
  return Object.entries(object ?? {}).map(([name, raw]) => h("li", {}, h("span", { class: "muted" }, name), ` ${value(raw)}`));
}

function said(event) {
  if (event.network_report) {
    const { report = {}, said: word } = event.network_report;
    const { monitoringType, externalId, msisdn, eventTime, ...rest } = report;
    return [h("b", {}, [word === "event" ? "" : `${word} `, words(monitoringType)]), h("ul", { class: "effects" }, members(rest))];
  }
  const schedule = event.kind === "schedule" ? (event.schedule ?? event.network?.schedule) : null;
  if (schedule) return scheduleWords(schedule);
  if (event.kind === "reachability") return h("b", {}, "the device can be reached");
  const { command, peer, end_to_end: end, contact, ...rest } = event.network ?? {};
  return [
    h("b", {}, words(event.outcome)),
    peer ? h("span", { class: "muted" }, ` ${peer}`) : null,
    h("ul", { class: "effects" }, members(rest)),
  ];
}

function events(timeline) {
  const rows = timeline
    .filter((event) => KINDS.has(event.kind))
    .slice(0, EVENTS_SHOWN)
    .map((event) => [
      h("time", { datetime: event.time, title: age(event.time) }, when(event.time)),
      words(event.kind),
      said(event),
    ]);
  if (rows.length === 0) return empty("The network has said nothing of this device yet.");
  return table("Network events", [{ title: "Time" }, { title: "What" }, { title: "Said" }], rows);
}

// The card's content for a twin as GET shows it, its exposures, and its timeline with the network's part.
export function networkParts(twin, exposureList, timeline) {
  return [
    h("p", { class: "contact-line" }, connectionLine(twin.connection), scheduleLine(twin.contact?.schedule)),
    exposures(exposureList),
    h("h3", {}, "Said last"),
    events(timeline),
  ];
}
