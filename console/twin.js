// One twin: its readings over time, what it is told to do, and what happened.
import * as api from "./api.js";
import { historyChart } from "./chart.js";
import { card, empty, failure, h, notice, replace, table } from "./dom.js";
import { age, hex, measured, unit, value, when, why, windowText } from "./format.js";
import { inputFor, inputsFor } from "./inputs.js";
import { networkParts } from "./network.js";

const SETTLE_MS = 400; // events that come together are shown together
const AGES_MS = 5000;
const SHORT_FRAME = 32; // digits of a frame that stays on one line
const RANGES = [
  ["All", 0],
  ["24 hours", 24],
  ["6 hours", 6],
  ["1 hour", 1],
];
const TIMELINE_SHOWN = 40;
const TICKETS_SHOWN = 12;
const DONE = new Set(["reported", "failed", "superseded", "expired"]);

export function showTwin(place, { signal, onState }, id) {
  document.title = `${id} – Dromio`;
  const path = api.twinPath(id);
  const head = h("div", { class: "title" }, h("h1", {}, id));
  const contactLine = h("p", { class: "contact-line" });
  const aside = h("div", {}); // why it does not run as others do
  const parts = {
    chart: h("div", {}, empty("Loading…")),
    properties: h("div", {}),
    controls: h("div", {}),
    tickets: h("div", {}),
    network: h("div", {}, empty("Loading…")),
    timeline: h("div", {}),
  };
  const choice = h("select", { id: "property", onchange: () => drawChart() });
  const range = h(
    "select",
    { id: "range", onchange: () => drawChart() },
    RANGES.map(([title, hours]) => h("option", { value: hours }, title)),
  );
  const data = { twin: null, td: {}, timeline: [], tickets: [], exposures: {}, said: [], turn: 0 };
  let settle; // the timer of an update to come

  const cards = h(
    "div",
    { class: "columns" },
    h(
      "div",
      {},
      card(
        "Readings",
        h(
          "div",
          { class: "filter" },
          h("span", { class: "field" }, h("label", { for: "property" }, "Property"), choice),
          h("span", { class: "field" }, h("label", { for: "range" }, "Of"), range),
        ),
        parts.chart,
      ),
      card("Properties", parts.properties),
    ),
    h("div", {}, card("Commands", parts.controls), card("Tickets", parts.tickets)),
  );
  const networkCard = card("Network", parts.network);
  const timelineCard = card("Timeline", parts.timeline);
  const show = (...below) => replace(place, h("p", {}, h("a", { href: "#/" }, "← All twins")), head, ...below);

  async function begin() {
    show(aside, contactLine, cards, networkCard, timelineCard);
    try {
      [data.twin, data.td] = await Promise.all([
        api.get(path, signal),
        api.get(`${path}/td`, signal).catch(() => ({})),
      ]);
    } catch (problem) {
      // Where the session has ended the form to sign in stands there by now.
      if (problem.name !== "AbortError" && cards.isConnected) show(failure(problem, begin));
      return;
    }
    const names = Object.keys(data.twin.properties);
    replace(
      choice,
      names.map((name) => h("option", { value: name }, name)),
    );
    drawControls();
    await update();
    api.follow(
      { twin: id },
      {
        signal,
        onState,
        onEvent: () => {
          settle ??= setTimeout(() => {
            settle = undefined;
            update();
          }, SETTLE_MS);
        },
      },
    );
    const timer = setInterval(refresh, AGES_MS);
    signal.addEventListener(
      "abort",
      () => {
        clearInterval(timer);
        clearTimeout(settle);
      },
      { once: true },
    );
  }

  const about = (name) => data.td.properties?.[name] ?? {};

  async function update() {
    if (signal.aborted) return;
    const turn = ++data.turn;
    try {
      const [twin, timeline, tickets, exposures, said] = await Promise.all([
        api.get(path, signal),
        api.get(`${path}/timeline`, signal),
        api.get(`${path}/tickets`, signal),
        api.get(`${path}/exposures`, signal),
        api.get(`${path}/timeline${api.query({ network: true })}`, signal),
      ]);
      if (turn !== data.turn) return; // a newer question is under way
      Object.assign(data, { twin, timeline: timeline.events ?? [], tickets: tickets.tickets ?? [], exposures, said: said.events ?? [] });
    } catch (problem) {
      if (problem.name !== "AbortError") notice(problem.message, true);
      if (problem.status === 404 && cards.isConnected) show(failure(problem));
      return;
    }
    drawContact();
    drawProperties();
    drawTickets();
    replace(parts.network, networkParts(data.twin, data.exposures, data.said));
    drawTimeline();
    await drawChart();
  }

  // Nobody is told of a penalty's beginning or end: ages go on, and the twin is read anew.
  async function refresh() {
    const turn = data.turn;
    try {
      const twin = document.hidden ? data.twin : await api.get(path, signal);
      if (turn === data.turn) data.twin = twin;
    } catch (problem) {
      if (problem.name === "AbortError") return; // what else is wrong the stream says
    }
    drawContact();
  }

  function drawContact() {
    replace(aside, asideLines(data.twin));
    const { contact = {}, connection, mailbox, model, tags, revision } = data.twin;
    replace(
      head,
      h("h1", {}, id),
      h("span", { class: "muted" }, `${model} · revision ${revision}`),
      Object.entries(tags ?? {}).map(([name, text]) => h("span", { class: "tag" }, `${name}=${text}`)),
    );
    replace(
      contactLine,
      h("span", {}, "Heard ", h("b", { title: contact.last ? when(contact.last) : null }, age(contact.last))),
      h(
        "span",
        {},
        "Next window ",
        contact.next
          ? [h("b", { title: when(contact.next) }, windowText(contact.next)), ` (${why(contact.why)})`]
          : h("b", {}, "unknown"),
      ),
      h("span", {}, "Mailbox ", h("b", {}, mailbox > 0 ? `${mailbox} waiting` : "empty")),
      connection && h("span", {}, "Connection ", h("b", { title: connectionTitle(connection) }, connectionText(connection))),
    );
  }

  async function drawChart() {
    const name = choice.value;
    if (!name) return replace(parts.chart, empty("This model has no properties."));
    let history;
    try {
      history = await api.get(`${path}/history${api.query({ property: name })}`, signal);
    } catch (problem) {
      return problem.name === "AbortError" ? undefined : replace(parts.chart, failure(problem, drawChart));
    }
    if (name !== choice.value) return undefined; // another was chosen meanwhile
    const contacts = data.timeline
      .filter((event) => event.kind === "uplink" || event.kind === "reachability")
      .map((event) => event.time);
    const since = Number(range.value) > 0 ? Date.now() - Number(range.value) * 3600000 : 0;
    const rows = (history.values ?? []).filter((row) => Date.parse(row.time) >= since);
    for (const row of rows) if (row.source === "device") contacts.push(row.time);
    return replace(
      parts.chart,
      historyChart({
        name,
        unitName: history.unit,
        rows,
        contacts,
        contact: data.twin.contact,
        width: Math.max(300, Math.min(900, parts.chart.clientWidth || 640)),
      }),
    );
  }

  function drawProperties() {
    const rows = Object.entries(data.twin.properties).map(([name, property]) => [
      [h("span", {}, name), about(name).title ? h("div", { class: "under muted" }, about(name).title) : null],
      h("b", {}, measured(property)),
      property.quality ? h("span", { class: `badge ${property.quality}` }, property.quality) : null,
      property.source,
      property.time
        ? h("time", { datetime: property.time, title: when(property.time) }, age(property.time))
        : "never set",
    ]);
    replace(
      parts.properties,
      table(
        "Properties",
        [
          { title: "Property" },
          { title: "Value", class: "number" },
          { title: "Quality" },
          { title: "Source" },
          { title: "Set" },
        ],
        rows,
      ),
    );
  }

  // Forms stay as they are while data changes, so that nobody's typing is lost.
  function drawControls() {
    const writable = Object.entries(data.twin.properties).filter(
      ([name]) => data.td.properties?.[name] && !about(name).readOnly,
    );
    const forms = writable.map(([name, property]) => propertyForm(name, property));
    const actions = Object.entries(data.td.actions ?? {}).map(([name, action]) => actionForm(name, action));
    replace(
      parts.controls,
      forms,
      actions,
      forms.length + actions.length === 0
        ? empty("Nothing to set or call: this model's Thing Description has no writable property and no action.")
        : null,
    );
  }

  function propertyForm(name, property) {
    const field = inputFor(`set-${name}`, about(name), property.desired?.value ?? property.value);
    const state = h("span", { class: "state", role: "status", "data-property": name });
    return commandForm(
      h("label", { for: field.element.id }, name, property.unit ? ` (${unit(property.unit)})` : ""),
      [field],
      "Set",
      state,
      () => api.submit("PUT", `${path}/properties/${encodeURIComponent(name)}`, { value: field.read() }),
      about(name).title,
    );
  }

  function actionForm(name, action) {
    const fields = inputsFor(`call-${name}`, action.input);
    const state = h("span", { class: "state", role: "status", "data-action": name });
    const read = () =>
      Object.fromEntries(fields.filter((field) => !field.isEmpty()).map((field) => [field.name, field.read()]));
    const title = h("span", { class: "action-name" }, name);
    return commandForm(
      title,
      fields,
      "Call",
      state,
      () => api.submit("POST", `${path}/actions/${encodeURIComponent(name)}`, action.input ? read() : {}),
      action.title,
    );
  }

  function commandForm(title, fields, verb, state, act, explanation) {
    const trouble = h("p", { class: "trouble", role: "alert" });
    async function run(event) {
      event.preventDefault();
      trouble.textContent = "";
      try {
        const ticket = await act();
        showState(state, ticket);
        notice(`Ticket ${ticket.ticket}: ${ticket.state}`);
        update();
      } catch (problem) {
        trouble.textContent = problem.reasons?.join("; ") ?? problem.message;
      }
    }
    return h(
      "form",
      { class: "command", onsubmit: run },
      h("div", { class: "command-title" }, title, state),
      h(
        "div",
        { class: "command-fields" },
        fields.map((field) => field.withLabel ?? field.element),
        h("button", { type: "submit" }, verb),
      ),
      explanation
        ? h("p", { class: "hint" }, [explanation, ...fields.map((field) => field.hint)].filter(Boolean).join(" · "))
        : null,
      trouble,
    );
  }

  function showState(place, ticket) {
    const next = ticket.state === "pending" && ticket.next ? `, leaves ${age(ticket.next)}` : "";
    place.className = `state badge ${ticket.state}`;
    place.textContent = `${value(ticket.value)}: ${ticket.state}${next}`;
    place.title = ticket.reason ?? "";
  }

  function drawTickets() {
    for (const place of parts.controls.querySelectorAll(".state")) {
      const { property, action } = place.dataset;
      const newest = data.tickets.find((ticket) =>
        property ? ticket.property === property : ticket.action === action,
      );
      if (newest) showState(place, newest);
    }
    if (data.tickets.length === 0)
      return replace(parts.tickets, empty("No commands in the last day. Set a property or call an action above."));
    const rows = data.tickets.slice(0, TICKETS_SHOWN).map((ticket) => [
      [
        h("b", {}, ticket.property ?? ticket.action),
        ` ${value(ticket.value)}`,
        h("div", { class: "under muted" }, `ticket ${ticket.ticket}`),
      ],
      [
        h("span", { class: `badge ${ticket.state}` }, ticket.state),
        ticket.reason ? h("div", { class: "under muted" }, ticket.reason) : null,
      ],
      [
        age(ticket.time),
        !DONE.has(ticket.state) && ticket.next
          ? h("div", { class: "under muted" }, `next try ${age(ticket.next)}`)
          : null,
      ],
    ]);
    return replace(
      parts.tickets,
      table("Tickets", [{ title: "Command" }, { title: "State" }, { title: "Since" }], rows),
    );
  }

  function drawTimeline() {
    if (data.timeline.length === 0) return replace(parts.timeline, empty("Nothing has happened to this twin yet."));
    const rows = data.timeline
      .slice(0, TIMELINE_SHOWN)
      .map((event) => [
        h("time", { datetime: event.time, title: age(event.time) }, when(event.time)),
        [
          h("b", {}, (event.kind ?? "").replaceAll("_", " ")),
          event.kind !== "uplink" && event.id ? ` ${event.id}` : "",
        ],
        event.frame
          ? h("code", { class: event.frame.length <= SHORT_FRAME ? "frame short" : "frame" }, hex(event.frame))
          : null,
        effects(event),
        outcome(event),
      ]);
    return replace(
      parts.timeline,
      table(
        "Timeline",
        [{ title: "Time" }, { title: "Event" }, { title: "Frame" }, { title: "What came of it" }, { title: "Outcome" }],
        rows,
      ),
    );
  }

  begin();
}

