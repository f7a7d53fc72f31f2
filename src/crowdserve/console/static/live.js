// What the server tells: cameras, alerts, the service; and whether it is heard at all.

import { byId, setText } from "./dom.js";
import { alertText, moment, whole } from "./text.js";

const SILENT_MS = 12000; // a beat comes every five seconds
const AGAIN_MS = 5000;

export const cameras = new Map();
export const alerts = new Map();
export let names = null;
export let watchers = [];

const listeners = new Set();
let heard = Date.now();
let skew = 0;
let source = null;
let connected = null;
let waiting = null;
let known = null;

/** Call a function whenever something has changed, at most once per drawn frame. */
export function onChange(listener) {
  listeners.add(listener);
  listener();
}

/** Now, by the server's clock. */
export const now = () => (Date.now() + skew) / 1000;

/** Whether the newest of a camera is so old that it should not be trusted. */
export const isStale = (camera) => camera.at > 0 && now() - camera.at > Math.max(15, 4 * camera.every);

const takers = {
  beat: (value) => { skew = value.now * 1000 - Date.now(); },
  camera: (value) => cameras.set(value.name, value),
  alert: takeAlert,
  service: (value) => showService(value),
  cameras(value) {
    ({ names, watchers } = value);
    showHistories([value.history, ...watchers.filter((each) => each.connected).map((each) => each.history)]);
    for (const name of cameras.keys()) if (!names.includes(name)) cameras.delete(name);
    // What has moved to another watcher is not told to be over.
    const open = new Set(value.open);
    for (const alert of alerts.values()) if (alert.cleared_at === null && !open.has(alert.id)) alerts.delete(alert.id);
    countOpen();
  },
};

function open() {
  source?.close();
  known = new Set(alerts.keys());
  source = new EventSource("api/events");
  for (const [kind, take] of Object.entries(takers)) {
    source.addEventListener(kind, (event) => {
      heard = Date.now();
      take(JSON.parse(event.data));
      show();
      changed();
    });
  }
  source.addEventListener("error", () => {
    show();
    if (source.readyState === EventSource.CLOSED && !waiting) {
      waiting = setTimeout(() => { waiting = null; open(); }, AGAIN_MS);
    }
  });
}

function takeAlert(alert) {
  const before = alerts.get(alert.id);
  alerts.delete(alert.id);
  alerts.set(alert.id, alert);
  while (alerts.size > 500) alerts.delete(alerts.keys().next().value);
  const isOpen = alert.cleared_at === null;
  if (known.size || connectedFor() > 3000) {
    if (isOpen && !before) setText(byId("announcement"), `Alert: ${alert.camera}, ${alertText(alert)}`);
    if (!isOpen && before?.cleared_at === null) setText(byId("announcement"), `Over: ${alert.camera}, ${alertText(alert)}`);
  }
  countOpen();
}

function countOpen() {
  const open = [...alerts.values()].filter((each) => each.cleared_at === null).length;
  const number = byId("open-alerts");
  number.hidden = !open;
  setText(number, `${open} open`);
}

let since = Date.now();
const connectedFor = () => (connected ? Date.now() - since : 0);

function show() {
  const is = source.readyState === EventSource.OPEN && Date.now() - heard < SILENT_MS;
  if (is !== connected) since = Date.now();
  connected = is;
  const line = byId("connection");
  line.classList.toggle("broken", !is);
  document.body.classList.toggle("disconnected", !is);
  setText(line, is ? "● live" : `✕ not connected since ${moment(heard / 1000)}`);
}

function showService(service) {
  const notice = byId("service");
  notice.hidden = service.ready;
  setText(notice, service.ready ? "" : `Photos are not counted now: ${service.detail}`);
}

/** Say of the histories that are not written, of one watcher or of several, since when; and what is lost for good. */
function showHistories(told) {
  const notice = byId("history-notice");
  if (!notice) return; // a page without cameras
  const wrong = told.filter((each) => each);
  const since = wrong.map((each) => each.away_since).filter((each) => each !== null);
  const lost = wrong.reduce((sum, each) => sum + each.lost, 0);
  const texts = [];
  if (since.length) texts.push(`The history has not been written since ${moment(Math.min(...since))}: what is counted and alerted waits for its database.`);
  if (lost) texts.push(`${whole(lost)} ${lost === 1 ? "reading is" : "readings are"} lost: the database was away for too long, or refused them.`);
  notice.hidden = !texts.length;
  setText(notice, texts.join(" "));
}

let drawing = false;
function changed() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; for (const listener of listeners) listener(); });
}

open();
setInterval(() => { show(); changed(); }, 1000);
addEventListener("visibilitychange", () => { // a browser has few connections to a server; a hidden page needs none
  if (document.hidden) source.close();
  else open();
});
