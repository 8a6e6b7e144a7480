// The table of sessions: filters and order, which the server applies, and the choice of one.

import { $, make, setText, plain, middle, short, n, many, percent, span, bytes } from "./dom.js";

export const NAMES = { 1000: "normal", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no code",
  1006: "no close frame", 1007: "invalid data", 1008: "policy violation", 1009: "too big", 1010: "extension missing",
  1011: "internal error", 1012: "restart", 1013: "try again later", 1014: "bad gateway" };

// Codes that tell of trouble: not the normal ends, and not an application's own.
export const isBad = (code) => code < 3000 && ![1000, 1001, 1005].includes(Number(code));

const shareOf = (row) => {
  const app = row.incoming.app + row.outgoing.app;
  return app ? (row.incoming.wire + row.outgoing.wire) / app : null;
};
const totalOf = (held) => Object.values(held).reduce((total, count) => total + count, 0);
export const nameOf = (row) => row.name === row.id ? "" : plain(row.name);
export const stateOf = (row) => row.end ? `ended ${row.end.code}` : row.connected ? "open" : "no connection";

/** The columns: what each is called, what the order by it is called, and what it shows of a session. */
const COLUMNS = [
  ["Id", "", "", (row) => row.id],
  ["Path", "path", "", (row) => middle(plain(row.path), 26) + (nameOf(row) && ` (${middle(nameOf(row), 16)})`)],
  ["Peer", "peer", "peer", (row) => plain(row.remote)],
  ["Extensions", "extensions", "", (row) => middle(row.extensions.map(short).join(", ") || "none", 24)],
  ["State", "state", "", (row) => stateOf(row) + (row.resumptions ? ` · resumed ${n(row.resumptions)}×` : "")],
  ["In", "in", "num", (row) => n(row.incoming.messages)],
  ["Out", "out", "num wide", (row) => n(row.outgoing.messages)],
  ["Wire", "wire", "num wide", (row) => percent(shareOf(row))],
  ["Age", "age", "num", (row) => span(row.age)],
];

export class SessionTable {
  /**
   * onView: called with what the table is to show.
   * onChoose: called with the id of a session that was chosen.
   */
  constructor({ onView, onChoose }) {
    this.rows = new Map();
    this.view = { text: "", state: "", extension: "", sort: "age", descending: false };
    this.chosen = null;
    this.onView = onView;
    this.onChoose = onChoose;
    this.body = $("sessions").tBodies[0];
    this.heads = COLUMNS.map(([title, sort, kind]) => {
      const button = make("button", { type: "button", onclick: () => this.sort(sort) }, title);
      return make("th", { scope: "col", class: kind, "data-sort": sort }, sort ? button : title);
    });
    $("sessions").tHead.rows[0].replaceChildren(...this.heads);
    for (const [name, event] of [["text", "oninput"], ["state", "onchange"], ["extension", "onchange"]]) {
      $("view-" + name)[event] = () => this.change({ [name]: $("view-" + name).value });
    }
    this.body.onclick = (event) => { const row = event.target.closest("tr"); if (row?.dataset.id) this.onChoose(row.dataset.id); };
    this.body.onkeydown = (event) => {
      const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      const next = way && event.target.closest("tr")?.[way]?.querySelector("button");
      if (next) { event.preventDefault(); next.focus(); }
    };
    this.markOrder();
  }

  sort(sort) {
    // Numbers are wanted from the greatest down first, the age from the youngest up, names from A to Z.
    const first = ["in", "out", "wire"].includes(sort);
    this.change({ sort, descending: this.view.sort === sort ? !this.view.descending : first });
    this.markOrder();
  }

  markOrder() {
    for (const head of this.heads) {
      const order = this.view.descending ? "descending" : "ascending";
      if (head.dataset.sort === this.view.sort && head.firstElementChild) head.setAttribute("aria-sort", order);
      else head.removeAttribute("aria-sort");
    }
  }

  change(part) {
    Object.assign(this.view, part);
    this.onView(this.view);
  }

  offerExtensions(names) {
    $("view-extension").replaceChildren(make("option", { value: "" }, "any extension"), ...names.map((name) => make("option", { value: name }, short(name))));
    $("view-extension").value = this.view.extension;
  }

  show({ rows, matching, sessions }) {
    const here = new Set(rows.map((row) => row.id)), focus = document.activeElement;
    for (const [id, element] of this.rows) if (!here.has(id)) { element.remove(); this.rows.delete(id); }
    rows.forEach((row, at) => {
      const element = this.rows.get(row.id) ?? this.newRow(row.id);
      this.fill(element, row);
      if (this.body.rows[at] !== element) this.body.insertBefore(element, this.body.rows[at] ?? null);
    });
    if (focus !== document.activeElement && this.body.contains(focus)) focus.focus({ preventScroll: true });
    const now = rows.filter((row) => !row.end).length, ended = rows.length - now;
    const filtered = this.view.text || this.view.state || this.view.extension;
    setText($("shown"), (filtered ? `${n(matching)} of ${many(sessions, "session")}` : `${n(sessions)} now`)
      + (matching > now ? `, ${n(now)} shown` : "") + (ended ? `, ${n(ended)} ended` : ""));
    setText($("no-sessions"), sessions || filtered ? "No session is like that." : "No session is open.");
    $("no-sessions").hidden = rows.length > 0;
  }

  newRow(id) {
    const pick = make("button", { type: "button", "aria-pressed": "false", "aria-label": `Watch session ${id}` }, id);
    const cells = COLUMNS.slice(1).map(([, , kind]) => make("td", { class: kind }));
    const element = make("tr", { "data-id": id }, make("td", {}, pick), ...cells);
    this.rows.set(id, element);
    this.markRow(id, element);
    return element;
  }

  fill(element, row) {
    COLUMNS.forEach(([, , , text], at) => { if (at) setText(element.cells[at], text(row)); });
    const { end } = row;
    Object.assign(element.dataset, { state: end ? "ended" : row.connected ? "open" : "detached", path: row.path });
    if (end) element.dataset.code = end.code;
    element.cells[1].title = plain(row.path) + (nameOf(row) && ` (${nameOf(row)})`);
    element.cells[3].title = row.extensions.join(", ");
    element.cells[4].title = end ? endOf(end) : row.connected ? `holds ${bytes(totalOf(row.held))}` : "waits for another connection";
    element.cells[4].className = end && isBad(end.code) ? "bad" : "";
  }

  choose(id) {
    this.chosen = id;
    for (const [each, element] of this.rows) this.markRow(each, element);
    this.rows.get(id)?.scrollIntoView({ block: "nearest" });
  }

  markRow(id, element) {
    element.setAttribute("aria-current", id === this.chosen);
    element.querySelector("button").setAttribute("aria-pressed", id === this.chosen);
  }
}

/** How a session ended, in words. */
export function endOf(end) {
  const who = end.by === "nobody" ? "by nobody's Close frame" : `by the ${end.by}`;
  const reason = end.reason ? ` “${plain(end.reason)}”` : NAMES[end.code] ? ` ${NAMES[end.code]}` : "";
  return `${end.code}${reason}, ${who}${end.error ? `, after ${end.error}` : ""}`;
}
