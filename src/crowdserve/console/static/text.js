// Numbers and times as people read them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const SIGNS = { free: "○", busy: "◔", dense: "◑", critical: "●" };
const ORDER = ["free", "busy", "dense", "critical"];
const STATUSES = {
  counted: "counted", starting: "starting", ended: "played to its end", lost: "no picture comes",
  uncounted: "the service does not count", black: "the picture is black", covered: "the picture is covered",
  frozen: "the picture is frozen",
};

export const whole = (people) => WHOLE.format(Math.round(people));
export const fine = (value) => FINE.format(value);
export const statusText = (status) => STATUSES[status] ?? status;
export const levelText = (level) => `${SIGNS[level]} ${level}`;

/** The highest level of a camera's zones; null if none has an area. */
export function highest(zones) {
  return zones.map((zone) => zone.level).filter(Boolean)
    .sort((one, other) => ORDER.indexOf(other) - ORDER.indexOf(one))[0] ?? null;
}

/** A moment, with its day if it is not today's. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

export function duration(seconds) {
  if (seconds > 0 && seconds < 5) return `${FINE.format(seconds)} s`;
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

/** What an alert is about. */
export function alertText(alert) {
  if (alert.kind === "camera") return `not counted for ${duration(alert.limit)}`;
  const unit = alert.kind === "density" ? "people per m²" : "people";
  const value = alert.kind === "density" ? fine(alert.value) : whole(alert.value);
  return `${alert.zone === "picture" ? "whole picture" : alert.zone}: ${value} ${unit}, limit ${fine(alert.limit)}`;
}
