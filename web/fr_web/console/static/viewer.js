"use strict";
// Photos under one zoom: moves them together, changes between two at a calm pace, and draws the curtain. Without it,
// the radio buttons of the page still choose what is seen and how large, and each photo scrolls.
(() => {
  const SWAP_MS = 1000;
  const LEAST_MS = 400; // between two changes: below three flashes a second, WCAG 2.3.1
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const panes = (viewer) => [...viewer.querySelectorAll(".pane")].filter((one) => one.clientHeight > 0); // of a track, one
  const zooms = (viewer) => {
    const all = [...viewer.querySelectorAll("[name=zoom]")];
    return { all, at: all.findIndex((one) => one.checked) };
  };
  let places = new WeakMap(); // of the middle of each pane in its photo, where that is not the middle
  const led = new Set(); // panes that move because another one did
  let swapped = -LEAST_MS;
  let ticking = 0;

  // Of buttons of which one is chosen, the next one has a key, and so has the one before it.
  const keyed = (all, forward, back) => {
    const at = all.findIndex((one) => one.checked);
    for (const one of all) one.removeAttribute("aria-keyshortcuts");
    all[at + 1]?.setAttribute("aria-keyshortcuts", forward);
    all[at - 1]?.setAttribute("aria-keyshortcuts", back);
  };

  // A change keeps the middle of each photo where it is.
  const settled = (viewer) => {
    for (const pane of panes(viewer)) {
      const [x, y] = places.get(pane) ?? [0.5, 0.5];
      pane.scrollTo(x * pane.scrollWidth - pane.clientWidth / 2, y * pane.scrollHeight - pane.clientHeight / 2);
    }
    const { all, at } = zooms(viewer);
    const { larger, smaller } = all[at].closest("fieldset").dataset;
    keyed(all, larger, smaller);
    const track = viewer.querySelector(".track");
    if (track) keyed([...track.querySelectorAll("[name=shot]")], track.dataset.next, track.dataset.previous);
  };

  const stopped = () => {
    clearInterval(ticking);
    ticking = 0;
    for (const one of document.querySelectorAll("[data-flicker]")) one.ariaPressed = "false";
  };

  const swap = (viewer) => {
    if (performance.now() - swapped < LEAST_MS) return;
    swapped = performance.now();
    const right = viewer.querySelector("[value=right]");
    (right.checked ? viewer.querySelector("[value=left]") : right).checked = true;
    settled(viewer);
  };

  const begin = () => {
    stopped();
    places = new WeakMap();
    for (const one of document.querySelectorAll("[data-viewer] [data-scripted]")) one.hidden = false;
    for (const one of document.querySelectorAll("[data-viewer]")) settled(one);
  };

  // Where motion is not wanted, each press shows the other photo.
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest?.("[data-flicker]");
    if (!pressed) return;
    const viewer = pressed.closest("[data-viewer]"), goes = ticking !== 0;
    stopped();
    if (goes) return;
    swap(viewer);
    if (calm.matches) return;
    pressed.ariaPressed = "true";
    ticking = setInterval(() => swap(viewer), SWAP_MS);
  });

  document.addEventListener("change", (event) => {
    const viewer = event.target.closest?.("[data-viewer]");
    if (!viewer || !event.target.matches("[name=zoom], [name=view], [name=shot]")) return;
    if (event.target.name === "view") stopped();
    settled(viewer);
  });

  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-curtain]")) return;
    event.target.closest("[data-viewer]").querySelector(".stage").style.setProperty("--curtain", `${event.target.value}%`);
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
    for (const one of pane.closest(".track")?.querySelectorAll(".pane") ?? [pane]) places.set(one, middle(pane));
    if (led.delete(pane) || !viewer.querySelector("[data-linked]")?.checked) return;
    const [x, y] = places.get(pane).map((value, axis) => value - before[axis]);
    for (const other of panes(viewer).filter((one) => one !== pane)) {
      const [left, top] = [other.scrollLeft, other.scrollTop];
      led.add(other);
      other.scrollBy(x * other.scrollWidth, y * other.scrollHeight);
      if (other.scrollLeft === left && other.scrollTop === top) led.delete(other);
      for (const one of other.closest(".track")?.querySelectorAll(".pane") ?? [other]) places.set(one, middle(other));
    }
  }, { capture: true });

  let wheeled = 0;
  document.addEventListener("wheel", (event) => {
    const viewer = event.target.closest?.(".pane")?.closest("[data-viewer]");
    if (!viewer || !event.ctrlKey) return; // a page that scrolls stays one that scrolls
    event.preventDefault();
    if (event.timeStamp - wheeled < LEAST_MS / 2) return;
    wheeled = event.timeStamp;
    const { all, at } = zooms(viewer);
    all[at + (event.deltaY < 0 ? 1 : -1)]?.click();
  }, { passive: false });

  // A mouse drags what a finger scrolls. A photo that was dragged was not chosen.
  let held = null;
  let dragged = false;
  document.addEventListener("pointerdown", (event) => {
    const pane = event.target.closest?.(".pane");
    dragged = false;
    const moves = pane && event.target !== pane && pane.scrollHeight > pane.clientHeight;
    held = moves && event.pointerType === "mouse" && event.button === 0 ? { pane, x: event.clientX, y: event.clientY } : null;
  });
  document.addEventListener("pointermove", (event) => {
    if (held === null) return;
    const [x, y] = [held.x - event.clientX, held.y - event.clientY];
    dragged ||= Math.hypot(x, y) > 2;
    held.pane.scrollBy(x, y);
    Object.assign(held, { x: event.clientX, y: event.clientY });
  });
  for (const kind of ["pointerup", "pointercancel"]) document.addEventListener(kind, () => { held = null; });
  document.addEventListener("dragstart", (event) => { if (event.target.closest?.(".pane")) event.preventDefault(); });
  document.addEventListener("click", (event) => {
    if (dragged && event.target.closest(".pane button") !== null) event.preventDefault();
    dragged = false;
  }, { capture: true });

  document.addEventListener("htmx:after:swap", begin);
  begin();
})();
