// The list of frames: one row for each, with its stages; filters, copies and exports them.

import { make, plain, short, n, many, bytes, clock, copy, download } from "./dom.js";

const MAX_ROWS = 200;
const OPCODES = ["text", "binary", "continuation", "close", "ping", "pong"];

/** The stages of one frame, each with its frames. A stage that changed nothing joins the one before. */
function steps(frames) {
  const found = [], byStage = new Map();
  for (const frame of frames) {
    if (!byStage.has(frame.stage)) byStage.set(frame.stage, []);
    byStage.get(frame.stage).push(frame);
  }
  for (const [stage, list] of byStage) {
    if (found.length && list.every((frame) => frame.unchanged)) found.at(-1).stages.push(stage);
    else found.push({ stages: [stage], frames: list });
  }
  return found;
}

function chip({ stages, frames }) {
  const size = frames.reduce((sum, frame) => sum + frame.size, 0);
  const bits = [...new Set(frames.flatMap((frame) => frame.rsv ? frame.rsv.split("+") : []))].join("+");
  const names = stages.map(short);
  const name = names.length > 2 ? `${names[0]} … ${names.at(-1)}` : names.join(" = ");
  const title = stages.join(", then ") + (stages.length > 1 ? ", unchanged" : "");
  return make("span", { class: "step", title }, make("b", {}, name), ` ${frames.length > 1 ? frames.length + " frames, " : ""}${bytes(size)}`,
    bits && " ", bits && make("span", { class: "bits" }, bits));
}

function table(frames) {
  const names = ["Stage", "Frame", "Bits", "Bytes", "Payload"];
  const rows = steps(frames).flatMap((step) => step.frames.map((frame) => make("tr", { "data-stage": frame.stage },
    make("td", {}, step.stages.join(" = ")), make("td", {}, frame.opcode),
    make("td", {}, [frame.fin ? "FIN" : "", frame.rsv].filter(Boolean).join(" ")),
    make("td", { class: "num" }, n(frame.size)), make("td", { class: "mono" }, plain(frame.preview)))));
  return make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", class: name === "Bytes" && "num" }, name)))),
    make("tbody", {}, ...rows));
}

/** One line of JSON for each stage, as `wsext inspect --json` prints it. */
const asLines = (frames) => frames.map(({ number, unchanged, ...frame }) => JSON.stringify({ event: "frame", ...frame }) + "\n").join("");

export class FrameList {
  /**
   * Builds the filters and the list into a panel.
   *
   * ways: what the two directions are called.
   * name: what an export is called.
   */
  constructor(panel, { ways = { in: "→ in", out: "← out" }, name = () => "wsext" } = {}) {
    this.ways = ways;
    this.name = name;
    this.journeys = new Map();  // by number: the frame's row, and itself at all stages
    this.opcode = make("select", { "aria-label": "Kind of frames", onchange: () => this.filter() },
      make("option", { value: "" }, "all frames"), ...OPCODES.map((name) => make("option", { value: name }, name)), make("option", { value: "other" }, "others"));
    this.direction = make("select", { "aria-label": "Way of frames", onchange: () => this.filter() },
      make("option", { value: "" }, "both ways"), ...Object.entries(ways).map(([way, text]) => make("option", { value: way }, text)));
    this.text = make("input", { type: "search", class: "grow", placeholder: "Filter payloads", "aria-label": "Text in payloads", oninput: () => this.filter() });
    this.shown = make("span", { class: "dim num", role: "status" });
    this.buttons = make("span", { class: "bar" },
      make("button", { type: "button", title: "Copy the frames that are shown, as JSON", onclick: () => this.copy() }, "Copy"),
      make("button", { type: "button", title: "Save the frames that are shown, as lines of JSON", onclick: () => this.export() }, "Export"),
      make("button", { type: "button", onclick: () => this.clear() }, "Clear"));
    this.list = make("ol", { class: "frames" });
    this.nothing = make("p", { class: "empty" }, "Nothing has travelled yet.");
    this.box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Frames" }, this.list, this.nothing);
    panel.append(make("div", { class: "bar filters" }, this.text, this.direction, this.opcode, this.shown, this.buttons), this.box);
    this.panel = panel;
  }

