// The console: who is looking, and which page.
import * as api from "./api.js";
import { append, h, notice, replace } from "./dom.js";
import { showHost } from "./host.js";
import { showQuery } from "./query.js";
import { watchStops } from "./stops.js";
import { showTwin } from "./twin.js";
import { showTwins } from "./twins.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const leave = document.getElementById("leave");
const stream = document.getElementById("stream");
const askStops = watchStops(document.getElementById("stops"));
let page = new AbortController(); // ends with the page shown

function showLogin(message = "") {
  page.abort();
  document.title = "Sign in – Dromio";
  nav.hidden = leave.hidden = stream.hidden = true;
  askStops();
  const field = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const trouble = h("p", { class: "trouble", role: "alert" }, message);
  const button = h("button", { type: "submit" }, "Sign in");
  async function enter(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      await api.login(field.value.trim(), false);
      route();
    } catch (problem) {
      trouble.textContent =
        problem.status === 401 ? "The host does not know this token, or it was used up." : problem.message;
      button.disabled = false;
      field.focus();
    }
  }
  replace(
    main,
    h(
      "div",
      { class: "login" },
      h("h1", {}, "Sign in"),
      h(
        "form",
        { onsubmit: enter, class: "card" },
        h("label", { for: "token" }, "Token"),
        field,
        trouble,
        button,
        h(
          "p",
          { class: "hint" },
          "An application's token, or the host's own in ",
          h("code", {}, "DATA/admin.token"),
          ". Easier: ",
          h("code", {}, "dromio login"),
          " prints an address that signs you in.",
        ),
      ),
    ),
  );
  field.focus();
}

const pages = [
  { pattern: /^#\/twins\/([^/]+)$/, view: "twins", show: (place, context, id) => showTwin(place, context, id) },
  { pattern: /^#\/query$/, view: "query", show: showQuery },
  { pattern: /^#\/host$/, view: "host", show: showHost },
  { pattern: /^(#\/?)?$/, view: "twins", show: showTwins },
];

function onState(state) {
  const texts = { live: "Live", lost: "Connection lost, trying again", off: "No live events" };
  stream.hidden = false;
  stream.className = `stream ${state}`;
  stream.textContent = texts[state];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function route() {
  if (!api.hasSession()) return showLogin();
  page.abort();
  page = new AbortController();
  nav.hidden = leave.hidden = false;
  askStops();
  stream.hidden = true;
  const found = pages.find((each) => each.pattern.test(location.hash));
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.view === found?.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren();
  if (!found) {
    document.title = "Not found – Dromio";
    return append(main, [h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "To the twins"))]);
  }
  window.scrollTo(0, 0);
  return found.show(
    main,
    { signal: page.signal, onState },
    ...location.hash
      .match(found.pattern)
      .slice(1)
      .map((part) => decode(part ?? "")),
  );
}

// The one-time token comes in the fragment, which no server sees; it is taken out of the address at once.
async function start() {
  const given = location.hash.match(/^#token=(.+)$/);
  if (!given) return route();
  history.replaceState(null, "", location.pathname);
  replace(main, h("p", { class: "empty" }, "Signing in…"));
  try {
    await api.login(decode(given[1]), true);
    notice("Signed in.");
    return route();
  } catch (problem) {
    api.forgetSession();
    return showLogin(
      problem.status === 401
        ? "This login was used already, is too old, or the host was started again since. dromio login makes a new one."
        : problem.message,
    );
  }
}

api.whenLoggedOut(showLogin);
leave.addEventListener("click", () => {
  api.forgetSession();
  history.replaceState(null, "", location.pathname);
  showLogin("Signed out.");
});
window.addEventListener("hashchange", () => (location.hash.startsWith("#token=") ? start() : route()));
start();
