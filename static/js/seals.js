// A seal that waits for the ledger is asked for again until it has its answer. Without this script: reload the page.
"use strict";

const SECONDS = [1, 1, 2, 2, 3, 5, 8, 13, 21, 34];

function isWaiting(seal) {
  return seal.matches("a.seal-queued, a.seal-sent");
}

async function follow(seal, tries) {
  if (tries >= SECONDS.length) {
    return;
  }
  await new Promise((resolve) => setTimeout(resolve, SECONDS[tries] * 1000));
  let next = null;
  try {
    const response = await fetch(`${seal.getAttribute("href")}seal/`, { credentials: "same-origin" });
    if (response.ok && !response.redirected) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      next = page.querySelector(".seal");
    }
  } catch {
    // Not reached this time; the next try may.
  }
  if (next !== null) {
    seal.replaceWith(next);
  }
  const shown = next ?? seal;
  if (isWaiting(shown)) {
    follow(shown, tries + 1);
  }
}

for (const seal of document.querySelectorAll("a.seal")) {
  if (isWaiting(seal)) {
    follow(seal, 0);
  }
}