  /** Adds frames, or further stages of frames that are there; `leftOut` others are only counted. */
  add(frames, leftOut = 0) {
    const end = this.isAtEnd();
    if (leftOut) this.note(`${many(leftOut, "frame")} ${leftOut === 1 ? "is" : "are"} not shown: they came too fast`);
    const touched = new Set();
    for (const frame of frames) {
      if (!this.journeys.has(frame.number)) {
        const row = make("li");
        this.journeys.set(frame.number, { row, frames: [] });
        this.list.append(row);
      }
      this.journeys.get(frame.number).frames.push(frame);
      touched.add(frame.number);
    }
    for (const number of touched) this.draw(this.journeys.get(number));
    for (const [number, { row }] of this.journeys) {
      if (this.list.children.length <= MAX_ROWS) break;
      while (this.list.firstChild !== row) this.list.firstChild.remove();
      row.remove();
      this.journeys.delete(number);
    }
    this.count();
    if (end) this.toEnd();
  }

  /** A line between frames. */
  note(text) {
    this.list.append(make("li", { class: "gap" }, text));
    this.nothing.hidden = true;
  }

  draw({ row, frames }) {
    const first = frames[0], seen = frames.find((frame) => frame.stage === "app") ?? first;
    const chips = steps(frames).flatMap((step, at) => at ? [make("span", { class: "arrow" }, "→"), chip(step)] : [chip(step)]);
    const summary = make("summary", {}, make("span", { class: "when" }, clock(first.time)),
      make("span", { class: "way " + first.direction }, this.ways[first.direction]),
      make("span", { class: "what" }, make("span", { class: "kind" }, seen.opcode + (seen.fin ? "" : " …")), ...chips,
        seen.preview && make("bdi", { class: "text mono" }, plain(seen.preview))));
    const open = row.firstChild?.open;
    const details = make("details", { ontoggle: () => {
      if (details.open && details.children.length === 1) {
        details.append(make("button", { type: "button", class: "copy", onclick: () => copy(asLines(frames)) }, "Copy"), table(frames));
      }
    } }, summary);
    Object.assign(row.dataset, { direction: first.direction, opcode: seen.opcode, stages: [...new Set(frames.map((frame) => frame.stage))].join(" ") });
    row.replaceChildren(details);
    details.open = open;
    row.hidden = !this.matches(frames);
  }

  matches(frames) {
    const opcode = this.opcode.value, text = this.text.value.toLowerCase();
    return (!this.direction.value || frames[0].direction === this.direction.value)
      && (!opcode || frames.some((frame) => opcode === "other" ? !OPCODES.includes(frame.opcode) : frame.opcode === opcode))
      && (!text || frames.some((frame) => frame.preview.toLowerCase().includes(text)));
  }

  filter() {
    for (const { row, frames } of this.journeys.values()) row.hidden = !this.matches(frames);
    this.count();
    this.toEnd();
  }

  count() {
    const shown = [...this.journeys.values()].filter(({ row }) => !row.hidden).length;
    this.shown.textContent = shown === this.journeys.size ? "" : `${n(shown)} of ${n(this.journeys.size)}`;
    this.nothing.hidden = this.list.children.length > 0;
  }

  clear() {
    this.journeys.clear();
    this.list.replaceChildren();
    this.count();
  }

  chosen() { return [...this.journeys.values()].filter(({ row }) => !row.hidden).flatMap(({ frames }) => frames); }
  async copy() { await copy(asLines(this.chosen())); this.shown.textContent = "copied"; }
  export() { download(`${this.name()}.jsonl`, asLines(this.chosen())); }

  // In a small window the panel scrolls, not the list.
  scroller() { return getComputedStyle(this.box).overflowY === "visible" ? this.panel : this.box; }
  isAtEnd() { const box = this.scroller(); return box.scrollHeight - box.scrollTop - box.clientHeight < 40; }
  toEnd() { const box = this.scroller(); box.scrollTop = box.scrollHeight; }
}
