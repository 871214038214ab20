// Plays a lesson: shows its parts, asks each question, gives the reasons after the answer, and reports everything to
// the learning platform, by SCORM 2004 or cmi5. It connects only to the platform.
"use strict";

const lesson = JSON.parse(document.getElementById("lesson").textContent);
const began = Date.now();
const period = (since) => `PT${((Date.now() - since) / 1000).toFixed(2)}S`;
const letter = (option) => "abcdefgh"[option];
const share = (right) => Number((right / lesson.parts.length).toFixed(4));

// --- SCORM 2004: the platform has an object in a window above this one, or in the one that opened it

function scorm() {
  const above = (frame) => {
    try {
      for (let depth = 0; frame && depth < 100; depth += 1) {
        if (frame.API_1484_11) return frame.API_1484_11;
        frame = frame.parent === frame ? null : frame.parent;
      }
    } catch {} // a page of another host
    return null;
  };
  const api = above(window) ?? above(window.opener);
  const call = (name, ...values) => {
    if (String(api[name](...values)) !== "true") throw new Error(`${name} ${values[0]}: ${api.GetLastError()}`);
  };
  const get = (key) => String(api.GetValue(`cmi.${key}`));
  const set = (key, value) => call("SetValue", `cmi.${key}`, String(value));
  return {
    counts: true,
    mastery: lesson.mastery,
    async start() {
      if (!api) throw new Error("There is no API_1484_11.");
      call("Initialize", "");
      this.counts = !["browse", "review"].includes(get("mode"));
      const least = get("scaled_passing_score");
      if (least !== "") this.mastery = Number(least);
      if (this.counts && get("completion_status") !== "completed") set("completion_status", "incomplete");
      return get("entry") === "resume" ? get("suspend_data") : "";
    },
    async answer(part, option, since) {
      const one = `interactions.${get("interactions._count")}`;
      set(`${one}.id`, `${lesson.id}-${part.id}`);
      set(`${one}.type`, "choice");
      set(`${one}.timestamp`, `${new Date().toISOString().slice(0, 22)}Z`);
      set(`${one}.correct_responses.0.pattern`, letter(part.right));
      set(`${one}.learner_response`, letter(option));
      set(`${one}.result`, option === part.right ? "correct" : "incorrect");
      set(`${one}.latency`, period(since));
      set(`${one}.description`, `{lang=${lesson.language}}${part.question.slice(0, 250)}`);
    },
    async finish(right, passed) {
      set("score.min", 0);
      set("score.max", lesson.parts.length);
      set("score.raw", right);
      set("score.scaled", share(right));
      set("completion_status", "completed");
      if (passed !== null) set("success_status", passed ? "passed" : "failed");
    },
    async save(text, done, place) {
      if (this.counts) set("progress_measure", share(done));
      set("location", place);
      set("suspend_data", text);
      call("Commit", "");
    },
    async leave(isDone) {
      set("exit", isDone ? "normal" : "suspend");
      set("session_time", period(began));
      call("Commit", "");
      call("Terminate", "");
    },
  };
}

// --- cmi5: the address of this page says where the platform takes statements

