// The newest picture of a camera, asked for only while it is in sight.

import { el } from "./dom.js";

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
  image.addEventListener("load", () => { image.hidden = false; });
  image.addEventListener("error", () => { image.hidden = true; });
  return image;
}

/** Show the newest picture of a camera if it is another, and somebody can see it. */
export function showPicture(image, camera) {
  if (image.parentElement) watcher.observe(image.parentElement);
  const stamp = String(camera.picture);
  if (camera.picture === null || camera.away || image.dataset.stamp === stamp || !inSight.has(image.parentElement)) return;
  image.dataset.stamp = stamp;
  image.src = `api/cameras/${encodeURIComponent(camera.name)}/picture?at=${encodeURIComponent(stamp)}`;
}
