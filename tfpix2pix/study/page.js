"use strict";

const study = JSON.parse(document.getElementById("study").textContent);
const address = new URLSearchParams(location.search);
const KEYS = { 1: 1, ArrowLeft: 1, 2: 2, ArrowRight: 2 };
const PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE";
const byId = (id) => document.getElementById(id);

// ---- Who sees what: the same arithmetic as in plan.py, which `score` draws the trials by again.

function fnv1a(text) {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  }
  return value;
}

function mulberry32(state) {
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return (word ^ (word >>> 14)) >>> 0;
  };
}

function draw(person) {
  const algorithm = person % study.algorithms.length;
  const pools = study.algorithms[algorithm];
  const random = mulberry32(fnv1a(`${study.seed}/${person}`));
  const below = (limit) => Math.floor((random() * limit) / 2 ** 32);
  const pick = (pairs, count) => {
    const left = [...pairs];
    for (let place = 0; place < count; place += 1) {
      const other = place + below(left.length - place);
      [left[place], left[other]] = [left[other], left[place]];
      left[place] = below(2) ? [...left[place]].reverse() : left[place];
    }
    return left.slice(0, count);
  };
  const practice = pools.practice.length;
  return { algorithm, practice, trials: [...pick(pools.practice, practice), ...pick(pools.test, study.trials)] };
}

function whoIsIt() {
  if (address.get("workerId")) {
    return fnv1a(address.get("workerId"));
  }
  if (address.has("person")) {
    const given = address.get("person");
    if (!/^\d{1,9}$/.test(given)) {
      throw new Error(`The page's address says person=${given}, which should be a whole number such as person=12.`);
    }
    return Number(given);
  }
  const person = recall("me") ?? crypto.getRandomValues(new Uint32Array(1))[0];
  keep("me", person);
  return person;
}

// ---- What outlives a reload. Browsers that forbid it just forget.

function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(`${study.study}/${name}`));
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(`${study.study}/${name}`, JSON.stringify(value));
  } catch {
    // The answers are in memory still.
  }
}

// ---- Showing

function view(name, step = "") {
  for (const section of document.querySelectorAll("section")) {
    section.hidden = section.id !== name;
    section.dataset.step = step;
  }
}

// The time is when the change is made: on a busy machine that may be long after the time that the frame is given.
const nextFrame = () => new Promise((resolve) => requestAnimationFrame(() => resolve(performance.now())));
const rounded = (milliseconds) => Math.round(milliseconds * 10) / 10;

// Waits for the frame that is nearest to the wanted time; returns when that was.
async function frameAfter(start, milliseconds) {
  let [before, now] = [start, start];
  do {
    before = now;
    now = await nextFrame();
  } while (now - start < milliseconds - Math.min(now - before, 1000 / 60) / 2);
  return now;
}

// Shows one image after the other; returns how long each was there, from the frame that showed it to the frame that
// no longer did.
async function showAll(stage) {
  const durations = [];
  let now = await nextFrame();
  for (const image of stage) {
    const start = await frameAfter(now, study.blank_ms);
    image.classList.add("shown");
    now = await frameAfter(start, study.picture_ms);
    image.classList.remove("shown");
    durations.push(rounded(now - start));
  }
  return durations;
}

const images = new Map();

// An image that is decoded before it is shown appears in one frame, whole.
async function load(name) {
  const image = new Image();
  image.alt = "";
  image.decoding = "sync";
  image.src = `images/${name}.png`;
  try {
    await image.decode();
  } catch {
    throw new Error(`The image ${name}.png could not be loaded. Please reload the page; your answers are kept.`);
  }
  images.set(name, image);
}

async function loadAll(names) {
  const bar = byId("loaded");
  const waiting = [...names];
  bar.max = waiting.length;
  const loadNext = async () => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      await load(name);
      bar.value += 1;
    }
  };
  await Promise.all(Array.from({ length: 6 }, loadNext));
  byId("loading").hidden = true;
}

// ---- One trial

let left = false;
window.addEventListener("blur", () => (left = true));
document.addEventListener("visibilitychange", () => (left ||= document.hidden));

function pressed(button) {
  button.focus({ preventScroll: true });
  return new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
}

function choice() {
  return new Promise((resolve) => {
    const over = new AbortController();
    const settle = (event, answer) => {
      over.abort();
      resolve({ answer, time: event.timeStamp });
    };
    const onKey = (event) => {
      const plain = !(event.repeat || event.ctrlKey || event.altKey || event.metaKey);
      if (plain && KEYS[event.key]) {
        event.preventDefault();
        settle(event, KEYS[event.key]);
      }
    };
    window.addEventListener("keydown", onKey, { signal: over.signal });
    for (const button of document.querySelectorAll("#question button")) {
      button.addEventListener("click", (event) => settle(event, Number(button.value)), { signal: over.signal });
    }
  });
}

