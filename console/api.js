// The host's HTTP API: requests with the session's token, and its stream of events.

const KEY = "dromio.session";
const LINE_MAX = 256 * 1024; // characters of one line of the stream
const SILENCE_MS = 45000; // the host sends a comment every 15 s
const BACKOFF_MS = [500, 1000, 2000, 5000, 10000];
const SET_ASIDE = new Set(["stopped", "quarantined", "penalty"]); // types of problems

let onLoggedOut = () => {};
export const whenLoggedOut = (callback) => {
  onLoggedOut = callback;
};

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `status ${status}`);
    Object.assign(this, {
      status,
      title: body.title,
      detail: body.detail,
      reasons: body.reasons,
      position: body.position,
    });
    if (status === 403) this.advice = "This login may not do that. Ask for one whose scopes allow it.";
    if (status === 404) this.advice = "It may have been removed, or belong to another domain.";
    if (SET_ASIDE.has(body.type)) this.advice = "Nothing was done: what is asked of may not run now. Trying again does not help until that ends.";
    else if (status === 503 || status === 429) this.advice = "The host is busy; nothing was done. Try again in a moment.";
    if (status === 0) this.advice = "Check that dromiod runs and that this page comes from it.";
  }
}

export const hasSession = () => sessionStorage.getItem(KEY) !== null;
export function forgetSession() {
  sessionStorage.removeItem(KEY);
}

async function problemOf(response) {
  try {
    return new Problem(response.status, await response.json());
  } catch {
    return new Problem(response.status, { title: response.statusText || `Status ${response.status}` });
  }
}

async function send(path, options, token) {
  const headers = { ...options.headers, Authorization: `Bearer ${token ?? sessionStorage.getItem(KEY) ?? ""}` };
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "The host cannot be reached" });
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && token === undefined) {
    forgetSession();
    onLoggedOut("Your session has ended: it was too old, or the host was started again since. Sign in again.");
  }
  throw problem;
}

export async function get(path, signal) {
  return (await send(path, { signal })).json();
}

export async function submit(method, path, body) {
  const response = await send(path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
  });
  return response.status === 204 ? null : response.json();
}

// A one-time token becomes a session; a lasting token is tried and kept as it is.
export async function login(token, isOneTime) {
  if (!/^[!-~]{1,1024}$/.test(token))
    throw new Problem(401, { title: "That is not a token", detail: "it has spaces or is empty" });
  if (isOneTime) {
    const session = await (await send("/v1/sessions", { method: "POST" }, token)).json();
    sessionStorage.setItem(KEY, session.token);
    return;
  }
  try {
    await send("/v1/twins?limit=1", {}, token);
    sessionStorage.setItem(KEY, token);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    await login(token, true); // perhaps it was a one-time token, pasted
  }
}

export const twinPath = (id) => `/v1/twins/${encodeURIComponent(id).replace(/%40/g, "@")}`;

export function query(parameters) {
  const text = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== undefined && value !== ""),
  ).toString();
  return text ? `?${text}` : "";
}

// Reads server-sent events out of pieces of text.
export class EventReader {
  #rest = "";
  #id = "";
  #type = "";
  #data = [];
  #size = 0;
  #isDropping = false;
  lastId = "";

  feed(text, onEvent) {
    this.#rest += text;
    for (let end; (end = this.#rest.search(/\r\n|\n|\r(?!$)/)) >= 0;) {
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
      this.#line(line, onEvent);
    }
    if (this.#rest.length > LINE_MAX) {
      this.#rest = "";
      this.#isDropping = true;
    }
  }

  #line(line, onEvent) {
    if (line === "") {
      this.lastId = this.#id;
      if (this.#data.length > 0 && !this.#isDropping)
        onEvent({ type: this.#type || "message", data: this.#data.join("\n") });
      this.#data = [];
      this.#type = "";
      this.#size = 0;
      this.#isDropping = false;
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id") this.#id = value;
    this.#size += value.length;
    if (this.#size > LINE_MAX) this.#isDropping = true;
  }
}

// Follows /v1/events until the signal aborts; comes back by itself where it stopped.
// EventSource cannot send a token, so this reads the stream with fetch.
export async function follow(parameters, { signal, onEvent, onState }) {
  let lastId = "";
  for (let tries = 0; !signal.aborted;) {
    const reader = new EventReader();
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop, { once: true });
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE_MS);
    };
    try {
      heard();
      const response = await send(`/v1/events${query(parameters)}`, {
        headers: { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) },
        signal: attempt.signal,
      });
      const body = response.body.getReader();
      const decoder = new TextDecoder();
      onState("live");
      if (!lastId) onEvent("dromio.gap.v1", {}); // what happened until now was not seen: read it
      tries = 0;
      for (;;) {
        const { value, done } = await body.read();
        if (done) break;
        heard();
        reader.feed(decoder.decode(value, { stream: true }), (event) => pass(event, onEvent));
        lastId = reader.lastId || lastId;
      }
    } catch (error) {
      if (error.status >= 400 && error.status < 500 && error.status !== 429) {
        onState("off");
        return;
      }
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
      attempt.abort();
    }
    if (signal.aborted) return;
    onState("lost");
    await pause(BACKOFF_MS[Math.min(tries++, BACKOFF_MS.length - 1)], signal);
  }
}

function pass(event, onEvent) {
  try {
    onEvent(event.type, JSON.parse(event.data));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
