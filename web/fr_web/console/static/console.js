"use strict";
// Makes pages quicker and kinder; each works without it. Words come from the page: there are none here.
(() => {
  const byId = (name) => document.getElementById(name);
  const say = (words) => { byId("live").textContent = words; };

  // --- a page that has just come

  const FOLLOWS = "#page [hx-sse\\:connect]";
  let ticking = 0;
  let end = 0;
  document.addEventListener("fr:left", (event) => { end = performance.now() + 1000 * event.detail; });
  // Times of the server are UTC; beside them stands that of this browser, if it is another.
  const local = () => {
    const how = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" };
    const clock = new Intl.DateTimeFormat(`${document.documentElement.lang}-u-nu-latn`, how);
    for (const one of document.querySelectorAll("time[datetime]:not([data-local])")) {
      const time = new Date(one.dateTime);
      one.dataset.local = "";
      if (time.getTimezoneOffset() !== 0) one.append(` (${clock.format(time)})`);
    }
  };

  const begin = () => {
    clearInterval(ticking);
    const left = document.querySelector("[data-left]");
    if (left !== null) {
      end = performance.now() + 1000 * Number(left.dataset.left);
      ticking = setInterval(() => {
        const seconds = Math.max(Math.round((end - performance.now()) / 1000), 0);
        left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      }, 1000);
    }
    for (const box of document.querySelectorAll("[data-keys]")) box.checked = localStorage.getItem("fr-keys") !== "off";
    for (const one of document.querySelectorAll("[data-print], [data-full]")) one.hidden = false;
    if (document.querySelector(FOLLOWS) === null) byId("stale").hidden = true;
    filled();
    local();
  };

  // Of what a wall shows, the newest part is in sight.
  const latest = async () => {
    const last = [...document.querySelectorAll(".projected section")].at(-1);
    if (last === undefined) return;
    await Promise.allSettled([...document.querySelectorAll(".projected img")].map((one) => one.decode()));
    last.scrollIntoView({ block: "nearest" });
  };

  // The code and the key of a class come behind the # of an address, which browsers send to nobody. After a refusal,
  // what was typed stays, which no answer of the server holds: all but a wrong key, which nobody could read.
  let typed = null;
  document.addEventListener("submit", (event) => {
    if (event.target.matches("#page form[data-fragment]")) typed = new FormData(event.target);
  }, { capture: true });
  const filled = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    const form = document.querySelector("#page form[data-fragment]");
    if (form !== null) {
      const { code, key } = form.elements;
      code.value = told.get("code") ?? (code.value || typed?.get("code") || "");
      key.value = told.get("key") ?? (key.value || (!key.matches("[aria-invalid]") && typed?.get("key")) || "");
      if (told.has("code") || told.has("key")) history.replaceState(history.state, "", location.pathname + location.search);
    }
    typed = null;
  };
  window.addEventListener("hashchange", filled);

  document.addEventListener("htmx:after:swap", (event) => {
    latest();
    if (event.target.closest?.("[data-live]")) { // a part that follows events: the focus stays
      local();
      return;
    }
    const head = document.querySelector("#page .refusal") ?? document.querySelector("#page h1");
    head?.focus();
    say(head?.textContent ?? "");
    begin();
  });

  // --- an answer that takes long

  const LONG_MS = 400;
  let asking = 0;
  document.addEventListener("htmx:before:request", () => {
    clearTimeout(asking);
    asking = setTimeout(() => {
      byId("busy").hidden = false;
      say(byId("busy-words").textContent);
    }, LONG_MS);
  });
  document.addEventListener("htmx:finally:request", () => {
    clearTimeout(asking);
    byId("busy").hidden = true;
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
    if (event.key === "Enter" && event.target.matches("[inputmode][aria-keyshortcuts]")) event.target.blur(); // keys answer again
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, dialog")) return;
    if (["Enter", " "].includes(event.key) && event.target.closest("a, button, summary, input")) return;
    for (const one of document.querySelectorAll("#page [aria-keyshortcuts]")) {
      if (one.getAttribute("aria-keyshortcuts").split(" ").includes(event.key)) {
        event.preventDefault();
        if (one.matches("[inputmode]")) {
          one.closest("details").open = true;
          one.focus();
        } else one.click();
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

  // --- many photos: one request for each, a few at a time, with what became of each as it comes

  const AT_ONCE = 3;
  const MOST_WAITS = 5;
  const LONGEST_WAIT_S = 5;
  const row = (told) => {
    const made = document.querySelector("#many template").content.cloneNode(true);
    const at = (name) => made.querySelector(`[data-${name}]`);
    at("file").textContent = told.file;
    at("subject").firstChild.textContent = told.subject;
    if (!told.refused) at("subject").href = `${byId("many").dataset.subject}?id=${encodeURIComponent(told.subject)}`;
    at(told.refused ? "yes" : "no").remove();
    at("words").textContent = told.refused;
    at("hints").textContent = told.hints.join(" ");
    if (told.similar.length === 0) at("similar").remove();
    else at("similar").querySelector("bdi").textContent = told.similar.join(", ");
    return made;
  };

  // A request for a page: it is sent again after the connection was lost, while the server has too much to do, or after
  // the session was over and somebody has signed in. Null if that is somebody else, or it is not going on.
  const ask = async (form, path, body, going) => {
    let waits = 0;
    while (going() && form.isConnected) {
      const answer = await fetch(path, { method: "POST", body: body(), headers: { accept: "application/json" } }).catch(() => null);
      const wait = answer?.status === 429 ? Number(answer.headers.get("retry-after")) : 0;
      if (answer === null || answer.status === 503) await lost(null);
      // A browser may not see why a long upload was refused: it asks again without one.
      const state = answer ?? await fetch(path, { headers: { accept: "application/json" } }).catch(() => null);
      if (state?.status === 401) {
        const before = form.elements.token.value;
        await again(null);
        if (form.elements.token.value === before) return null;
      } else if (wait > 0 && wait <= LONGEST_WAIT_S && waits < MOST_WAITS) {
        waits += 1;
        await new Promise((done) => { setTimeout(done, 1000 * wait); });
      } else if (answer !== null && answer.status !== 503) return answer;
    }
    return null;
  };

  const sent = async (form, file, going) => {
    const answer = await ask(form, form.action, () => {
      const body = new FormData(form);
      body.delete("photo");
      body.append("photo", file, file.name);
      return body;
    }, going);
    if (answer === null) return null;
    const told = await answer.json();
    return answer.ok ? told : { file: file.name, subject: "", refused: told.message, hints: [], similar: [] };
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form[data-many]")) return;
    event.preventDefault();
    event.stopPropagation();
    const place = byId("many"), photos = [...form.elements.photo.files], button = form.querySelector("button");
    const count = (name, number) => { place.querySelector(`[data-${name}]`).textContent = number; };
    const bar = place.querySelector("progress"), rows = place.querySelector("tbody");
    let next = 0, done = 0, refused = 0, stopped = false;
    rows.replaceChildren();
    bar.max = photos.length;
    place.hidden = false;
    place.querySelector("[data-stopped]").hidden = true;
    const stop = place.querySelector("[data-stop]");
    stop.hidden = false;
    stop.onclick = () => { stopped = true; };
    button.disabled = true;
    place.scrollIntoView();
    const show = () => {
      bar.value = done;
      count("done", done);
      count("total", photos.length);
      count("enrolled", done - refused);
      count("refused", refused);
    };
    show();
    const work = async () => {
      while (next < photos.length && !stopped) {
        const told = await sent(form, photos[next++], () => !stopped);
        if (told === null) return;
        done += 1;
        refused += told.refused ? 1 : 0;
        if (told.refused) rows.prepend(row(told));
        else rows.append(row(told));
        show();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    stop.hidden = true;
    place.querySelector("[data-stopped]").hidden = done === photos.length;
    button.disabled = false;
    say(place.querySelector("dl").innerText);
  }, { capture: true });

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
    if (waiting) {
      while (waiting) await new Promise((done) => { setTimeout(done, 500); });
      return;
    }
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
    document.dispatchEvent(new CustomEvent("fr:back"));
    resend(again);
  };
  window.addEventListener("offline", () => lost(null));
  document.addEventListener("htmx:error", (event) => {
    if (event.detail.ctx?.response === undefined && event.detail.ctx !== undefined) lost(event.detail.ctx);
  });

  let interrupted = null;
  let asked = null;
  const again = async (ctx) => {
    interrupted = ctx ?? interrupted;
    asked ??= new Promise((done) => { byId("again").addEventListener("close", done, { once: true }); });
    if (!byId("again").open) {
      byId("again-refused").hidden = true;
      byId("again").showModal();
      await htmx.ajax("GET", "/sign-in", { target: "#again-form", select: "#sign-in", swap: "innerHTML" });
    }
    await asked;
    asked = null;
  };

  // --- a part that follows events is old while they do not come

  document.addEventListener("htmx:sse:error", (event) => {
    const { connection, status } = event.detail;
    if (status === 401 && document.querySelector("[data-who]") !== null) again(null);
    else if (connection?.attempt > 0 && byId("stale").hidden) { // the stream broke, and does not open again
      byId("stale").hidden = false;
      say(byId("stale-words").textContent);
    }
  });
  document.addEventListener("htmx:sse:after:connection", () => {
    if (byId("stale").hidden) return;
    byId("stale").hidden = true;
    say(byId("live").dataset.back);
  });

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
    interrupted = null;
  }, { capture: true });

  globalThis.frConsole = { ask, say };
  begin();
  latest();
})();
