// A page that waits asks whether something has happened, and loads itself again when it has. Without this script the
// page is loaded again every few seconds.
"use strict";

const here = document.currentScript;
const PAUSE = 3000;

async function ask() {
  if (document.visibilityState === "visible") {
    try {
      const response = await fetch(here.dataset.progress, { credentials: "same-origin" });
      if (response.ok && !response.redirected && (await response.text()) !== here.dataset.token) {
        location.reload();
        return;
      }
    } catch {
      // Not reached this time; the next try may.
    }
  }
  setTimeout(ask, PAUSE);
}

setTimeout(ask, PAUSE);
