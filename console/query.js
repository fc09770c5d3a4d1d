// SQL over all twins.
import * as api from "./api.js";
import { card, empty, failure, h, replace, table } from "./dom.js";
import { value } from "./format.js";

const EXAMPLES = [
  "select count(*), avg(temperature), min(temperature), max(temperature) from thermo",
  "select id, temperature, last_contact from thermo order by temperature desc limit 20",
  "select tag('site') as site, count(*) as twins, avg(temperature) from thermo group by 1",
  "select id, battery from thermo where battery_low",
];
const ROWS_SHOWN = 1000;
let last = EXAMPLES[0]; // stays while one looks at other pages

function place(sql, position) {
  if (!Number.isInteger(position) || position < 0 || position > sql.length) return null;
  const from = Math.max(sql.lastIndexOf("\n", position - 1) + 1, position - 40);
  const end = sql.indexOf("\n", position);
  return h(
    "pre",
    { class: "place" },
    `${sql.slice(from, end < 0 ? undefined : end).slice(0, 80)}\n${" ".repeat(position - from)}^`,
  );
}

export function showQuery(main, { signal }) {
  document.title = "Query – Dromio";
  const result = h(
    "div",
    { "aria-live": "polite" },
    empty(
      "Every model is a table: its properties, id, time, revision, last_contact, and tags. Run a query to see rows here.",
    ),
  );
  const sql = h("textarea", {
    id: "sql",
    rows: 4,
    spellcheck: "false",
    autocomplete: "off",
    onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run(event);
    },
  });
  sql.value = last;

  async function run(event) {
    event.preventDefault();
    last = sql.value;
    try {
      const answer = await api.submit("POST", "/v1/query", { sql: last });
      if (!signal.aborted) show(answer);
    } catch (problem) {
      replace(result, failure(problem), place(last, problem.position));
    }
  }

  function show({ columns, rows, micros }) {
    const isNumber = columns.map(
      (_, index) => rows.length > 0 && rows.every((row) => row[index] === null || typeof row[index] === "number"),
    );
    const cells = rows
      .slice(0, ROWS_SHOWN)
      .map((row) =>
        row.map((each, index) =>
          columns[index] === "id" && typeof each === "string"
            ? h("a", { href: `#/twins/${encodeURIComponent(each)}` }, each)
            : each === null
              ? h("span", { class: "muted" }, "null")
              : value(each),
        ),
      );
    const more = rows.length > ROWS_SHOWN ? `, the first ${ROWS_SHOWN} shown` : "";
    replace(
      result,
      h(
        "p",
        { class: "muted" },
        `${rows.length} ${rows.length === 1 ? "row" : "rows"}${more}, ${value(micros / 1000)} ms`,
      ),
      rows.length > 0
        ? table(
            "Result",
            columns.map((title, index) => ({ title, class: isNumber[index] ? "number" : undefined })),
            cells,
          )
        : empty("No row fits."),
    );
  }

  replace(
    main,
    h("div", { class: "title" }, h("h1", {}, "Query")),
    card(
      "SQL",
      h(
        "form",
        { class: "sql", onsubmit: run },
        h("label", { for: "sql", class: "unseen" }, "SQL"),
        sql,
        h(
          "div",
          { class: "pages" },
          h("button", { type: "submit" }, "Run"),
          h("span", { class: "muted" }, "Ctrl+Enter"),
        ),
      ),
      h(
        "details",
        {},
        h("summary", {}, "Examples"),
        h(
          "ul",
          { class: "examples" },
          EXAMPLES.map((example) =>
            h(
              "li",
              {},
              h(
                "button",
                {
                  type: "button",
                  class: "example",
                  onclick: () => {
                    sql.value = example;
                    sql.focus();
                  },
                },
                example,
              ),
            ),
          ),
        ),
      ),
    ),
    card("Result", result),
  );
}
