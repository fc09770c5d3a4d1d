// All twins, page by page, kept up to date by the stream of events.
import * as api from "./api.js";
import { card, cell, empty, failure, h, replace } from "./dom.js";
import { age, measured, value, when, why, windowText } from "./format.js";
import { rates } from "./rates.js";

const PAGE = 25;
const REFRESH_MS = 3000; // twins that changed are read again at most this often
const REFRESH_MOST = 8; // and at most so many at once
const PROPERTIES_SHOWN = 3;

let filter = { model: "", tag: "" }; // stays while one goes to a twin and back

// The properties most of these twins have, in their models' order.
function columnsOf(twins) {
  const seen = new Map();
  for (const twin of twins) {
    for (const name of Object.keys(twin.properties ?? {})) seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  const most = Math.max(0, ...seen.values());
  return [...seen]
    .filter(([, times]) => times * 2 >= most)
    .slice(0, PROPERTIES_SHOWN)
    .map(([name]) => name);
}

export function showTwins(place, { signal, onState }) {
  document.title = "Twins – Dromio";
  const total = h("span", { class: "muted" });
  const listing = h("div", {}, empty("Loading…"));
  const state = { cursors: [""], next: undefined, rows: new Map(), dirty: new Set(), names: [], follow: null, turn: 0 };

  const model = h("input", {
    id: "model",
    value: filter.model,
    placeholder: "acme/thermo",
    spellcheck: "false",
    autocomplete: "off",
  });
  const tag = h("input", {
    id: "tag",
    value: filter.tag,
    placeholder: "site=north",
    spellcheck: "false",
    autocomplete: "off",
  });
  const id = h("input", { id: "id", placeholder: "meter-1@acme.example", spellcheck: "false", autocomplete: "off" });
  const form = h(
    "form",
    {
      class: "filter",
      onsubmit: (event) => {
        event.preventDefault();
        apply();
      },
    },
    [
      ["model", "Model", model],
      ["tag", "Tag", tag],
      ["id", "Or one by its id", id],
    ].map(([name, title, field]) => h("span", { class: "field" }, h("label", { for: name }, title), field)),
    h("button", { type: "submit" }, "Show"),
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        onclick: () => {
          model.value = tag.value = "";
          apply();
        },
      },
      "Show all",
    ),
  );

  function apply() {
    if (id.value.trim() !== "") {
      location.hash = `#/twins/${encodeURIComponent(id.value.trim())}`;
      return;
    }
    filter = { model: model.value.trim(), tag: tag.value.trim() };
    state.cursors = [""];
    load();
    listen();
  }

  // Only the answer to the newest question counts: they may come in another order.
  async function load() {
    const turn = ++state.turn;
    try {
      const page = await api.get(
        `/v1/twins${api.query({ ...filter, limit: PAGE, cursor: state.cursors.at(-1) })}`,
        signal,
      );
      if (turn !== state.turn) return;
      state.next = page.cursor;
      draw(page.twins);
    } catch (problem) {
      if (problem.name !== "AbortError" && turn === state.turn) replace(listing, failure(problem, load));
    }
  }

  function draw(twins) {
    state.rows.clear();
    state.dirty.clear();
    if (twins.length === 0) {
      const isFiltered = filter.model !== "" || filter.tag !== "";
      replace(
        listing,
        isFiltered
          ? empty("No twin fits. Change the filter, or ", h("b", {}, "show all"), ".")
          : empty(
              "No twins yet. Make one: ",
              h("code", {}, "dromio twin put meter-1@acme.example --model acme/thermo --imsi 001010000000001"),
            ),
      );
      return;
    }
    state.names = columnsOf(twins);
    const columns = [
      { title: "Twin" },
      ...state.names.map((name) => ({ title: name, class: "number" })),
      { title: "Heard" },
      { title: "Next window" },
      { title: "Waiting", class: "number" },
    ];
    const body = h(
      "tbody",
      {},
      twins.map((twin) => {
        const row = h("tr", {});
        state.rows.set(twin.id, { row, columns });
        fillRow(twin);
        return row;
      }),
    );
    replace(
      listing,
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "twins" },
          h("caption", { class: "unseen" }, "Twins"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              columns.map((column) => h("th", { scope: "col", class: column.class }, column.title)),
            ),
          ),
          body,
        ),
      ),
      h(
        "div",
        { class: "pages" },
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            disabled: state.cursors.length === 1,
            onclick: () => {
              state.cursors.pop();
              load();
            },
          },
          "Previous",
        ),
        h("span", { class: "muted" }, `Page ${state.cursors.length}`),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            disabled: !state.next,
            onclick: () => {
              state.cursors.push(state.next);
              load();
            },
          },
          "Next",
        ),
      ),
    );
  }

  function fillRow(twin) {
    const { row, columns } = state.rows.get(twin.id);
    const contact = twin.contact ?? {};
    const tags = Object.entries(twin.tags ?? {}).map(([name, text]) => h("span", { class: "tag" }, `${name}=${text}`));
    const contents = [
      [
        h("a", { href: `#/twins/${encodeURIComponent(twin.id)}` }, twin.id),
        h("div", { class: "under" }, h("span", { class: "muted" }, twin.model), tags),
      ],
      ...state.names.map((name) =>
        h(
          "span",
          {
            class: twin.properties?.[name]?.quality === "stale" ? "stale" : "",
            title: twin.properties?.[name]?.quality ?? "",
          },
          measured(twin.properties?.[name]),
        ),
      ),
      h(
        "time",
        { datetime: contact.last, "data-age": contact.last ?? "", title: contact.last ? when(contact.last) : "" },
        age(contact.last),
      ),
      contact.next
        ? [
            h(
              "time",
              { datetime: contact.next, "data-window": contact.next, title: when(contact.next) },
              windowText(contact.next),
            ),
            h("div", { class: "under muted" }, why(contact.why)),
          ]
        : h("span", { class: "muted" }, "unknown"),
      twin.mailbox > 0
        ? h("span", { class: "badge waiting" }, String(twin.mailbox))
        : h("span", { class: "muted" }, "0"),
    ];
    replace(
      row,
      contents.map((content, index) => cell(columns[index], content)),
    );
  }

  function onEvent(type, event) {
    if (type === "dromio.gap.v1") return load();
    const held = state.rows.get(event.subject);
    if (!held) return undefined;
    state.dirty.add(event.subject);
    const index = state.names.indexOf(event.data?.property);
    if (type === "dromio.property.changed.v1" && index >= 0) {
      const place = held.row.children[index + 1];
      replace(place.firstChild, measured(event.data));
      place.classList.remove("changed");
      requestAnimationFrame(() => place.classList.add("changed"));
    }
    return undefined;
  }

  async function refresh() {
    const ids = [...state.dirty].slice(0, REFRESH_MOST);
    for (const id of ids) state.dirty.delete(id);
    await Promise.all(
      document.hidden
        ? []
        : ids.map(async (id) => {
            try {
              const twin = await api.get(api.twinPath(id), signal);
              if (state.rows.has(id)) fillRow(twin);
            } catch (problem) {
              if (problem.status === 404) state.rows.get(id)?.row.classList.add("gone");
            }
          }),
    );
    for (const time of listing.querySelectorAll("time[data-age]")) time.textContent = age(time.dataset.age);
    for (const time of listing.querySelectorAll("time[data-window]"))
      time.textContent = windowText(time.dataset.window);
    if (!signal.aborted) setTimeout(refresh, REFRESH_MS);
  }

  function listen() {
    state.follow?.abort();
    state.follow = new AbortController();
    signal.addEventListener("abort", () => state.follow.abort(), { once: true });
    api.follow({ model: filter.model }, { signal: state.follow.signal, onEvent, onState });
  }

  replace(
    place,
    h("div", { class: "title" }, h("h1", {}, "Twins"), total),
    rates(signal, (status) => {
      total.textContent = `${value(status.twins)} in all, ${value(status.mailbox)} commands waiting`;
    }),
    card("Live", form, listing),
  );
  load();
  listen();
  setTimeout(refresh, REFRESH_MS);
}
