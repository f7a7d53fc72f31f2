// The form of zones: what the mouse draws can be typed as well, and limits only be typed.

import { el } from "./dom.js";

const NUMBERS = [
  ["area_m2", "Area, m²"], ["limit", "Limit, people"], ["density_limit", "Limit, people per m²"], ["for", "For, seconds"],
];

/** Corners as text: `0.1,0.2; 0.5,0.2; 0.5,0.9`. */
export const cornersText = (polygon) => polygon.map((corner) => corner.join(",")).join("; ");

/** Corners of a text.
 * @throws {Error} if it is none, with a message to show
 */
export function cornersOf(text) {
  const pairs = text.split(";").filter((each) => each.trim()).map((pair) => pair.split(",").map((each) => (each.trim() ? Number(each) : NaN)));
  if (pairs.length < 3 || pairs.some((pair) => pair.length !== 2 || pair.some(Number.isNaN))) {
    throw new Error("expected three corners or more as x,y; x,y; x,y in fractions of the picture, from 0 to 1");
  }
  return pairs;
}

/** A list of zones to edit. `changed()` is called after every change; `limits` says whether they have limits. */
export class ZoneForm {
  zones = [];
  #host;
  #stage;
  #changed;
  #limits;

  constructor(host, stage, changed, limits) {
    this.#host = host;
    this.#stage = stage;
    this.#changed = changed;
    this.#limits = limits;
  }

  /** Begin with these. */
  fill(zones) {
    this.zones = zones.map((zone) => structuredClone(zone));
    this.#draw();
  }

  /** Take corners that were drawn. */
  takeCorners(name, corners) {
    const zone = this.zones.find((each) => each.name === name);
    if (!zone) return;
    delete zone.polygon_px;
    zone.polygon = corners;
    this.#draw();
    this.#changed();
  }

  /** What is wrong with the corners that were typed; empty if nothing is. */
  get faults() {
    return this.zones.filter((zone) => zone.fault).map((zone) => `${zone.name}: ${zone.fault}`);
  }

  /** The zones as a configuration has them. */
  get sent() {
    return this.zones.map(({ fault, text, ...zone }) => zone);
  }

  #draw() {
    this.#host.replaceChildren(
      ...this.zones.map((zone, number) => this.#row(zone, number)),
      el("div", { class: "fields" },
        el("button", { type: "button", onclick: () => this.#add() }, "Add a zone"),
        this.#limits && !this.zones.some((zone) => zone.name === "picture")
          ? el("button", { type: "button", onclick: () => this.#add("picture") }, "Add the whole picture") : null));
  }

  #add(name = this.#freeName()) {
    this.zones.push(name === "picture" ? { name } : { name, polygon: [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]] });
    this.#draw();
    this.#changed();
    if (name === "picture") return;
    document.getElementById(`name-${this.zones.length - 1}`)?.focus({ preventScroll: true });
    this.#stage.begin(name);
  }

  #freeName() {
    for (let number = 1; ; number += 1) if (!this.zones.some((zone) => zone.name === `zone-${number}`)) return `zone-${number}`;
  }

  #row(zone, number) {
    const fault = el("p", { class: "fault", id: `fault-${number}`, role: "alert" }, zone.fault ?? "");
    return el("fieldset", { class: "zone-form" }, el("legend", {}, zone.name === "picture" ? "whole picture" : zone.name),
      zone.name === "picture" ? null : this.#shape(zone, number, fault), fault,
      el("div", { class: "fields" },
        this.#limits ? NUMBERS.map(([name, text]) => this.#number(zone, name, text)) : null,
        zone.name === "picture" ? null : el("button", { type: "button", onclick: () => this.#stage.begin(zone.name) }, "Draw anew"),
        el("button", { type: "button", onclick: () => { this.zones.splice(number, 1); this.#draw(); this.#changed(); } }, `Remove ${zone.name}`)));
  }

  #shape(zone, number, fault) {
    const name = el("input", { id: `name-${number}`, value: zone.name, maxlength: 64, oninput: () => { zone.name = name.value.trim(); this.#changed(); }, onchange: () => this.#draw() });
    const corners = el("input", {
      class: "wide", value: zone.text ?? (zone.polygon ? cornersText(zone.polygon) : ""), "aria-describedby": fault.id,
      placeholder: zone.polygon_px ? "in pixels; type fractions to change it" : null,
      oninput: () => {
        zone.text = corners.value;
        try {
          zone.polygon = cornersOf(corners.value);
          delete zone.polygon_px;
          delete zone.text;
          zone.fault = "";
        } catch (error) {
          zone.fault = error.message;
        }
        fault.textContent = zone.fault;
        corners.setAttribute("aria-invalid", String(Boolean(zone.fault)));
        this.#changed();
      },
    });
    return el("div", { class: "fields" }, el("label", {}, "Name ", name), el("label", { class: "grow" }, "Corners, x,y; x,y; … ", corners));
  }

  #number(zone, name, text) {
    const input = el("input", { type: "number", min: 0, step: "any", value: zone[name] ?? "", oninput: () => {
      if (input.value === "") delete zone[name];
      else zone[name] = Number(input.value);
      this.#changed();
    } });
    return el("label", {}, `${text} `, input);
  }
}