function cmi5() {
  const given = new URLSearchParams(location.search);
  const activityId = given.get("activityId");
  const registration = given.get("registration");
  const headers = { "Content-Type": "application/json", "X-Experience-API-Version": "1.0.3" };
  let actor, launch;
  const call = async (path, query, method = "GET", body = undefined) => {
    const address = new URL(path, given.get("endpoint").replace(/\/?$/, "/"));
    for (const [name, value] of Object.entries(query)) address.searchParams.append(name, value);
    const answer = await fetch(address, { method, headers, body, keepalive: method !== "GET" });
    if (answer.status === 404 && method === "GET") return null;
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
    return answer;
  };
  const state = (stateId) => ({ activityId, agent: JSON.stringify(actor), registration, stateId });
  const id = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const digits = Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  const say = (verb, more = {}, categories = []) => {
    const context = structuredClone(launch.contextTemplate ?? {});
    Object.assign(context, { registration });
    if (categories.length) {
      const about = (context.contextActivities ??= {});
      const added = categories.map((one) => ({ id: `https://w3id.org/xapi/cmi5/context/categories/${one}` }));
      about.category = [].concat(about.category ?? [], added);
    }
    if (categories.includes("moveon") && launch.masteryScore !== undefined && verb !== "completed") {
      const key = "https://w3id.org/xapi/cmi5/context/extensions/masteryscore";
      context.extensions = { ...context.extensions, [key]: launch.masteryScore };
    }
    const statement = {
      id: id(),
      timestamp: new Date().toISOString(),
      actor,
      verb: { id: `http://adlnet.gov/expapi/verbs/${verb}`, display: { en: verb } },
      object: { objectType: "Activity", id: activityId },
      context,
      ...more,
    };
    return call("statements", {}, "POST", JSON.stringify(statement));
  };
  return {
    counts: true,
    mastery: lesson.mastery,
    async start() {
      if (!given.get("fetch")) throw new Error("The address has no launch parameters.");
      actor = JSON.parse(given.get("actor"));
      const token = await (await fetch(given.get("fetch"), { method: "POST" })).json();
      if (!token["auth-token"]) throw new Error("The platform gave no token.");
      headers.Authorization = `Basic ${token["auth-token"]}`;
      launch = await (await call("activities/state", state("LMS.LaunchData"))).json();
      const preferences = { agent: JSON.stringify(actor), profileId: "cmi5LearnerPreferences" };
      await call("agents/profile", preferences).catch(() => null); // cmi5 wants it read; a package has one language
      this.counts = launch.launchMode === "Normal";
      this.mastery = launch.masteryScore ?? null;
      await say("initialized", {}, ["cmi5"]);
      const kept = await call("activities/state", state("lesson"));
      return kept ? kept.text() : "";
    },
    async answer(part, option, since) {
      const words = (text) => ({ [lesson.language]: text });
      const definition = {
        type: "http://adlnet.gov/expapi/activities/cmi.interaction",
        interactionType: "choice",
        name: words(part.title),
        description: words(part.question),
        correctResponsesPattern: [letter(part.right)],
        choices: part.options.map((text, place) => ({ id: letter(place), description: words(text) })),
      };
      const object = { objectType: "Activity", id: `${activityId}/${part.id}`, definition };
      const result = { response: letter(option), success: option === part.right, duration: period(since) };
      await say("answered", { object, result });
    },
    async finish(right, passed, kept) {
      const duration = period(began);
      if (passed !== null && kept.passed === undefined) {
        const result = { success: passed, score: { scaled: share(right) }, duration };
        await say(passed ? "passed" : "failed", { result }, ["cmi5", "moveon"]);
        kept.passed = passed; // at once, so that a retry does not send it twice
      }
      if (!kept.completed) {
        await say("completed", { result: { completion: true, duration } }, ["cmi5", "moveon"]);
        kept.completed = true;
      }
    },
    async save(text) {
      await call("activities/state", state("lesson"), "PUT", text);
    },
    async leave(isDone, mayGo) {
      await say("terminated", { result: { duration: period(began) } }, ["cmi5"]);
      if (mayGo && launch.returnURL) location.assign(launch.returnURL);
    },
  };
}

// --- the page

const platform = { "scorm-2004": scorm, cmi5 }[lesson.format]();
const sections = [...document.querySelectorAll("main > section")]; // one for each part, and the end
const note = document.getElementById("note");
const leave = document.getElementById("leave");
let kept = { at: 0, answers: {} };
let isOpen = false;
let since = began;
let last = Promise.resolve();

// Runs tasks one after another. If the platform refuses one, a note says so, and the trainee can repeat the step.
function run(work) {
  last = last.then(work).then(
    () => {},
    (error) => {
      console.error(error);
      tell(lesson.words[isOpen ? "lost" : "shut"]);
    },
  );
}

function tell(words) {
  note.textContent = words;
  note.hidden = !words;
}

function show() {
  since = Date.now();
  sections.forEach((section, place) => (section.hidden = place !== kept.at));
  sections[kept.at].querySelector("h2").focus();
}

