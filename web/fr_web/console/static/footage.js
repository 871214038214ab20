"use strict";
// Sends a video file in chunks, and goes on where an upload broke off. Without it, the form sends a small file whole.
(() => {
  const { ask, say } = globalThis.frConsole;
  const PIECE = 4 * 1024 * 1024; // bytes that are read at once

  // SHA-256 of a file that is read in pieces, which the browser's own function cannot do: FIPS 180-4.
  const PRIMES = [];
  for (let one = 2; PRIMES.length < 64; one += 1) if (PRIMES.every((prime) => one % prime !== 0)) PRIMES.push(one);
  const fraction = (value) => ((value - Math.floor(value)) * 2 ** 32) | 0;
  const ROUNDS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
  const digest = () => {
    const state = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
    const words = new Int32Array(64);
    let rest = new Uint8Array(0), length = 0;
    const block = (view, at) => {
      for (let i = 0; i < 16; i += 1) words[i] = view.getInt32(at + 4 * i);
      for (let i = 16; i < 64; i += 1) {
        const x = words[i - 15], y = words[i - 2];
        const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        words[i] = words[i - 16] + low + words[i - 7] + high;
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i += 1) {
        const high = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const first = (h + high + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
        const low = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const second = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
      }
      [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] += value; });
    };
    const add = (bytes) => {
      const all = new Uint8Array(rest.length + bytes.length);
      all.set(rest);
      all.set(bytes, rest.length);
      const view = new DataView(all.buffer);
      let at = 0;
      for (; at + 64 <= all.length; at += 64) block(view, at);
      rest = all.slice(at);
      length += bytes.length;
    };
    const end = () => {
      const bits = length * 8, padding = new Uint8Array(((119 - (length % 64)) % 64) + 9);
      padding[0] = 0x80;
      const view = new DataView(padding.buffer);
      view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
      view.setUint32(padding.length - 4, bits >>> 0);
      add(padding);
      return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
    };
    return { add, end };
  };

  const hashOf = async (file, show) => {
    const made = digest();
    for (let at = 0; at < file.size && show(at / file.size); at += PIECE) {
      made.add(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
    }
    return made.end();
  };

  // An answer of the server as JSON; null if somebody stopped, or signed in as somebody else.
  const told = async (form, path, fields, blob, going) => {
    const answer = await ask(form, path, () => {
      const body = new FormData();
      body.append("token", form.elements.token.value);
      for (const [name, value] of Object.entries(fields)) body.append(name, value);
      if (blob) body.append("file", blob, "chunk");
      return body;
    }, going);
    if (answer === null) return null;
    const found = await answer.json();
    return answer.ok ? found : { refused: found.message };
  };

  const send = async (form, file, place, going) => {
    const bar = place.querySelector("progress");
    const show = (part) => { bar.value = part; return going(); };
    place.querySelector("[data-reading]").hidden = false;
    place.querySelector("[data-sending]").hidden = true;
    const sha256 = await hashOf(file, show);
    if (!going()) return null;
    place.querySelector("[data-reading]").hidden = true;
    place.querySelector("[data-sending]").hidden = false;
    say(place.querySelector("[data-sending]").textContent);
    let found = await told(form, "/footage", { sha256, size: file.size }, null, going);
    const chunk = found?.chunk;
    while (found !== null && !found.refused && found.received < file.size && show(found.received / file.size)) {
      const piece = file.slice(found.received, found.received + chunk);
      found = await told(form, `/footage/${found.video}`, { offset: found.received }, piece, going);
    }
    return found;
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form[data-footage]")) return;
    event.preventDefault();
    event.stopPropagation();
    const place = document.getElementById("sending"), refused = place.querySelector("[data-refused]");
    const button = form.querySelector("button"), stop = place.querySelector("[data-stop]");
    let stopped = false;
    stop.onclick = () => { stopped = true; };
    place.hidden = false;
    refused.hidden = true;
    button.disabled = true;
    const going = () => !stopped && form.isConnected;
    const found = await send(form, form.elements.file.files[0], place, going)
      .catch((error) => ({ refused: String(error.message) })); // the file cannot be read any more
    button.disabled = false;
    if (found !== null && found.refused) {
      refused.textContent = found.refused;
      refused.hidden = false;
      refused.focus();
    } else if (found !== null && going()) {
      location.assign(`/footage/${found.video}`);
    } else place.hidden = true;
  }, { capture: true });
})();
