"use strict";
// Two photos under one zoom: moves both together, swaps them at a calm pace, and draws the curtain. Without it the
// radio buttons of the page still choose what is seen.
(() => {
  const LEAST_MS = 400; // between two swaps: below three flashes a second, WCAG 2.3.1
  const panes = (viewer) => [...viewer.querySelectorAll(".pane")];
  let swapped = 0;
  let places = new WeakMap();
  let led = null; // the pane that moves because the other one did

  const begin = () => {
    places = new WeakMap();
    for (const one of document.querySelectorAll("[data-viewer] [data-scripted]")) one.hidden = false;
  };

  document.addEventListener("click", (event) => {
    const viewer = event.target.closest?.("[data-viewer]");
    if (!viewer || event.target.closest("[data-flicker]") === null) return;
    if (performance.now() - swapped < LEAST_MS) return;
    swapped = performance.now();
    const shown = viewer.querySelector("[value=candidate]");
    (shown.checked ? viewer.querySelector("[value=probe]") : shown).checked = true;
  });

  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-curtain]")) return;
    const viewer = event.target.closest("[data-viewer]");
    viewer.querySelector(".stage").style.setProperty("--curtain", `${event.target.value}%`);
    viewer.querySelector("[value=curtain]").checked = true;
  });

  // A zoom keeps the middle of each photo where it is.
  document.addEventListener("change", (event) => {
    const viewer = event.target.closest?.("[data-viewer]");
    if (!viewer || !event.target.matches("[name=zoom], [name=view]")) return;
    for (const pane of panes(viewer)) {
      const [x, y] = places.get(pane) ?? [0.5, 0.5];
      pane.scrollTo(x * pane.scrollWidth - pane.clientWidth / 2, y * pane.scrollHeight - pane.clientHeight / 2);
    }
  });

  // Photos that move together keep their distance, so that one can be laid over the other first.
  document.addEventListener("scroll", (event) => {
    const pane = event.target;
    const viewer = pane.closest?.("[data-viewer]");
    if (!viewer || !pane.matches(".pane")) return;
    const middle = (one) => [
      (one.scrollLeft + one.clientWidth / 2) / one.scrollWidth,
      (one.scrollTop + one.clientHeight / 2) / one.scrollHeight,
    ];
    const before = places.get(pane) ?? [0.5, 0.5];
    places.set(pane, middle(pane));
    if (led === pane) {
      led = null;
      return;
    }
    if (!viewer.querySelector("[data-linked]").checked) return;
    const other = panes(viewer).find((one) => one !== pane);
    const moved = places.get(pane).map((value, axis) => value - before[axis]);
    const [left, top] = [other.scrollLeft, other.scrollTop];
    led = other;
    other.scrollBy(moved[0] * other.scrollWidth, moved[1] * other.scrollHeight);
    if (other.scrollLeft === left && other.scrollTop === top) led = null;
    places.set(other, middle(other));
  }, { capture: true });

  document.addEventListener("htmx:after:swap", begin);
  begin();
})();