function fill(section, part) {
  const chosen = kept.answers[part.id];
  const isAnswered = chosen !== undefined;
  section.querySelectorAll("input").forEach((one, place) => {
    one.disabled = isAnswered;
    if (isAnswered) one.checked = place === chosen;
  });
  section.querySelectorAll(".reason").forEach((one) => (one.hidden = !isAnswered));
  section.querySelector("form button").hidden = isAnswered;
  section.querySelector(".next").hidden = !isAnswered;
  if (isAnswered) {
    section.querySelector("[role=status]").textContent = lesson.words[chosen === part.right ? "right" : "wrong"];
  }
}

const rightOnes = () => lesson.parts.filter((part) => kept.answers[part.id] === part.right).length;

function fillEnd() {
  const end = sections.at(-1);
  end.querySelector(".result").textContent = lesson.results[rightOnes()];
  const verdict = kept.passed ? "passed" : "failed";
  end.querySelector(".verdict").textContent = kept.passed === undefined ? "" : lesson.words[verdict];
}

async function keep() {
  const answered = Object.keys(kept.answers).length;
  await platform.save(JSON.stringify(kept), answered, lesson.parts[kept.at]?.id ?? "end");
}

async function answer(section, part, option) {
  if (kept.answers[part.id] !== undefined || !isOpen) return;
  if (platform.counts) await platform.answer(part, option, since);
  kept.answers[part.id] = option;
  fill(section, part);
  section.querySelector(".next").focus();
  if (platform.counts) await keep();
  tell("");
}

async function go(by) {
  if (!isOpen) return;
  const at = kept.at + by;
  if (at === lesson.parts.length && !kept.done) {
    const passed = platform.mastery === null ? null : rightOnes() / lesson.parts.length >= platform.mastery;
    if (platform.counts) await platform.finish(rightOnes(), passed, kept);
    if (passed !== null) kept.passed ??= passed;
    Object.assign(kept, { done: true, completed: true });
  }
  kept.at = at;
  fillEnd();
  show();
  if (platform.counts) await keep();
  tell("");
}

async function end(mayGo) {
  if (!isOpen) return;
  isOpen = false; // before the request, so that it is sent only once
  try {
    if (mayGo && platform.counts) await keep();
    await platform.leave(Boolean(kept.done), mayGo);
  } catch (error) {
    isOpen = true;
    throw error;
  }
  sections.forEach((one) => (one.hidden = true));
  leave.hidden = true;
  tell(lesson.words[platform.counts ? "left" : "left_unsaved"]);
}

function read(text) {
  const found = JSON.parse(text || "{}");
  const known = lesson.parts.filter((part) => part.options[found.answers?.[part.id]] !== undefined);
  const answers = Object.fromEntries(known.map((part) => [part.id, found.answers[part.id]]));
  const isAgain = found.done && (found.passed === false || known.length < lesson.parts.length);
  if (isAgain) return { at: 0, answers: {}, completed: true, ...(found.passed && { passed: true }) }; // a further try
  const first = lesson.parts.findIndex((part) => answers[part.id] === undefined);
  const at = Number.isInteger(found.at) && found.at > 0 ? found.at : 0;
  return { ...found, answers, at: Math.min(at, first < 0 ? lesson.parts.length : first) };
}

lesson.parts.forEach((part, place) => {
  const section = sections[place];
  const form = section.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const option = Number(new FormData(form).get("answer"));
    run(() => answer(section, part, option));
  });
});
document.querySelectorAll(".next").forEach((one) => one.addEventListener("click", () => run(() => go(1))));
document.querySelectorAll(".back").forEach((one) => one.addEventListener("click", () => run(() => go(-1))));
leave.addEventListener("click", () => run(() => end(true)));
window.addEventListener("pagehide", () => end(false).catch(() => {})); // nobody is there to read a refusal
window.addEventListener("pageshow", (event) => event.persisted && tell(lesson.words.shut));

run(async () => {
  const text = await platform.start();
  isOpen = true;
  try {
    kept = read(text);
  } catch {} // the platform cut it off: start from the beginning
  lesson.parts.forEach((part, place) => fill(sections[place], part));
  fillEnd();
  if (!platform.counts) leave.textContent = lesson.words.leave_unsaved;
  leave.hidden = false;
  show();
});
