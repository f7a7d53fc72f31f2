// Count a photo: dropped or chosen, with zones if somebody draws some.

import { byId, el } from "./dom.js";
import "./live.js";
import { outputsOf, text } from "./reply.js";
import { Stage } from "./stage.js";
import { fine, whole } from "./text.js";
import { ZoneForm } from "./zones.js";

const preview = el("img", { class: "picture", alt: "The chosen photo" });
const stage = new Stage(byId("stage"), preview, (name, corners) => form.takeCorners(name, corners));
const form = new ZoneForm(byId("zones"), stage, edited, false);
const again = el("button", { type: "button", class: "primary", hidden: true, onclick: () => count() }, "Count with these zones");
byId("zones").after(again);
let photo = null;
let counting = 0;

byId("file").addEventListener("change", (event) => take(event.target.files[0]));
addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").classList.add("ready"); });
addEventListener("dragleave", () => byId("drop").classList.remove("ready"));
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("ready");
  take(event.dataTransfer.files[0]);
});

function take(file) {
  if (!file) return;
  photo = file;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  byId("stage").hidden = false;
  again.hidden = true;
  form.fill([]);
  edited(false);
  count();
}

function edited(changed = true) {
  stage.show(form.zones.filter((zone) => zone.polygon).map((zone) => ({ ...zone, editable: true })));
  if (changed !== false) again.hidden = false;
}

async function count() {
  const number = ++counting;
  const shown = byId("result");
  if (form.faults.length) return shown.replaceChildren(...form.faults.map((each) => el("p", { class: "fault" }, each)));
  shown.replaceChildren(el("p", {}, "counting …"));
  shown.setAttribute("aria-busy", "true");
  try {
    const found = await asked();
    if (number === counting) shown.replaceChildren(...found);
  } catch {
    if (number === counting) shown.replaceChildren(el("p", { class: "fault" }, "The console does not answer, or the photo could not be sent; try again."));
  } finally {
    shown.removeAttribute("aria-busy");
  }
  return undefined;
}

async function asked() {
  const zones = form.sent.length ? `?${new URLSearchParams({ zones: JSON.stringify(form.sent) })}` : "";
  const reply = await fetch(`api/count${zones}`, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: photo });
  if (!reply.ok) return [el("p", { class: "fault" }, await errorOf(reply))];
  return result(outputsOf(await reply.arrayBuffer(), reply.headers.get("inference-header-content-length")));
}

async function errorOf(reply) {
  try {
    return (await reply.json()).error;
  } catch {
    return `the service answered ${reply.status}`;
  }
}

let heat = "";
function result(outputs) {
  URL.revokeObjectURL(heat);
  heat = URL.createObjectURL(new Blob([outputs.heatmap[0]], { type: "image/png" }));
  const people = outputs.count[0];
  const names = outputs.zone_names ?? [];
  return [
    el("p", { class: "count" }, el("span", { class: "people" }, whole(people)), ` ${Math.round(people) === 1 ? "person" : "people"}`),
    el("p", { class: "quiet" }, `${fine(people)} before rounding; ${text(outputs.scene[0])} scene, ${whole(outputs.scene_probability[0] * 100)} % sure`),
    names.length ? zoneTable(names.map(text), outputs.zone_counts) : null,
    el("img", { class: "picture", src: heat, alt: `The photo with its density of people: ${whole(people)} in all` }),
    el("p", { class: "fields" }, el("a", { href: heat, download: "density.png" }, "Save this picture")),
  ].filter(Boolean);
}

function zoneTable(names, counts) {
  return el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Zone"), el("th", { scope: "col" }, "People"))),
    el("tbody", {}, names.map((name, number) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "figure large" }, fine(counts[number]))))));
}
