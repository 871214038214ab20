// Builds the form from /openapi.json, and sends calls with the key in the form. It keeps nothing.
"use strict";

const at = (id) => document.getElementById(id);
const DEEPEST = 4;
let api;

const resolve = (schema) => (schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema);

function typeOf(schema) {
  if (schema.$ref) return resolve(schema).enum ? resolve(schema).enum.join(" | ") : "object";
  if (schema.contentEncoding) return "bytes in base64";
  if (schema.type === "array") return "list of " + typeOf(schema.items);
  return schema.format || [schema.type].flat()[0];
}

// Yields path, schema and words of each field, those of messages inside too.
function* fieldsOf(schema, path, depth) {
  for (const [name, field] of Object.entries(schema.properties || {})) {
    yield { path: [...path, name], field };
    if (field.$ref && depth < DEEPEST) yield* fieldsOf(resolve(field), [...path, name], depth + 1);
  }
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const requestOf = (path) => resolve(api.paths[path].post.requestBody.content["application/json"].schema);

function choose() {
  const path = at("call").value;
  const fields = [...fieldsOf(requestOf(path), [], 0)];
  at("words").textContent = api.paths[path].post.description;
  const ids = fields.filter(({ path: p }) => p.length === 1 && p[0].endsWith("Id"));
  at("request").value = JSON.stringify(Object.fromEntries(ids.map(({ path: p }) => [p[0], ""])), null, 2);
  at("fields").replaceChildren(
    ...fields.map(({ path: p, field }) => {
      const row = document.createElement("tr");
      row.append(element("td", p.join(".")), element("td", typeOf(field)), element("td", field.description || ""));
      return row;
    }),
  );
  const files = fields.filter(({ field }) => field.contentEncoding);
  at("files").hidden = files.length === 0;
  at("files").replaceChildren(
    element("legend", "Files"),
    ...files.map(({ path: p }, i) => {
      const line = document.createElement("p");
      const input = element("input", "", { type: "file", id: `file-${i}`, "data-path": p.join(".") });
      line.append(element("label", p.join("."), { for: `file-${i}` }), input);
      return line;
    }),
  );
}

const base64 = (file) =>
  new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(file);
  });

async function withFiles(request) {
  for (const input of at("files").querySelectorAll("input")) {
    if (!input.files.length) continue;
    const path = input.dataset.path.split(".");
    let into = request;
    for (const step of path.slice(0, -1)) into = into[step] ??= {};
    into[path.at(-1)] = await base64(input.files[0]);
  }
  return request;
}

async function send(event) {
  event.preventDefault();
  const headers = { "Content-Type": "application/json", "Connect-Protocol-Version": "1" };
  if (at("key").value) headers.Authorization = "Bearer " + at("key").value.trim();
  at("status").textContent = "Waiting for the answer.";
  at("answer").textContent = "";
  const tell = (words) => (at("status").textContent = words);
  let body, answer, text, told;
  try {
    body = JSON.stringify(await withFiles(JSON.parse(at("request").value || "{}")));
  } catch (error) {
    return tell(`The request is not JSON, or a file cannot be read. ${error.message}`);
  }
  const begun = performance.now();
  try {
    answer = await fetch(at("call").value, { method: "POST", headers, body });
    text = await answer.text();
  } catch (error) {
    return tell(`The server did not answer. ${error.message}`);
  }
  const took = `${Math.round(performance.now() - begun)} ms`;
  try {
    told = JSON.parse(text);
  } catch {
    at("answer").textContent = text;
    return tell(`The answer is not JSON (status ${answer.status}): does a proxy stand before the server?`);
  }
  const reason = (told.details || []).map((one) => one.debug?.reason).find(Boolean);
  tell(answer.ok ? `Answered in ${took}.` : `Refused: ${reason || told.code}. ${told.message}`);
  at("answer").textContent = JSON.stringify(told, null, 2);
}

async function begin() {
  try {
    api = await (await fetch("/openapi.json")).json();
  } catch (error) {
    at("status").textContent = `The list of calls, /openapi.json, cannot be read: load the page again. ${error.message}`;
    return;
  }
  for (const tag of api.tags) {
    const group = document.createElement("optgroup");
    group.label = tag.name;
    for (const [path, { post }] of Object.entries(api.paths)) {
      if (post.tags[0] === tag.name) group.append(element("option", path.split("/").pop(), { value: path }));
    }
    if (group.children.length) at("call").append(group);
  }
  at("call").addEventListener("change", choose);
  at("form").addEventListener("submit", send);
  at("request").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.ctrlKey) at("form").requestSubmit();
  });
  choose();
}

begin();
