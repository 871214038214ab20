"use strict";
// Makes pages quicker and kinder; each works without it. Words come from the page: there are none here.
(() => {
  const byId = (name) => document.getElementById(name);
  const say = (words) => { byId("live").textContent = words; };

  // --- a page that has just come

  let ticking = 0;
  const begin = () => {
    clearInterval(ticking);
    const left = document.querySelector("[data-left]");
    if (left !== null) {
      const end = performance.now() + 1000 * Number(left.dataset.left);
      ticking = setInterval(() => {
        const seconds = Math.max(Math.round((end - performance.now()) / 1000), 0);
        left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      }, 1000);
    }
    for (const box of document.querySelectorAll("[data-keys]")) box.checked = localStorage.getItem("fr-keys") !== "off";
    for (const one of document.querySelectorAll("[data-print], [data-full]")) one.hidden = false;
    filled();
  };

  // The code and the key of a class come behind the # of an address, which browsers send to nobody.
  const filled = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    const form = document.querySelector("form[data-fragment]");
    if (form === null || !(told.has("code") || told.has("key"))) return;
    for (const name of ["code", "key"]) if (told.has(name)) form.elements[name].value = told.get(name);
    history.replaceState(history.state, "", location.pathname + location.search);
  };

  document.addEventListener("htmx:after:swap", (event) => {
    if (event.target.closest?.("[data-live]")) return; // a part that follows events: the focus stays
    const head = document.querySelector("#page .refusal") ?? document.querySelector("#page h1");
    head?.focus();
    say(head?.textContent ?? "");
    begin();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) print();
    if (event.target.closest("[data-full]")) document.documentElement.requestFullscreen().catch(() => {});
  });

  // --- keys: an element names its own in aria-keyshortcuts

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-keys]")) localStorage.setItem("fr-keys", event.target.checked ? "on" : "off");
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || localStorage.getItem("fr-keys") === "off") return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, dialog")) return;
    if (["Enter", " "].includes(event.key) && event.target.closest("a, button, summary, input")) return;
    for (const one of document.querySelectorAll("#page [aria-keyshortcuts]")) {
      if (one.getAttribute("aria-keyshortcuts").split(" ").includes(event.key)) {
        event.preventDefault();
        one.click();
        return;
      }
    }
  });

  // --- a photo that is dropped

  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const zone = event.target.closest?.("[data-drop]");
      if (!zone) return;
      event.preventDefault();
      zone.classList.toggle("over", kind === "dragover");
      if (kind !== "drop" || event.dataTransfer.files.length === 0) return;
      const input = zone.querySelector("input[type=file]");
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      input.focus();
    });
  }

  // --- the connection is lost, or the session is over: the page stays, with what was typed

  // Forms with data-again may be sent twice: the server takes the same answer again.
  const resend = (ctx) => {
    const form = ctx?.sourceElement;
    if (form?.isConnected && form.matches("[data-again]")) form.requestSubmit(ctx.sourceEvent?.submitter ?? null);
  };

  let waiting = false;
  let unsent = null;
  const lost = async (ctx) => {
    unsent = ctx ?? unsent;
    if (waiting) return;
    waiting = true;
    byId("lost").hidden = false;
    say(byId("lost-words").textContent);
    for (;;) {
      await new Promise((done) => { setTimeout(done, 1000); });
      const answer = await fetch("/readyz", { cache: "no-store" }).catch(() => null);
      if (answer?.ok) break;
    }
    waiting = false;
    byId("lost").hidden = true;
    say(byId("live").dataset.back);
    const again = unsent;
    unsent = null;
    resend(again);
  };
  window.addEventListener("offline", () => lost(null));
  document.addEventListener("htmx:error", (event) => {
    if (event.detail.ctx?.response === undefined && event.detail.ctx !== undefined) lost(event.detail.ctx);
  });

  let interrupted = null;
  const again = async (ctx) => {
    interrupted = ctx;
    byId("again-refused").hidden = true;
    await htmx.ajax("GET", "/sign-in", { target: "#again-form", select: "#sign-in", swap: "innerHTML" });
    if (!byId("again").open) byId("again").showModal();
  };

  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail;
    if (ctx.response.status === 503) {
      event.preventDefault();
      lost(ctx);
    } else if (ctx.response.status === 401 && document.querySelector("[data-who]") !== null) {
      event.preventDefault();
      again(ctx);
    }
  });

  document.addEventListener("submit", async (event) => {
    if (event.target.closest("#again") === null) return;
    event.preventDefault();
    event.stopPropagation();
    const body = new URLSearchParams(new FormData(event.target));
    const answer = await fetch("/sign-in", { method: "POST", body, headers: { "fr-in-place": "1" } }).catch(() => null);
    if (answer?.status !== 204) {
      byId("again-refused").hidden = false;
      byId("again-refused").textContent = answer === null ? byId("lost-words").textContent : await answer.text();
      return;
    }
    if (answer.headers.get("fr-who") !== document.querySelector("[data-who]").dataset.who) {
      location.assign("/");
      return;
    }
    for (const field of document.querySelectorAll("#page input[name=token]")) field.value = answer.headers.get("fr-token");
    byId("again").close();
    byId("again-form").replaceChildren();
    resend(interrupted);
  }, { capture: true });

  begin();
})();
