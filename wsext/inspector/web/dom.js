// Small things for both pages: elements, texts of strangers, numbers and times for people.

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children. Texts stay texts: nothing is ever parsed as HTML. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Sets a text only if it is another one, so that nothing is laid out or read aloud again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A stranger's text in one line. What would be invisible, or turn the line round, is written out. */
export const plain = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (char) => "\\u{" + char.codePointAt(0).toString(16) + "}");

/** A long text without its middle. */
export function middle(text, most = 28) {
  const chars = [...text];
  if (chars.length <= most) return text;
  const tail = Math.floor((most - 1) / 2);
  return chars.slice(0, most - 1 - tail).join("") + "…" + chars.slice(-tail).join("");
}

export const short = (extension) => extension.replace(/^permessage-/, "");
export const n = (value) => Math.round(value).toLocaleString("en");
export const many = (count, word) => `${n(count)} ${word}${count === 1 ? "" : "s"}`;
export const percent = (value) => value === null ? "–" : `${Math.round(value * 100)} %`;

export const bytes = (value) => value < 1e4 ? `${n(value)} B` : value < 1e6 ? `${(value / 1e3).toFixed(1)} kB`
  : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;

export const span = (s) => s < 1 ? `${Math.round(s * 1000)} ms` : s < 100 ? `${Math.round(s)} s`
  : s < 6000 ? `${Math.round(s / 60)} min` : s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${Math.round(s / 86400)} d`;

/** The time of day, with milliseconds if they are asked for. */
export function clock(time, milliseconds = true) {
  const at = new Date(time * 1000), text = at.toLocaleTimeString("en-GB");
  return milliseconds ? text + "." + String(at.getMilliseconds()).padStart(3, "0") : text;
}

/** The address of a WebSocket on this server. */
export function socketAddress(path) {
  const address = new URL(path, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address;
}

/** Copies a text. The clipboard's own API is there only if the page came over TLS or from localhost, and may be denied. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch { /* so as it was done before */ }
  const area = make("textarea", { class: "unseen", "aria-hidden": true });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function download(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** In a small window one panel is shown at a time: the buttons of `#tabs` say which. */
export function showTab(name) {
  for (const button of document.querySelectorAll("#tabs button")) {
    button.setAttribute("aria-pressed", button.dataset.tab === name);
    button.onclick = () => showTab(button.dataset.tab);
  }
  for (const panel of document.querySelectorAll("main > [data-tab]")) {
    panel.classList.toggle("shown", panel.dataset.tab === name);
  }
}