// A penalty, a probation: until when, and why.
function asideLines({ id, penalty, probation }) {
  const until = (time) => [h("b", { title: when(time) }, `until ${when(time)}`), ` (${age(time)})`];
  const release = () => [" By hand: ", h("code", {}, `dromio twin release ${id}`)];
  return [
    penalty &&
      h(
        "p",
        { class: "aside" },
        "Set aside ",
        until(penalty.until),
        ` because its turns failed, the last one with ${words(penalty.reason)}`,
        penalty.times > 1 ? `; ${penalty.times} times in a row now.` : ".",
        release(),
      ),
    probation &&
      h("p", { class: "aside" }, "On probation ", until(probation.until), ": a turn ran into its deadline, so it runs apart from the others, last.", release()),
  ];
}

const words = (text) => (text ?? "an error").replaceAll("_", " ");

// "trap: out of bounds" shows as a badge and its reason.
function outcome(event) {
  const [word, ...reason] = (event.outcome ?? "").split(": ");
  const kind = word === "handled" || word === "swallowed" ? "good" : word === "not_handled" ? "pending" : "failed";
  return [
    h("span", { class: `badge ${kind}` }, word.replaceAll("_", " ")),
    h(
      "div",
      { class: "under muted" },
      [reason.join(": "), `${value(event.cpu_micros)} µs`].filter(Boolean).map((text) => h("span", {}, text)),
    ),
  ];
}

