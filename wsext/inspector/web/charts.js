// Charts of what has come in and gone out, over the last two minutes or since the start.

import { $, make, n, bytes, clock } from "./dom.js";

export const LATELY = 120;  // seconds
const MAX_SAMPLES = 240, SMOOTH = 2;  // rates are of two seconds: what comes in bursts stays readable
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];
const WIDTH = 300, HEIGHT = 60;

/** Totals over time: every sample of the last two minutes, and a few since the start. */
export class Series {
  constructor() { this.sparse = []; this.latest = []; this.step = 1; }

  add(sample) {
    if (this.latest.length && sample.time <= this.latest.at(-1).time) return;
    this.latest.push(sample);
    if (this.latest.length > MAX_SAMPLES) this.latest.shift();
    if (!this.sparse.length || sample.time - this.sparse.at(-1).time >= this.step) this.sparse.push(sample);
    if (this.sparse.length > MAX_SAMPLES) {
      this.sparse = this.sparse.filter((_, at) => at % 2 === 0);
      this.step *= 2;
    }
  }

  get first() { return this.samples()[0]?.time ?? 0; }
  get last() { return this.latest.at(-1)?.time ?? 0; }

  samples() {
    const since = this.latest[0]?.time ?? Infinity;
    return [...this.sparse.filter((sample) => sample.time < since), ...this.latest];
  }

  /** Rates between the samples. A share is null while nothing was sent. */
  points() {
    const points = [], samples = this.samples();
    let from = 0;
    for (let at = 1; at < samples.length; at++) {
      const now = samples[at];
      while (from < at - 1 && now.time - samples[from + 1].time >= SMOOTH) from++;
      const before = samples[from], took = now.time - before.time;
      const rate = (way, what) => (now[way][what] - before[way][what]) / took;
      const app = rate("incoming", "app") + rate("outgoing", "app"), wire = rate("incoming", "wire") + rate("outgoing", "wire");
      points.push({ from: before.time, time: now.time,
        messagesIn: rate("incoming", "messages"), messagesOut: rate("outgoing", "messages"),
        bytesIn: rate("incoming", "wire"), bytesOut: rate("outgoing", "wire"),
        share: app > 0 ? 100 * wire / app : null });
    }
    return points;
  }
}

const rate = (value) => value >= 100 || value === 0 ? n(value) : value.toFixed(1);
const perSecond = (value) => bytes(value) + "/s";
const LINES = { in: "var(--in)", out: "var(--out)", "": "var(--accent)" };

/** What each chart shows: keys of points with their colours, what its top is called, and its legend. */
const CHARTS = {
  messages: { keys: [["messagesIn", "in"], ["messagesOut", "out"]], top: (high) => n(high) + "/s",
    legend: (last) => [["in", rate(last?.messagesIn ?? 0) + " in"], ["out", rate(last?.messagesOut ?? 0) + " out"]] },
  bytes: { keys: [["bytesIn", "in"], ["bytesOut", "out"]], top: perSecond,
    legend: (last) => [["in", perSecond(last?.bytesIn ?? 0) + " in"], ["out", perSecond(last?.bytesOut ?? 0) + " out"]] },
  share: { keys: [["share", ""]], least: 100, top: (high) => n(high) + " %",
    legend: (last, points) => {
      const busy = points.findLast((point) => point.share !== null);
      return [["", busy ? `${n(busy.share)} % of what the app sees` : "no data yet"]];
    } },
};

function nice(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((step) => step * unit >= value);
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A line and the area below it. Where the value is null there is a gap. */
function paths(points, key, x, y) {
  let line = "", area = "", begin = null, last = 0;
  const close = () => { if (begin !== null) area += `L${last} ${HEIGHT}L${begin} ${HEIGHT}Z`; begin = null; };
  for (const point of points) {
    if (point[key] === null) { close(); continue; }
    const at = x(point.time).toFixed(1), place = `${at} ${y(point[key]).toFixed(1)}`;
    if (begin === null) {
      begin = Math.max(0, x(point.from)).toFixed(1);
      line += `M${begin} ${y(point[key]).toFixed(1)}`;
      area += `M${begin} ${y(point[key]).toFixed(1)}`;
    }
    line += "L" + place;
    area += "L" + place;
    last = at;
  }
  close();
  return { line, area };
}

/** Times of day below a chart, at round times, and none of them cut off by an edge. */
function timeLabels(range, wall, x) {
  const step = STEPS.find((each) => range.length / each <= 4.5) ?? range.length;
  const labels = [], offset = new Date().getTimezoneOffset() * 60;
  for (let at = Math.ceil((range.start + wall - offset) / step) * step + offset; at <= range.start + range.length + wall; at += step) {
    const place = 100 * x(at - wall) / WIDTH;
    if (place < 7 || place > 93) continue;
    const text = step >= 86400 ? new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" })
      : step < 60 ? clock(at, false) : clock(at, false).slice(0, 5);
    const label = make("span", {}, text);
    label.style.left = place + "%";
    labels.push(label);
  }
  return labels;
}

/**
 * Draws all charts of a series.
 *
 * sinceStart: whether they begin where the series begins; otherwise two minutes ago, or there if that is later.
 * wall: what has to be added to a sample's time to get the time of day.
 */
export function drawCharts(series, sinceStart, wall) {
  const all = series.points(), since = Math.max(1, series.last - series.first);
  const length = sinceStart ? since : Math.min(since, LATELY);
  const range = { start: series.last - length, length };
  const points = all.filter((point) => point.time > range.start);
  const x = (time) => WIDTH * (time - range.start) / range.length;
  for (const [name, chart] of Object.entries(CHARTS)) {
    const high = nice(Math.max(chart.least ?? 0, ...points.flatMap((point) => chart.keys.map(([key]) => point[key] ?? 0))));
    const y = (value) => HEIGHT - (HEIGHT - 2) * value / high;
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const at of [2, HEIGHT / 2 + 1, HEIGHT]) picture.append(svg("line", { x1: 0, x2: WIDTH, y1: at, y2: at }));
    for (const [key, kind] of chart.keys) {
      const { line, area } = paths(points, key, x, y), shape = svg("path", { d: area, class: "area" }), stroke = svg("path", { d: line });
      shape.style.fill = stroke.style.stroke = LINES[kind];
      picture.append(shape, stroke);
    }
    const times = make("div", { class: "times" }, ...timeLabels(range, wall, x));
    $("chart-" + name).replaceChildren(picture, make("span", { class: "top" }, chart.top(high)), times);
    const legend = chart.legend(points.at(-1), points);
    $("now-" + name).replaceChildren(...legend.map(([kind, text]) => make("i", { class: kind }, text)));
    $("chart-" + name).setAttribute("aria-label", "Now: " + legend.map(([, text]) => text).join(", "));
  }
}
