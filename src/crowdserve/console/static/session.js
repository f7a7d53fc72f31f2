// Whether whoever looks may change something, and the form to show the token.

import { el } from "./dom.js";

/** Show in `host` what may be done; `allowed(may)` is told at the beginning and after every change. */
export async function showSession(host, allowed) {
  const { changeable, may_change: may } = await (await fetch("api/session")).json();
  host.replaceChildren(...(!changeable ? [el("p", { class: "quiet" }, "Read-only: the console was started without a token (CROWDSERVE_CONSOLE_TOKEN).")]
    : may ? [el("button", { type: "button", onclick: () => leave(host, allowed) }, "End editing")] : [form(host, allowed)]));
  allowed(may);
}

function form(host, allowed) {
  const token = el("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const answer = el("p", { class: "fault", role: "alert" });
  return el("form", { class: "fields", onsubmit: async (event) => {
    event.preventDefault();
    const reply = await post("api/login", { token: token.value });
    if (reply.ok) return showSession(host, allowed);
    answer.textContent = (await reply.json()).error;
    return undefined;
  } }, el("input", { hidden: true, autocomplete: "username", value: "console" }), el("label", {}, "Token, to change zones ", token), el("button", {}, "Edit"), answer);
}

async function leave(host, allowed) {
  await post("api/logout", {});
  await showSession(host, allowed);
}

const post = (path, value) => fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value) });
