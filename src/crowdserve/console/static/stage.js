// A picture with zones over it, drawn with the mouse. Corners are in fractions of the picture's sides.

import { el, svg } from "./dom.js";

const COLOURS = 6;

/** A stage: an image and zones. `onCorners(name, corners)` is called when somebody has drawn. */
export class Stage {
  #image;
  #frame;
  #layer;
  #hint = el("p", { class: "quiet", role: "status" });
  #zones = [];
  #drawing = null;
  #dragged = null;
  #onCorners;

  constructor(host, image, onCorners = null) {
    this.#image = image;
    this.#frame = svg("svg", { class: "zones", "aria-hidden": "true" });
    this.#layer = svg("g");
    this.#onCorners = onCorners;
    this.#frame.append(this.#layer);
    host.append(el("div", { class: "canvas" }, image, this.#frame), this.#hint);
    image.addEventListener("load", () => this.#draw());
    if (onCorners) this.#listen();
  }

  /** Show zones: {name, polygon, over}. */
  show(zones) {
    this.#zones = zones;
    if (!this.#dragged) this.#draw();
  }

  /** Let somebody draw a zone: a click sets a corner, the first one or Enter ends it, Escape gives up. */
  begin(name) {
    this.#drawing = { name, corners: [] };
    this.#frame.classList.add("drawing");
    this.#hint.textContent = `Click the corners of ${name} one after the other. The first corner or Enter ends it, Escape gives up.`;
    this.#frame.parentElement.scrollIntoView({ block: "center" });
    this.#draw();
  }

  end() {
    const drawn = this.#drawing;
    this.#drawing = null;
    this.#frame.classList.remove("drawing");
    this.#hint.textContent = "";
    if (drawn && drawn.corners.length > 2) this.#onCorners(drawn.name, drawn.corners);
    this.#draw();
  }

  cancel() {
    if (this.#drawing) this.#drawing.corners = [];
    this.end();
  }

  #listen() {
    this.#frame.addEventListener("pointerdown", (event) => this.#press(event));
    this.#frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) this.#frame.addEventListener(kind, () => this.#release());
    document.addEventListener("keydown", (event) => {
      if (!this.#drawing) return;
      if (event.key === "Escape") this.cancel();
      if (event.key === "Enter" && this.#drawing.corners.length > 2) { event.preventDefault(); this.end(); }
    });
  }

  #press(event) {
    const at = this.#place(event);
    if (this.#drawing) {
      const { corners } = this.#drawing;
      if (corners.length > 2 && this.#near(corners[0], at)) return this.end();
      corners.push(at);
      return this.#draw();
    }
    for (const zone of this.#zones) {
      const number = zone.editable ? zone.polygon.findIndex((corner) => this.#near(corner, at)) : -1;
      if (number >= 0) {
        this.#dragged = { zone, number };
        this.#frame.setPointerCapture(event.pointerId);
        event.preventDefault();
        return undefined;
      }
    }
    return undefined;
  }

  #move(event) {
    if (this.#drawing) {
      this.#drawing.next = this.#place(event);
      this.#draw();
    } else if (this.#dragged) {
      this.#dragged.zone.polygon[this.#dragged.number] = this.#place(event);
      this.#draw();
    }
  }

  #release() {
    const dragged = this.#dragged;
    this.#dragged = null;
    if (dragged) this.#onCorners(dragged.zone.name, dragged.zone.polygon);
  }

  #place(event) {
    const box = this.#frame.getBoundingClientRect();
    const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
    return [share((event.clientX - box.left) / box.width), share((event.clientY - box.top) / box.height)];
  }

  #near(one, other) {
    const box = this.#frame.getBoundingClientRect();
    return Math.hypot((one[0] - other[0]) * box.width, (one[1] - other[1]) * box.height) < 14;
  }

  #draw() {
    const [width, height] = [this.#image.naturalWidth || 1600, this.#image.naturalHeight || 900];
    this.#frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const unit = width / Math.max(300, this.#frame.clientWidth || 600);
    const px = ([x, y]) => [x * width, y * height];
    const shapes = this.#zones.filter((zone) => zone.name !== this.#drawing?.name).flatMap((zone, number) => this.#shape(zone, number, px, unit));
    if (this.#drawing) {
      const corners = this.#drawing.next ? [...this.#drawing.corners, this.#drawing.next] : this.#drawing.corners;
      shapes.push(svg("polyline", { class: "rubber", points: corners.map(px).join(" ") }),
        ...this.#drawing.corners.map((corner) => handle(px(corner), unit)));
    }
    this.#layer.replaceChildren(...shapes);
  }

  #shape(zone, number, px, unit) {
    const corners = zone.polygon.map(px);
    const [x, y] = [0, 1].map((axis) => corners.reduce((sum, each) => sum + each[axis], 0) / corners.length);
    const colour = `zone colour-${number % COLOURS}${zone.over ? " over" : ""}`;
    return [
      svg("polygon", { class: colour, points: corners.join(" ") }),
      svg("text", { class: "zone-name", x, y, "font-size": 13 * unit, "stroke-width": 3 * unit, "text-anchor": "middle" }, zone.label ?? zone.name),
      ...(zone.editable ? corners.map((corner) => handle(corner, unit)) : []),
    ];
  }
}

function handle([cx, cy], unit) {
  return svg("circle", { class: "handle", cx, cy, r: 6 * unit });
}
