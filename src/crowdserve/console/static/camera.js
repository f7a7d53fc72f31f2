// One camera: picture, zones, counts, history.

import { historyChart } from "./chart.js";
import { byId, el, setText } from "./dom.js";
import { cameras, isStale, names, now, onChange } from "./live.js";
import { pictureElement, showPicture } from "./picture.js";
import { showSession } from "./session.js";
import { Stage } from "./stage.js";
import { duration, fine, levelText, moment, statusText, whole } from "./text.js";
import { ZoneForm } from "./zones.js";

const name = new URLSearchParams(location.search).get("name") ?? "";
const picture = pictureElement(`Newest picture of ${name}, with density and zones`);
const none = el("p", { class: "quiet" });
const stage = new Stage(byId("stage"), picture, (zone, corners) => form.takeCorners(zone, corners));
byId("stage").querySelector(".canvas").append(none);
const form = new ZoneForm(byId("zones"), stage, edited, true);
let editing = false;
let dirty = false;
let begunFrom = ""; // version of the zones that are changed here; none from a watcher of before it was told
let options = "";
let historyAt = 0;

document.title = `${name} – crowdserve`;
setText(byId("name"), name);

onChange(() => {
  const camera = cameras.get(name);
  byId("known").hidden = !camera;
  if (!camera) {
    if (names !== null) setText(byId("state"), "No such camera is watched here.");
    return;
  }
  setText(byId("state"), stateText(camera));
  byId("state").classList.toggle("broken", !trusted(camera));
  setText(none, camera.picture === null ? "no picture" : "");
  setText(byId("taken"), camera.picture === null ? "" : `taken ${moment(camera.picture)}`);
  showPicture(picture, camera);
  stage.show(shapes(camera));
  byId("now").replaceChildren(nowTable(camera));
  fillOptions(camera);
  if (now() - historyAt > 15) showHistory(camera);
});

showSession(byId("login"), (may) => {
  editing = may;
  dirty = false;
  byId("zones").hidden = !may;
  save.hidden = !may;
  if (may) beginEditing();
});

const save = el("button", { type: "button", class: "primary", hidden: true, onclick: keep }, "Save zones");
byId("outcome").before(save);
for (const id of ["zone", "span"]) byId(id).addEventListener("change", () => showHistory(cameras.get(name)));

const trusted = (camera) => camera.status === "counted" && !camera.away && !isStale(camera);

function stateText(camera) {
  if (camera.away) return `✕ ${camera.gone ? "no watcher has this camera" : "its watcher is away"} since ${moment(camera.away)}`;
  if (camera.status !== "counted") return `✕ ${statusText(camera.status)}${camera.detail ? `: ${camera.detail}` : ""}`;
  if (isStale(camera)) return `✕ nothing new since ${moment(camera.at)}`;
  return `● counted every ${duration(camera.every)}, last ${moment(camera.at)}, in ${fine(camera.seconds)} s; ${camera.reconnects} reconnects`;
}

function shapes(camera) {
  const size = [picture.naturalWidth, picture.naturalHeight];
  const listed = editing ? form.zones : camera.configured;
  return listed.filter((zone) => zone.polygon || (zone.polygon_px && size[0])).map((zone) => {
    const read = camera.zones.find((each) => each.name === zone.name);
    return { name: zone.name, polygon: zone.polygon ?? [], over: Boolean(read?.over.length), editable: editing,
      label: read && trusted(camera) ? `${zone.name} ${whole(read.average)}` : zone.name };
  }).filter((zone) => zone.polygon.length);
}

