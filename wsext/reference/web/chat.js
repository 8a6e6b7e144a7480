// The reference page: one session to talk on, and a second one that tells of the frames of the first.

import { $, make, setText, plain, n, many, socketAddress, showTab } from "./dom.js";
import { FrameList } from "./frames.js";

const MAX_ENTRIES = 200, MAX_LENGTH = 300;
const MODES = {
  chat: { title: "Chat", about: "Open this page in a second window, and talk.", ask: "Say something" },
  echo: { title: "Echo", about: "The server sends back what you send.", ask: "What shall come back?" },
  greet: { title: "Greet", about: "The server asks for your name. “bye” ends it.", ask: "Your name, or bye" },
};
const SAMPLE = "to be or not to be that is the question ".repeat(60).slice(0, 2048);

let mode = MODES[location.hash.slice(1)] ? location.hash.slice(1) : "chat";
let talk = null, feed = null, retry = 0, timer = null, wanted = true;
let myName = "";  // as the server knows it

const frames = new FrameList($("travel"), { ways: { in: "→ server", out: "← server" }, name: () => `wsext-${mode}` });

function setStatus(state) {
  $("status").dataset.state = state;
  setText($("status"), state);
  const open = state === "connected";
  $("send").disabled = $("sample").disabled = $("message").disabled = !open;
  setText($("toggle"), wanted ? "Disconnect" : "Connect");
}

// --- the talk ------------------------------------------------------------------------------------

