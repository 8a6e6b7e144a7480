// The live page: its feed, the session that is chosen, and what it says while the server is gone.

import { $, make, setText, plain, n, many, bytes, span, socketAddress, showTab } from "./dom.js";
import { Series, drawCharts } from "./charts.js";
import { FrameList } from "./frames.js";
import { SessionTable, NAMES, isBad, nameOf, stateOf, endOf } from "./sessions.js";

const HOLDERS = { inbox: "received", undecoded: "not decoded yet", partial: "not complete yet", codecs: "extensions",
  outbox: "waits to be sent", transport: "given to the system" };
const MAX_HELD = 40;  // reports with frames that are kept while the page is paused

let socket = null, retry = 0, timer = null, paused = false, held = [];
let hello = { payload: true, clock: 0 };
let chosen = null, about = null, row = null;  // the chosen session's id, how it came about, how it is
let scope = "all", sinceStart = false;
const series = new Map([["all", new Series()]]);
const worker = location.pathname.match(/\/(\d+)\/$/)?.[1];  // a worker shows its own sessions only
history.replaceState(null, "", location.pathname);  // a token in the address would stay in the history

const payload = make("input", { type: "checkbox", onchange: ask });
const payloadLabel = make("label", {}, payload, "Payloads");
payload.checked = true;
const frames = new FrameList($("chosen"), { name: () => `wsext-${chosen}` });
$("leave").before(payloadLabel);
const table = new SessionTable({ onView: (view) => tell({ type: "view", view }), onChoose: watch });

const announce = (text) => setText($("news"), text);
const setStatus = (state) => { $("status").dataset.state = state; setText($("status"), state); };

function tell(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

// --- the chosen session --------------------------------------------------------------------------

function ask() { if (chosen) tell({ type: "watch", session: chosen, payload: payload.checked }); }

function watch(id) {
  if (id !== chosen) {
    chosen = id;
    about = row = null;
    frames.clear();
    table.choose(id);
    setText($("chosen-title"), `Session ${id}`);
    setText($("tab-chosen"), `Session ${id}`);
    if (paused) pause();
    ask();
    showScope(scope);
  }
  showTab("chosen");
}

function leave() {
  chosen = about = row = null;
  tell({ type: "watch", session: null });
  table.choose(null);
  $("chosen").classList.add("nothing");
  setText($("chosen-title"), "No session is chosen");
  setText($("tab-chosen"), "Session");
  showScope("all");
  showTab("list");
}

function showWatching(event) {
  if (event.session === null) {
    if (chosen) announce(`The server knows session ${chosen} no more.`);
    return;
  }
  if (event.session !== chosen) return;
  about = event.description;
  frames.clear();
  frames.nothing.textContent = event.recorded ? "Nothing has travelled since a page is open."
    : "No page was open when it ended, so its last frames were not kept.";
  $("chosen").classList.remove("nothing");
  const verdicts = { agreed: "in", declined: "bad", malformed: "bad" };
  $("offers").tBodies[0].replaceChildren(...about.offers.map((item) => make("tr", { "data-verdict": item.verdict },
    make("td", { class: "mono" }, plain(item.offer)), make("td", { class: verdicts[item.verdict] ?? "dim" }, item.verdict), make("td", {}, item.reason))));
  const agreed = about.offers.filter((item) => item.verdict === "agreed").length;
  setText($("negotiated"), about.offers.length ? `${n(agreed)} of ${many(about.offers.length, "offer")} agreed` : "the client offered nothing");
  frames.add(event.frames);
  showAbout();
}

function showAbout() {
  if (!about) return;
  const way = (traffic) => `${n(traffic.messages)} · ${bytes(traffic.app)} → ${bytes(traffic.wire)}`;
  const facts = [["Path", plain(about.path) + (row && nameOf(row) ? ` (${nameOf(row)})` : ""), "all"],
    ["Agreed", about.header || "no extension", "all"], ["Way out", about.stages.join(" → "), "all"]];
  if (row) {
    const parts = Object.entries(row.held).map(([name, count]) => `${bytes(count)} ${HOLDERS[name]}`);
    facts.push(["Peer", [row.remote, row.subprotocol, about.agent].filter(Boolean).map(plain).join(" · ")],
      ["State", row.end ? `${endOf(row.end)}` : stateOf(row) + (row.resumptions ? `, resumed ${n(row.resumptions)}×` : "")],
      ["In", way(row.incoming), "", "messages, their bytes, and those on the wire"],
      ["Out", way(row.outgoing), "", "messages, their bytes, and those on the wire"],
      ["Latency", row.latency === null ? "–" : row.latency < 1 ? "less than 1 ms" : `${n(row.latency)} ms`],
      ["Holds", row.end ? "nothing any more" : parts.join(", ") || "nothing"]);
  }
  if (about.origin) facts.push(["Origin", plain(about.origin), "all"]);
  const key = JSON.stringify(facts);
  if ($("about").dataset.key === key) return;
  $("about").dataset.key = key;
  $("about").replaceChildren(...facts.map(([name, value, kind, title = value]) => make("div", { class: kind },
    make("dt", {}, name), make("dd", { title }, value))));
}

function showRow(now) {
  if (now.end && !row?.end) announce(`Session ${now.id} has ended: ${endOf(now.end)}`);
  row = now;
  setText($("chosen-state"), now.end ? "ended" : now.connected ? "" : "no connection");
  showAbout();
}

// --- charts --------------------------------------------------------------------------------------

function showScope(value) {
  scope = value === "one" && chosen ? "one" : "all";
  $("scope-all").setAttribute("aria-pressed", scope === "all");
  $("scope-one").setAttribute("aria-pressed", scope === "one");
  $("scope-one").disabled = !chosen;
  setText($("scope-one"), chosen ? `Session ${chosen}` : "The chosen one");
  draw();
}

function showRange(whole) {
  sinceStart = whole;
  $("range-lately").setAttribute("aria-pressed", !whole);
  $("range-whole").setAttribute("aria-pressed", whole);
  draw();
}

const draw = () => drawCharts(series.get(scope === "all" ? "all" : chosen) ?? new Series(), sinceStart, hello.clock);

function sample(id, time, { incoming, outgoing }) {
  if (!series.has(id)) series.set(id, new Series());
  series.get(id).add({ time, incoming, outgoing });
}

function showCodes(codes) {
  const found = Object.entries(codes), most = Math.max(...Object.values(codes)), key = JSON.stringify(found);
  $("no-codes").hidden = found.length > 0;
  if ($("codes").dataset.key === key) return;
  $("codes").dataset.key = key;
  $("codes").replaceChildren(...found.sort(([, a], [, b]) => b - a).flatMap(([code, count]) => {
    const meter = make("i", { class: isBad(code) && "bad" });
    meter.style.width = `${100 * count / most}%`;
    return [make("span", {}, code, NAMES[code] && ` ${NAMES[code]}`), make("span", { class: "meter" }, meter), make("span", { class: "num" }, n(count))];
  }));
}

// --- the feed ------------------------------------------------------------------------------------

function showHello(event) {
  hello = event;
  payloadLabel.hidden = !event.payload;
  table.offerExtensions(event.extensions);
  series.clear();
  series.set("all", new Series());
  for (const [time, incoming, outgoing] of event.history) sample("all", time, { incoming, outgoing });
  tell({ type: "view", view: table.view });
  ask();
}

function showOverview(event) {
  const facts = [worker && `worker ${worker}`, many(event.sessions, "session"), event.detached && `${n(event.detached)} without a connection`,
    event.resumptions && many(event.resumptions, "resumption"), `${n(event.incoming.messages)} messages in, ${n(event.outgoing.messages)} out`,
    `up ${span(event.uptime)}`];
  setText($("facts"), facts.filter(Boolean).join(" · "));
  sample("all", event.counted, event);
  for (const each of event.rows) {
    if (!each.end) sample(each.id, event.counted, each);
    if (each.id === chosen) showRow(each);
  }
  const here = new Set(event.rows.map((each) => each.id));
  for (const id of series.keys()) if (id !== "all" && id !== chosen && !here.has(id)) series.delete(id);
  table.show(event);
  showCodes(event.codes);
  draw();
}

function showFrames(event) {
  if (event.session !== chosen) return;
  if (!paused) { frames.add(event.frames, event.left_out); return; }
  held.push(event);
  if (held.length > MAX_HELD) {
    const gone = held.shift();
    held[0].left_out += gone.left_out + new Set(gone.frames.map((frame) => frame.number)).size;
  }
}

const shows = { hello: showHello, overview: showOverview, watching: showWatching, frames: showFrames };

function connect() {
  clearTimeout(timer);
  if (socket && socket.readyState < WebSocket.CLOSING) return;
  socket = new WebSocket(socketAddress("live"));
  socket.onopen = () => { retry = 0; showGone(null); setStatus(paused ? "paused" : "live"); };
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (!paused || event.type !== "overview") shows[event.type]?.(event);
  };
  socket.onclose = lost;
}