function effects(event) {
  const list = [
    ...Object.entries(event.properties ?? {}).map(([name, raw]) => [
      h("span", { class: "muted" }, name),
      ` ${value(raw)}`,
    ]),
    ...(event.downlinks ?? []).map((bytes) => [h("span", { class: "muted" }, "downlink "), h("code", {}, hex(bytes))]),
    ...(event.notifications ?? []).map((each) => [
      h("span", { class: "muted" }, "event "),
      `${each.event} ${each.value === undefined ? "" : value(each.value)}`,
    ]),
    ...(event.timers ?? []).map((each) => [
      h("span", { class: "muted" }, "timer "),
      `${each.timer}${each.at ? ` at ${when(each.at)}` : ""}`,
    ]),
    ...(event.log ?? []).map((text) => [h("span", { class: "muted" }, "log "), text]),
  ];
  return list.length > 0
    ? h(
        "ul",
        { class: "effects" },
        list.map((item) => h("li", {}, item)),
      )
    : null;
}

// Where the device is connected, as far as its serving network said.
function connectionText({ plmn, roaming, radio }) {
  const network = plmn && `${roaming ? "roaming in" : "in"} ${plmn}`;
  return [network, radio?.replaceAll("_", "-")].filter(Boolean).join(", ") || "open";
}

function connectionTitle({ node, via, deviceType }) {
  return [node, via && `by ${via}`, deviceType && `device type ${deviceType}`].filter(Boolean).join(", ") || null;
}
