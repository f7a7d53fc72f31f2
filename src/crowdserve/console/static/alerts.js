// The alert log.

import { byId, el, setText } from "./dom.js";
import { alerts, onChange } from "./live.js";
import { alertText, moment } from "./text.js";

let drawn = "";

onChange(() => {
  const listed = [...alerts.values()].sort((one, other) =>
    (one.cleared_at !== null) - (other.cleared_at !== null) || other.raised_at - one.raised_at);
  const open = listed.filter((alert) => alert.cleared_at === null).length;
  setText(byId("summary"), listed.length ? `${open} open, ${listed.length - open} over.` : "No alert has been raised.");
  const text = JSON.stringify(listed);
  if (text === drawn) return;
  drawn = text;
  byId("log").hidden = !listed.length;
  byId("alerts").replaceChildren(...listed.map(row));
});

function row(alert) {
  const open = alert.cleared_at === null;
  return el("tr", { class: open ? "alarmed" : null },
    el("td", { class: "state" }, open ? "▲ open" : "✓ over"),
    el("th", { scope: "row" }, el("a", { href: `camera?name=${encodeURIComponent(alert.camera)}` }, alert.camera)),
    el("td", {}, alertText(alert)),
    el("td", { class: "figure" }, moment(alert.raised_at)),
    el("td", { class: "figure" }, open ? "–" : moment(alert.cleared_at)));
}
