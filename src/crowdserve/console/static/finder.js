// Which cameras of a large site are shown: by a part of the name, or those that somebody should look at.

import { byId, setText } from "./dom.js";

const FEW = 8; // so many are looked at without a search

/** Call a function whenever something else is searched for. */
export function onSearch(changed) {
  byId("finder").addEventListener("input", changed);
  byId("finder").addEventListener("submit", (event) => event.preventDefault());
}

/** Whether a camera is one of those that are searched for. */
export function isWanted(name, needsAttention) {
  const found = name.toLowerCase().includes(byId("find").value.trim().toLowerCase());
  return found && (byId("kind").value !== "attention" || needsAttention);
}

/** Say how many of all cameras are shown. */
export function showFound(shown, all) {
  byId("finder").hidden = all <= FEW && shown === all;
  setText(byId("found"), shown === all ? `${all} cameras` : `${shown} of ${all} cameras`);
}