async function lost() {
  setStatus("disconnected");
  const wait = Math.min(10, 2 ** retry++) * (0.5 + Math.random() / 2);
  timer = setTimeout(connect, wait * 1000);
  showGone("The server is gone. This is what was seen last; the page goes on by itself when it is back.");
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (answer.status === 403) {
      clearTimeout(timer);
      showGone("Another server answers here now. Open the address that it printed, or log in.", true);
    }
  } catch { /* it is not back yet */ }
}

/** Greys the page out and says why, or shows it as it was. */
function showGone(why, isAnother = false) {
  document.body.classList.toggle("gone", why !== null);
  $("gone").hidden = why === null;
  if (why === null) return;
  setText($("why"), why);
  $("again").hidden = isAnother;
  $("login").hidden = !isAnother;
}

// --- controls ------------------------------------------------------------------------------------

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  setText($("pause"), paused ? "Go on" : "Pause");
  for (const event of held) if (event.session === chosen) frames.add(event.frames, event.left_out);
  held = [];
  if (socket.readyState === WebSocket.OPEN) setStatus(paused ? "paused" : "live");
}

$("pause").onclick = pause;
$("again").onclick = () => { retry = 0; connect(); };
$("login").onclick = () => location.reload();
$("leave").onclick = leave;
$("scope-all").onclick = () => showScope("all");
$("scope-one").onclick = () => showScope("one");
$("range-lately").onclick = () => showRange(false);
$("range-whole").onclick = () => showRange(true);
document.onkeydown = (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing) { event.preventDefault(); showTab("list"); $("view-text").focus(); }
};
document.onvisibilitychange = () => {
  if (!document.hidden && socket.readyState === WebSocket.CLOSED && $("login").hidden) connect();
};
showTab("list");
draw();
connect();