async function ask(plan, record, number, save) {
  const practice = number < plan.practice;
  const [done, total] = practice ? [number, plan.practice] : [number - plan.practice, study.trials];
  byId("round").textContent = `${practice ? "Practice" : "Round"} ${done + 1} of ${total}`;
  Object.assign(byId("progress"), { value: done, max: total });
  const stage = plan.trials[number].map((name) => images.get(name));
  byId("stage").replaceChildren(...stage);

  // A trial that a reload broke off is there already: its images are not shown again.
  if (record.trials.length === number) {
    view("trial", "images");
    const trial = { practice, pictures: plan.trials[number], shown_ms: [null, null], left: true };
    record.trials.push(trial);
    save();
    await Promise.all(stage.map((image) => image.decode()));
    left = document.hidden;
    const shown = await showAll(stage);
    Object.assign(trial, { shown_ms: shown, left });
    save();
  }
  const trial = record.trials[number];
  view("trial", "question");
  const [asked, { answer, time }] = await Promise.all([nextFrame(), choice()]);
  Object.assign(trial, { answer, answer_ms: rounded(Math.max(0, time - asked)) });
  save();

  if (practice) {
    const fake = 1 + trial.pictures.findIndex((name) => study.algorithms[plan.algorithm].practice_fakes.includes(name));
    const right = answer === fake;
    byId("verdict").className = right ? "right" : "wrong";
    byId("verdict").textContent = `${right ? "✓ Right" : "✗ Wrong"}: the ${["first", "second"][fake - 1]} was the fake.`;
    view("trial", "feedback");
    await pressed(byId("next"));
  }
}

// ---- The end

function handOver(record) {
  const text = JSON.stringify(record);
  byId("text").value = text;
  byId("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  byId("download").download = `answers-${study.study}-${record.person}.json`;
  const host = address.get("turkSubmitTo") ?? "";
  // The form goes to Mechanical Turk alone, whatever the address says.
  if (address.get("assignmentId") && /^https:\/\/([a-z0-9-]+\.)+mturk\.com\/?$/.test(host)) {
    const form = byId("turk");
    form.action = `${host.replace(/\/$/, "")}/mturk/externalSubmit`;
    form.elements.assignmentId.value = address.get("assignmentId");
    form.elements.answers.value = text;
    form.hidden = false;
    byId("handover").textContent = "That was all. Please submit your answers.";
    byId("download").classList.remove("main");
  }
  view("done");
}

function fill() {
  const practice = study.algorithms[0].practice.length;
  // Two images, two blanks, and two seconds to answer.
  const minutes = Math.ceil(((practice + study.trials) * (2 * (study.picture_ms + study.blank_ms) + 2000)) / 60000);
  const texts = { practice, trials: study.trials, minutes: minutes === 1 ? "a minute" : `${minutes} minutes` };
  for (const place of document.querySelectorAll("[data-text]")) {
    place.textContent = texts[place.dataset.text];
  }
  document.querySelector("[data-practice]").hidden = practice === 0;
}

async function run() {
  fill();
  view("welcome");
  if (address.get("assignmentId") === PREVIEW) {
    byId("preview").hidden = false;
    byId("loading").hidden = true;
    return;
  }
  const person = whoIsIt();
  const plan = draw(person);
  const screenSize = { width: screen.width, height: screen.height, ratio: devicePixelRatio, inside: innerWidth };
  const record = recall(person) ?? {
    format: study.format,
    study: study.study,
    person,
    algorithm: plan.algorithm,
    started: new Date().toISOString(),
    screen: screenSize,
    trials: [],
  };
  const save = () => keep(person, record);
  if (!record.finished) {
    await loadAll(new Set(plan.trials.flat()));
    byId("start").disabled = false;
    byId("start").textContent = record.trials.length ? "Resume" : "Start";
    await pressed(byId("start"));
    for (let number = 0; number < plan.trials.length; number += 1) {
      if (record.trials[number]?.answer) {
        continue;
      }
      if (number === plan.practice && number > 0) {
        view("interlude");
        await pressed(byId("go"));
      }
      await ask(plan, record, number, save);
    }
    record.finished = new Date().toISOString();
    save();
  }
  handOver(record);
}

run().catch((error) => {
  byId("what").textContent = error.message;
  view("problem");
});
