// Exchanges the token for a cookie. The token comes in the address's fragment, which browsers send
// to nobody, or from the form.

import { $ } from "./dom.js";

async function login(token) {
  try {
    const answer = await fetch("login", { headers: { Authorization: "Bearer " + token }, cache: "no-store" });
    if (answer.ok) location.reload();
    else $("text").textContent = "This is not the token of the server that runs now.";
  } catch {  // also for a token that no header can hold
    $("text").textContent = "The server does not answer, or this cannot be a token.";
  }
}

const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (token) login(token);
$("form").onsubmit = (event) => {
  event.preventDefault();
  login($("token").value.trim().replace(/^.*#/, ""));
};
$("show").onclick = () => {
  const shown = $("token").type === "text";
  $("token").type = shown ? "password" : "text";
  $("show").setAttribute("aria-pressed", !shown);
  $("show").textContent = shown ? "Show" : "Hide";
};
