"use strict";
// Helps to answer: arrows, drafts, an own photo, the camera, the check of the screen. Each page works without it, and
// there are no words here.
(() => {
  // --- arrows go from one answer to the next, in the order in which they stand

  const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey || localStorage.getItem("fr-keys") === "off") return;
    if (event.target.closest("input, textarea, select, dialog, .wide") || event.target.matches(".pane")) return;
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
  window.addEventListener("online", () => { for (const form of document.querySelectorAll("#page form[data-draft]")) keep(form); });

  // --- the time left is the server's, which alone knows what counted while the connection was lost

  document.addEventListener("fr:back", async () => {
    const left = document.querySelector("#page [data-left]");
    if (left === null) return;
    const answer = await fetch(location.href).catch(() => null);
    const found = answer?.ok ? /data-left="(\d+)"/.exec(await answer.text()) : null;
    if (found !== null && left.isConnected) document.dispatchEvent(new CustomEvent("fr:left", { detail: Number(found[1]) }));
  });

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
    if (navigator.mediaDevices?.getUserMedia) for (const one of document.querySelectorAll("#page [data-open]")) one.hidden = false;
    own();
    checked();
  };
  document.addEventListener("htmx:after:swap", begin);
  window.addEventListener("load", checked);
  window.addEventListener("pagehide", closed);
  begin();
})();
