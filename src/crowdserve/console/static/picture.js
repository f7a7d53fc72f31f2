// The newest picture of a camera, asked for only while it is in sight.

import { el } from "./dom.js";

const PATIENCE_MS = 10000; // after which a picture that has not come is asked for anew
const asked = new WeakMap();
const inSight = new WeakSet();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inSight.add(target);
    else inSight.delete(target);
  }
});

/** An image element; `showPicture` fills it. */
export function pictureElement(text) {
  const image = el("img", { alt: text, class: "picture", hidden: true });
  image.addEventListener("load", () => { image.hidden = false; asked.delete(image); });
  image.addEventListener("error", () => { image.hidden = true; asked.delete(image); });
  return image;
}

/** Show the newest picture of a camera if it is another, the last one has come, and somebody can see it. */
export function showPicture(image, camera) {
  if (image.parentElement) watcher.observe(image.parentElement);
  const stamp = String(camera.picture);
  if (camera.picture === null || camera.away || image.dataset.stamp === stamp || !inSight.has(image.parentElement)) return;
  if (Date.now() - (asked.get(image) ?? 0) < PATIENCE_MS) return; // another source would end what is on its way
  asked.set(image, Date.now());
  image.dataset.stamp = stamp;
  image.src = `api/cameras/${encodeURIComponent(camera.name)}/picture?at=${encodeURIComponent(stamp)}`;
}
