// Lines of people over time.

import { el, svg } from "./dom.js";
import { fine, moment, whole } from "./text.js";

/** A small line without axes; its numbers stand beside it. */
export function sparkline(points) {
  const [width, height] = [200, 36];
  const top = Math.max(1, ...points.map(([, people]) => people));
  const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 1];
  const x = (at) => (last > first ? ((at - first) / (last - first)) * width : width);
  const line = points.map(([at, people]) => `${x(at).toFixed(1)},${(height - 2 - (people / top) * (height - 4)).toFixed(1)}`);
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    points.length > 1 ? svg("polyline", { points: line.join(" ") }) : null);
}

/** The history of a zone, with its table: a gap in the line is a time without counts. */
export function historyChart({ points, step }, seconds, limit, now, room) {
  if (!points.length) return [el("p", { class: "quiet" }, "No counts are kept of this time.")];
  const [width, height, left, bottom] = [Math.max(280, room), 240, 48, 24];
  const from = now - seconds;
  const top = niceTop(Math.max(1, limit ?? 0, ...points.map(([, , most]) => most)));
  const x = (at) => left + ((at - from) / seconds) * (width - left - 8);
  const y = (people) => 8 + (1 - people / top) * (height - bottom - 8);
  const lines = runs(points, step).map((run) => (run.length > 1
    ? svg("polyline", { class: "line", points: run.map(([at, mean]) => `${x(at).toFixed(1)},${y(mean).toFixed(1)}`).join(" ") })
    : svg("circle", { class: "point", cx: x(run[0][0]).toFixed(1), cy: y(run[0][1]).toFixed(1), r: 3 })));
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => svg("g", {},
    svg("line", { class: "grid", x1: left, x2: width - 8, y1: y(share * top), y2: y(share * top) }),
    svg("text", { x: left - 6, y: y(share * top) + 4, "text-anchor": "end" }, fine(share * top))));
  const times = [0, 0.25, 0.5, 0.75, 1].map((share) => svg("text",
    { x: x(from + share * seconds), y: height - 4, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle" },
    axisTime(from + share * seconds, seconds)));
  const most = points.reduce((one, other) => (other[2] > one[2] ? other : one));
  const drawn = svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `People over time, at most ${whole(most[2])} at ${moment(most[0])}` }, steps, times, lines,
    limit ? [svg("line", { class: "limit", x1: left, x2: width - 8, y1: y(limit), y2: y(limit) }),
      svg("text", { class: "limit-text", x: width - 10, y: y(limit) - 5, "text-anchor": "end" }, `limit ${fine(limit)}`)] : []);
  return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Chart" }, drawn), table(points)];
}

function table(points) {
  const every = Math.ceil(points.length / 60);
  const rows = points.filter((_, number) => number % every === 0).reverse();
  return el("details", {}, el("summary", {}, "As a table"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Counts" }, el("table", {},
      el("thead", {}, el("tr", {}, ["From", "People", "At most"].map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, rows.map(([at, mean, most]) => el("tr", {}, el("td", {}, moment(at)), el("td", { class: "figure" }, fine(mean)), el("td", { class: "figure" }, fine(most))))))));
}

function runs(points, step) {
  const found = [];
  let before = -Infinity;
  for (const point of points) {
    if (point[0] - before > 3.5 * step) found.push([]);
    found.at(-1).push(point);
    before = point[0];
  }
  return found;
}

function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((each) => each * power).find((each) => each >= value);
}

function axisTime(at, seconds) {
  const date = new Date(at * 1000);
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return seconds > 86400 ? date.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : time;
}