function log(text, { who = "", mine = false, note = false } = {}) {
  const box = $("log"), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const shown = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)} … (${n(text.length)} characters)` : text;
  box.append(make("div", { class: `entry ${note ? "note" : mine ? "mine" : ""}` }, who && make("bdi", { class: "who" }, plain(who)), make("bdi", {}, shown)));
  while (box.children.length > MAX_ENTRIES) box.firstChild.remove();
  if (atEnd || mine) box.scrollTop = box.scrollHeight;
}

function hear(data) {
  if (typeof data !== "string") { log(many(data.size, "byte"), { who: "server" }); return; }
  const said = mode === "chat" && /^\[([^[\]]+)\]: ([^]*)$/.exec(data);
  if (said) log(said[2], { who: said[1], mine: said[1] === myName });
  else if (mode === "chat") log(data, { note: true });
  else log(data, { who: "server" });
}

function say(text) {
  if (!text || talk?.readyState !== WebSocket.OPEN) return false;
  talk.send(text);
  if (mode !== "chat") log(text, { who: "you", mine: true });  // a chat tells everybody, also who said it
  return true;
}

// --- what travels --------------------------------------------------------------------------------

/** A button with the name of an extension, and what it means while one points at it. */
function explained(item, at) {
  const about = make("span", { class: "explanation", role: "tooltip", id: `explanation-${at}` },
    make("p", {}, item.about || "It has no description."),
    item.bits && make("p", { class: "dim" }, `It marks frames with ${item.bits}.`),
    item.parameters.length > 0 && make("dl", {}, ...item.parameters.flatMap(({ name, value, about }) =>
      [make("dt", { class: "mono" }, value ? `${name}=${value}` : name), make("dd", {}, about)])));
  return make("span", { class: "explained" }, make("button", { type: "button", class: "mono", "aria-describedby": about.id }, item.params), about);
}

function showSession(event) {
  myName = event.name;
  $("agreed").replaceChildren(make("span", { class: "dim" }, "In use:"),
    ...(event.extensions.length ? event.extensions.map(explained) : ["no extension"]));
  const agreed = event.negotiation.filter((offer) => offer.verdict === "agreed").length;
  setText($("negotiated"), event.negotiation.length ? `${n(agreed)} of ${many(event.negotiation.length, "offer")} agreed` : "the browser offered nothing");
  $("offers").tBodies[0].replaceChildren(...event.negotiation.map((offer) => make("tr", { "data-verdict": offer.verdict },
    make("td", {}, offer.name), make("td", { class: "mono" }, offer.params), make("td", {}, offer.verdict), make("td", {}, offer.reason))));
}

function showTotals(event) {
  for (const way of ["in", "out"]) {
    const { wire, app, messages } = event[way];
    if (!messages) continue;
    const share = app ? wire / app : 1;
    $("bar-" + way).style.width = Math.min(100, share * 100) + "%";
    setText($("ratio-" + way), `${n(wire)} of ${n(app)} bytes (${n(share * 100)} %), ${many(messages, "message")}`);
  }
}

function forget() {
  frames.clear();
  for (const way of ["in", "out"]) {
    $("bar-" + way).style.width = 0;
    setText($("ratio-" + way), "nothing yet");
  }
}

const shows = { session: showSession, frame: (event) => frames.add([event]), totals: showTotals };

// --- the connections -----------------------------------------------------------------------------

function connect() {
  clearTimeout(timer);
  wanted = true;
  setStatus("connecting");
  forget();
  const token = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const watcher = feed = new WebSocket(socketAddress("frames/" + token));
  watcher.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (watcher === feed) shows[event.type]?.(event);
  };
  watcher.onopen = () => { if (watcher === feed) join(token); };
  watcher.onclose = () => { if (watcher === feed && !talk) lost(); };
}

function join(token) {
  const address = socketAddress(mode);
  address.searchParams.set("watch", token);
  if (mode === "chat" && $("name").value) address.searchParams.set("name", $("name").value);
  const session = talk = new WebSocket(address);
  session.onopen = () => {
    retry = 0;
    setText($("browser-extensions"), session.extensions || "no extension");
    setStatus("connected");
    if (document.activeElement === document.body && !matchMedia("(pointer: coarse)").matches) $("message").focus();
  };
  session.onmessage = ({ data }) => hear(data);
  session.onclose = ({ code, reason }) => {
    if (session !== talk) return;
    talk = null;
    log(`closed: ${code}${reason ? " " + reason : ""}`, { note: true });
    lost();
  };
}

function lost() {
  drop();
  setStatus("disconnected");
  if (!wanted) return;
  const wait = Math.min(30, 2 ** retry++) * (0.5 + Math.random() / 2);
  timer = setTimeout(connect, wait * 1000);
}

/** Leaves both sessions, and whatever they still say. */
function drop() {
  const old = [talk, feed];
  talk = feed = null;
  for (const socket of old) socket?.close(1000);
}

function setMode(next) {
  mode = next;
  for (const button of $("modes").children) button.setAttribute("aria-pressed", button.dataset.mode === mode);
  setText($("talk-title"), MODES[mode].title);
  $("message").placeholder = MODES[mode].ask;
  $("named").hidden = mode !== "chat";
  history.replaceState(null, "", "#" + mode);
  $("log").replaceChildren();
  log(MODES[mode].about, { note: true });
}

/** The name that was chosen before, or the one that is chosen now. A browser may forbid to keep it. */
function remembered(name) {
  try {
    if (name !== undefined) localStorage.setItem("wsext-name", name);
    return localStorage.getItem("wsext-name") ?? "";
  } catch { return name ?? ""; }
}

function reconnect() {
  drop();
  connect();
}

$("modes").onclick = ({ target }) => {
  if (!target.dataset.mode || target.dataset.mode === mode) return;
  setMode(target.dataset.mode);
  reconnect();
};
$("name").onchange = () => {
  remembered($("name").value);
  if (wanted) reconnect();
};
$("toggle").onclick = () => {
  if (!wanted) { connect(); return; }
  wanted = false;
  clearTimeout(timer);
  if (talk) talk.close(1000, "left the page's talk");
  else lost();
};
$("form").onsubmit = (event) => {
  event.preventDefault();
  if (say($("message").value)) $("message").value = "";
};
$("sample").onclick = () => say(SAMPLE);

// An explanation goes away with Escape, and comes back when one points at it again.
document.onkeydown = ({ key }) => {
  if (key === "Escape") for (const each of document.querySelectorAll(".explained")) each.classList.add("closed");
};
for (const event of ["pointerover", "focusin", "click"]) {
  document.addEventListener(event, ({ target }) => target.closest?.(".explained")?.classList.remove("closed"));
}

fetch("web/about.json").then((answer) => answer.json()).then(({ inspector }) => {
  $("inspector").hidden = !inspector;
  $("no-inspector").hidden = !!inspector;
  if (inspector) $("inspector").href = inspector;
}).catch(() => { /* then there is no link */ });
$("name").value = remembered();
showTab("talk");
setMode(mode);
connect();
