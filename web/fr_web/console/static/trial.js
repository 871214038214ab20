"use strict";
// Helps to look: zoom and pan of several pictures at once, flicker and curtain, drafts, the camera, the check of the
// screen. Each page works without it, and there are no words here.
(() => {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const MOST_ZOOM = 6;
  // Slower than three changes in a second, with a soft change: https://www.w3.org/WAI/WCAG22/quickref/#three-flashes-or-below-threshold
  const FLICKER_MS = 1000;

  // --- pictures that move together: `views` has how each group is seen

  const views = new WeakMap();
  const viewOf = (group) => {
    if (!views.has(group)) views.set(group, { zoom: 1, x: 0, y: 0, mode: "", timer: 0 });
    return views.get(group);
  };

  const apply = (group) => {
    const view = viewOf(group);
    const most = 50 * (view.zoom - 1);
    view.x = Math.min(Math.max(view.x, -most), most);
    view.y = Math.min(Math.max(view.y, -most), most);
    for (const name of ["zoom", "x", "y"]) group.style.setProperty(`--${name}`, String(view[name]));
    group.classList.toggle("looks-in", view.zoom > 1);
  };

  const zoomed = (group, factor) => {
    const view = viewOf(group);
    const zoom = Math.min(Math.max(view.zoom * factor, 1), MOST_ZOOM);
    view.x *= zoom / view.zoom;
    view.y *= zoom / view.zoom;
    view.zoom = zoom;
    apply(group);
  };

  const moved = (group, x, y) => {
    const view = viewOf(group);
    view.x += x;
    view.y += y;
    apply(group);
  };

  const turned = (group) => {
    const hidden = group.style.getPropertyValue("--over") === "0";
    group.style.setProperty("--over", hidden ? "1" : "0");
  };

  const overlaid = (group, mode) => {
    const view = viewOf(group);
    clearInterval(view.timer);
    // Without motion, each press shows the other picture.
    if (mode === "flicker" && view.mode === "flicker" && calm.matches && group.style.getPropertyValue("--over") !== "0") {
      turned(group);
      return;
    }
    view.mode = view.mode === mode ? "" : mode;
    group.classList.toggle("looks-over", view.mode !== "");
    for (const one of group.querySelectorAll("[aria-pressed]")) one.ariaPressed = String(one.dataset.look === view.mode);
    const curtain = group.querySelector("[data-curtain]");
    curtain.hidden = view.mode !== "curtain";
    group.style.setProperty("--curtain", view.mode === "curtain" ? `${curtain.querySelector("input").value}%` : "0%");
    group.style.setProperty("--over", "1");
    if (view.mode === "flicker" && !calm.matches) {
      view.timer = setInterval(() => {
        if (group.isConnected) turned(group);
        else clearInterval(view.timer);
      }, FLICKER_MS);
    }
  };

  const DONE = {
    in: (group) => zoomed(group, 1.5),
    out: (group) => zoomed(group, 1 / 1.5),
    left: (group) => moved(group, 10, 0),
    right: (group) => moved(group, -10, 0),
    up: (group) => moved(group, 0, 10),
    down: (group) => moved(group, 0, -10),
    whole: (group) => zoomed(group, 0),
    flicker: (group) => overlaid(group, "flicker"),
    curtain: (group) => overlaid(group, "curtain"),
  };

  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-look]");
    if (pressed !== null) DONE[pressed.dataset.look](pressed.closest("[data-looks]"));
  });

  document.addEventListener("input", (event) => {
    if (event.target.closest("[data-curtain]") === null) return;
    event.target.closest("[data-looks]").style.setProperty("--curtain", `${event.target.value}%`);
  });

  document.addEventListener("wheel", (event) => {
    const frame = event.target.closest?.("[data-frame]");
    if (!frame || !event.ctrlKey) return; // a page that scrolls stays one that scrolls
    event.preventDefault();
    zoomed(frame.closest("[data-looks]"), event.deltaY < 0 ? 1.2 : 1 / 1.2);
  }, { passive: false });

  let held = null;
  let dragged = false;
  document.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest?.(".looks-in [data-frame]");
    dragged = false;
    held = frame ? { frame, x: event.clientX, y: event.clientY } : null;
    if (frame && event.target.matches("img")) event.target.draggable = false;
  });
  document.addEventListener("pointermove", (event) => {
    if (held === null) return;
    const side = held.frame.getBoundingClientRect();
    moved(held.frame.closest("[data-looks]"), 100 * (event.clientX - held.x) / side.width, 100 * (event.clientY - held.y) / side.height);
    dragged ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > 2;
    held.x = event.clientX;
    held.y = event.clientY;
  });
  for (const kind of ["pointerup", "pointercancel"]) document.addEventListener(kind, () => { held = null; });
  // A picture that was moved was not chosen.
  document.addEventListener("click", (event) => {
    if (dragged && event.target.closest("button.look") !== null) event.preventDefault();
    dragged = false;
  }, { capture: true });

  // --- arrows go from one answer to the next, in the order in which they stand

  const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey || localStorage.getItem("fr-keys") === "off") return;
    if (event.target.closest("input, textarea, select, dialog, .wide")) return;
    const group = document.querySelector("#page [data-arrows]");
    if (group === null) return;
    const all = [...group.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    const middle = (all.length - 1) / 2;
    const next = at < 0 ? Math.floor(middle) : Math.min(Math.max(at + step, 0), all.length - 1);
    event.preventDefault();
    all[next].focus();
  });

  // --- notes are kept while they are typed

  const DRAFT_MS = 800;
  let waiting = 0;
  const keep = async (form) => {
    const told = form.querySelector("[data-saved]");
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.dataset.draft, { method: "POST", body }).catch(() => null);
    if (!form.isConnected) return;
    told.textContent = answer?.status === 204 ? told.dataset.saved : told.dataset.unsaved;
    const left = answer?.headers.get("fr-left");
    if (left) document.dispatchEvent(new CustomEvent("fr:left", { detail: Number(left) }));
  };
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-draft]");
    if (!form) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (form.isConnected) keep(form); }, DRAFT_MS);
  });
  document.addEventListener("submit", () => clearTimeout(waiting), { capture: true });

  // --- an own photo: the server does not keep it, so that this browser shows it until the trial is over

  const OWN = "fr-own-probe";
  const MOST_SIDE = 768;
  const kept = async (src) => {
    const photo = new Image();
    photo.src = src;
    await photo.decode();
    const scale = Math.min(1, MOST_SIDE / Math.max(photo.naturalWidth, photo.naturalHeight));
    const small = document.createElement("canvas");
    small.width = Math.round(photo.naturalWidth * scale);
    small.height = Math.round(photo.naturalHeight * scale);
    small.getContext("2d").drawImage(photo, 0, 0, small.width, small.height);
    return small.toDataURL("image/jpeg", 0.9);
  };
  const own = async () => {
    const trial = document.querySelector("#page [name=trial]")?.value ?? "";
    const store = JSON.parse(sessionStorage.getItem(OWN) ?? "null");
    if (store !== null && trial !== store.trial) sessionStorage.removeItem(OWN);
    const sent = document.querySelector("#page [data-sent]");
    if (sent !== null) {
      const photo = await kept(sent.querySelector("img").src).catch(() => null);
      if (photo !== null) sessionStorage.setItem(OWN, JSON.stringify({ trial, photo }));
      return;
    }
    for (const place of document.querySelectorAll("#page [data-own]")) {
      if (store === null || store.trial !== place.dataset.own) continue;
      place.querySelector("img").src = store.photo;
      place.querySelector("img").hidden = false;
      place.querySelector("[data-absent]").hidden = true;
    }
  };

  // --- the camera

  let stream = null;
  const closed = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
  };
  const said = (form, which) => {
    const told = form.querySelector("[data-refused]");
    told.textContent = which === "" ? "" : told.dataset[which];
  };
  const opened = async (form) => {
    closed();
    const found = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } }).catch(() => null);
    if (found === null) {
      said(form, "refused");
      return;
    }
    stream = found;
    const video = form.querySelector("video");
    form.querySelector("[data-live]").hidden = false;
    video.srcObject = stream;
    await video.play();
    form.querySelector("[data-shoot]").focus();
  };
  const taken = async (form) => {
    const video = form.querySelector("video");
    const photo = document.createElement("canvas");
    photo.width = video.videoWidth;
    photo.height = video.videoHeight;
    photo.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((done) => { photo.toBlob(done, "image/jpeg", 0.95); });
    closed();
    const data = new DataTransfer();
    data.items.add(new File([blob], "camera.jpg", { type: "image/jpeg" }));
    form.querySelector("input[type=file]").files = data.files;
    form.querySelector("[data-live]").hidden = true;
    said(form, "taken");
    form.querySelector("button:not([type=button])").focus();
  };
  document.addEventListener("click", (event) => {
    const form = event.target.closest?.("form[data-camera]");
    if (!form) return;
    if (event.target.closest("[data-open]")) opened(form);
    if (event.target.closest("[data-shoot]")) taken(form);
  });

  // --- the check of the screen: are both pictures there, and large enough

  const LEAST_PX = 240;
  const checked = () => {
    const place = document.querySelector("#page [data-device]");
    if (place === null) return;
    const told = place.querySelector("[data-fine]");
    const photos = [...place.querySelectorAll("img")];
    const seen = photos.every((one) => one.complete && one.naturalWidth > 0);
    const large = photos.every((one) => one.clientWidth >= LEAST_PX);
    told.textContent = told.dataset[seen ? large ? "fine" : "small" : "unseen"];
  };

  // --- a page that has just come

  const begin = () => {
    closed();
    for (const one of document.querySelectorAll("#page [data-tools]")) one.hidden = false;
    if (navigator.mediaDevices?.getUserMedia) for (const one of document.querySelectorAll("#page [data-open]")) one.hidden = false;
    own();
    checked();
  };
  document.addEventListener("htmx:after:swap", begin);
  window.addEventListener("load", checked);
  window.addEventListener("pagehide", closed);
  begin();
})();
