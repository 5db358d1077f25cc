// Newest values appear without loading the page again, while it is looked at. Without this script: reload the page.
"use strict";

const PAUSE = 60_000;

function show(values) {
  for (const value of values) {
    const place = document.querySelector(`[data-live-key="${value.key}"]`);
    if (place === null || Number(place.dataset.liveSlot ?? 0) > value.slot) {
      continue;
    }
    place.dataset.liveSlot = value.slot;
    for (const part of ["energy", "when"]) {
      const shown = place.querySelector(`[data-live-${part}]`);
      // The same again would be read out again.
      if (shown.textContent !== value[part]) {
        shown.textContent = value[part];
      }
    }
  }
}

// What is made from the values, such as a picture of the last hours.
async function refresh() {
  for (const place of document.querySelectorAll("[data-refresh]")) {
    try {
      const response = await fetch(place.dataset.refresh, { credentials: "same-origin" });
      if (response.ok && !response.redirected) {
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const opened = place.querySelector("details[open]") !== null;
        place.replaceChildren(...page.body.childNodes);
        place.querySelector("details")?.toggleAttribute("open", opened);
      }
    } catch {
      // Not reached this time; the next values come.
    }
  }
}

function follow(section) {
  const on = section.querySelector("[data-live-on]");
  let since = section.dataset.liveSince;
  let source = null;
  let again = null;

  function stop() {
    clearTimeout(again);
    source?.close();
    source = null;
    on.hidden = true;
  }

  function start() {
    stop();
    source = new EventSource(`${section.dataset.live}&since=${since}`);
    source.onopen = () => {
      on.hidden = false;
    };
    source.onmessage = (event) => {
      since = event.lastEventId;
      show(JSON.parse(event.data));
      refresh();
    };
    source.onerror = () => {
      // The browser connects again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) {
        on.hidden = true;
        again = setTimeout(start, PAUSE);
      }
    };
  }

  function look() {
    if (document.visibilityState === "visible") {
      start();
    } else {
      stop();
    }
  }

  document.addEventListener("visibilitychange", look);
  look();
}

for (const section of document.querySelectorAll("[data-live]")) {
  follow(section);
}
