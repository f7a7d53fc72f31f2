// The wall: a card for each camera.

import { sparkline } from "./chart.js";
import { byId, el, setText } from "./dom.js";
import { isWanted, onSearch, showFound } from "./finder.js";
import { cameras, isStale, names, now, onChange, watchers } from "./live.js";
import { pictureElement, showPicture } from "./picture.js";
import { duration, fine, highest, levelText, moment, statusText, whole } from "./text.js";

const cards = new Map();

onChange(showAll);
onSearch(showAll);

function showAll() {
  if (names === null) return;
  for (const [name, card] of cards) if (!cameras.has(name)) { card.root.remove(); cards.delete(name); }
  for (const name of names) {
    const camera = cameras.get(name);
    if (!camera) continue;
    if (!cards.has(name)) cards.set(name, makeCard(name));
    fill(cards.get(name), camera);
  }
  const roots = names.filter((name) => cards.has(name)).map((name) => cards.get(name).root);
  inOrder(roots);
  showFound(roots.filter((root) => !root.hidden).length, roots.length);
  showEmpty();
  showWatchers();
}

/** Put cards into the order of their names; one that is in its place is not touched, so that it keeps the focus. */
function inOrder(roots) {
  roots.forEach((root, place) => {
    const there = byId("wall").children[place];
    if (there !== root) byId("wall").insertBefore(root, there ?? null);
  });
}

function makeCard(name) {
  const parts = {
    picture: pictureElement(""), none: el("p", { class: "quiet" }), people: el("span", { class: "people" }), unit: el("span", { class: "quiet" }),
    level: el("span", { class: "level" }), over: el("p", { class: "over" }), spark: el("div"), seen: el("p", { class: "quiet" }),
  };
  const href = `camera?name=${encodeURIComponent(name)}`;
  parts.root = el("li", { class: "card" },
    el("div", { class: "frame" }, parts.none, parts.picture),
    el("div", { class: "facts" },
      el("div", { class: "row" }, el("h2", {}, el("a", { href }, name)), parts.level),
      el("p", { class: "row count" }, el("span", {}, parts.people, " ", parts.unit), parts.spark),
      parts.over, parts.seen));
  return parts;
}

function fill(card, camera) {
  const picture = camera.zones[0];
  const trusted = camera.status === "counted" && picture && !isStale(camera) && !camera.away;
  card.root.classList.toggle("untrusted", !trusted);
  setText(card.people, trusted ? whole(picture.average) : "–");
  setText(card.unit, trusted ? `people${picture.spread ? ` ± ${fine(picture.spread)}` : ""}` : "not counted");
  const level = trusted ? highest(camera.zones) : null;
  card.level.dataset.level = level ?? "";
  setText(card.level, level ? levelText(level) : "");
  const over = trusted ? camera.zones.filter((zone) => zone.over.length).map((zone) => zone.name === "picture" ? "whole picture" : zone.name) : [];
  card.root.classList.toggle("alarmed", over.length > 0);
  card.root.hidden = !isWanted(camera.name, over.length > 0 || !trusted);
  setText(card.over, over.length ? `▲ over its limit: ${over.join(", ")}` : "");
  card.seen.classList.toggle("broken", !trusted);
  setText(card.seen, state(camera, trusted));
  if (card.drawn !== camera.spark) { // of another event
    card.drawn = camera.spark;
    card.spark.replaceChildren(sparkline(camera.spark));
  }
  setText(card.none, camera.picture === null ? "no picture" : "");
  showPicture(card.picture, camera);
}

function state(camera, trusted) {
  if (camera.gone) return `✕ no watcher has this camera since ${moment(camera.away)}`;
  if (camera.away) return `✕ its watcher is away since ${moment(camera.away)}`;
  if (trusted) return `counted ${duration(Math.ceil(now() - camera.at))} ago`;
  if (camera.status === "counted") return `✕ nothing new since ${moment(camera.at)}`;
  const detail = camera.detail && camera.detail !== statusText(camera.status) ? `: ${camera.detail}` : "";
  return `✕ ${statusText(camera.status)}${detail}`;
}

function showEmpty() {
  const empty = byId("empty");
  empty.hidden = names.length > 0;
  if (names.length || empty.childElementCount) return;
  empty.append(
    el("p", {}, "No camera is watched here yet. Write your cameras into a file, cameras.yaml:"),
    el("pre", {}, "cameras:\n  - name: entrance\n    source: rtsp://${CAMERA_USER}:${CAMERA_PASSWORD}@10.0.0.7/stream2\n    every: 5s\n"),
    el("p", {}, "and start the service with it:"),
    el("pre", {}, "crowdserve up --cameras cameras.yaml"),
    el("p", {}, "Without cameras you can ", el("a", { href: "count" }, "count a photo"), "."));
}

function showWatchers() {
  const away = watchers.filter((each) => !each.connected);
  const text = away.map((each) => `The watcher ${each.address} is away since ${moment(each.since)}.`).join(" ");
  const shown = byId("watchers");
  shown.className = text ? "notice" : "";
  setText(shown, text);
}