function nowTable(camera) {
  if (!trusted(camera)) return el("p", { class: "quiet" }, "Not counted now; the history has what was counted before.");
  const limits = new Map(camera.configured.map((zone) => [zone.name, zone]));
  const head = ["Zone", "People", "per m²", "Level", "Limit"].map((text) => el("th", { scope: "col" }, text));
  const rows = camera.zones.map((zone) => {
    const { limit, density_limit: dense } = limits.get(zone.name) ?? {};
    const told = [limit && fine(limit), dense && `${fine(dense)} per m²`].filter(Boolean).join(", ") || "–";
    return el("tr", { class: zone.over.length ? "alarmed" : null },
      el("th", { scope: "row" }, zone.name === "picture" ? "whole picture" : zone.name),
      el("td", { class: "figure large" }, `${whole(zone.average)}`, el("span", { class: "quiet" }, zone.spread ? ` ± ${fine(zone.spread)}` : "")),
      el("td", { class: "figure" }, zone.density === null ? "–" : fine(zone.density)),
      el("td", {}, zone.level ? el("span", { class: "level", "data-level": zone.level }, levelText(zone.level)) : "–"),
      el("td", { class: "figure" }, zone.over.length ? `▲ over ${told}` : told));
  });
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "People by zone" },
    el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

function fillOptions(camera) {
  const listed = ["picture", ...camera.configured.map((zone) => zone.name).filter((each) => each !== "picture")];
  if (listed.join() === options) return;
  options = listed.join();
  const chosen = byId("zone").value;
  byId("zone").replaceChildren(...listed.map((each) => el("option", { value: each }, each === "picture" ? "whole picture" : each)));
  if (listed.includes(chosen)) byId("zone").value = chosen;
}

async function showHistory(camera) {
  historyAt = now();
  const [zone, seconds] = [byId("zone").value || "picture", byId("span").value];
  const reply = await fetch(`api/cameras/${encodeURIComponent(name)}/history?${new URLSearchParams({ zone, seconds })}`);
  const told = await reply.json();
  const open = byId("history").querySelector("details")?.open ?? false;
  if (!reply.ok) return byId("history").replaceChildren(el("p", { class: "fault" }, told.error));
  const limit = camera?.configured.find((each) => each.name === zone)?.limit;
  byId("history").replaceChildren(
    ...historyChart(told, Number(seconds), limit, now(), byId("history").clientWidth),
    ...(told.kept ? [] : [el("p", { class: "quiet" }, "No history is kept; these are the last minutes.")]));
  const details = byId("history").querySelector("details");
  if (details) details.open = open;
  return undefined;
}

function beginEditing() {
  const camera = cameras.get(name);
  if (camera) {
    form.fill(camera.configured);
    begunFrom = camera.zones_version ?? "";
  } else setTimeout(beginEditing, 200);
}

function edited() {
  dirty = true;
  stage.show(shapes(cameras.get(name)));
  setText(byId("outcome"), "Not saved yet.");
}

async function keep() {
  const outcome = byId("outcome");
  if (form.faults.length) return outcome.replaceChildren(...form.faults.map((text) => el("p", { class: "fault" }, text)));
  save.disabled = true;
  try {
    const reply = await fetch(`api/cameras/${encodeURIComponent(name)}/zones`, {
      method: "PUT", headers: { "content-type": "application/json", ...(begunFrom && { "if-match": `"${begunFrom}"` }) }, body: JSON.stringify({ zones: form.sent }) });
    const told = await reply.json();
    outcome.replaceChildren(...(reply.ok ? kept(told) : [...(told.messages ?? [told.error]).map((text) => el("p", { class: "fault" }, text)), yaml(told)]));
    if (reply.ok) {
      dirty = false;
      begunFrom = told.version ?? "";
    }
  } catch {
    outcome.replaceChildren(el("p", { class: "fault" }, "The console does not answer; try again when the page says live."));
  } finally {
    save.disabled = false;
  }
  return undefined;
}

function kept(told) {
  if (told.kept && told.where !== "history") return [el("p", {}, "✓ Saved: the zones are watched now, and kept in the configuration.")];
  if (told.kept) return [
    el("p", {}, "✓ Saved: the zones are watched now, and kept with the history. They go before those in the configuration until this camera's zones are changed there. To have them there too, copy this:"),
    yaml(told)];
  return [
    el("p", {}, `The zones are watched now, but not kept: ${told.reason}. A restart forgets them, unless you copy this into the camera's configuration:`),
    yaml(told)];
}

const yaml = (told) => (told.yaml ? el("pre", { tabindex: "0", "aria-label": "Zones as YAML" }, told.yaml) : "");

addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
