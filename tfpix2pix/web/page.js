import { EXAMPLES, drawBlocks, drawExample, exampleIcon } from "./examples.js";
import { fit, onFile, read } from "./files.js";
import { Paper, SIDE, css } from "./paper.js";
import { Translator } from "./translator.js";

const { models, bytes } = JSON.parse(document.getElementById("config").textContent);
const wanted = new URLSearchParams(location.search).get("model");
const config = { ...(models.find(({ name }) => name === wanted) ?? models[0]), bytes };
const { palette, classes } = config.input;
const [, height, width] = config.shape;

const [drawing, result, ring, note, size, colour, chooser, undo, redo, both, save, swatches, strip] = [
  "drawing", "result", "ring", "note", "size", "colour", "chooser", "undo", "redo", "both", "save", "swatches", "strip",
].map((id) => document.getElementById(id));

const LINE = (2 / 72) * SIDE; // the width of OpenMoji's lines
// Who draws in flat colours wants a brush.
const sizes = { pen: Math.round(config.colours.length ? 2 * LINE : LINE), eraser: Math.round(3 * LINE) };
let tool = "pen";
let ink = firstInk();

/** Returns the second class of label maps, the first colour that is no grey, or black. */
function firstInk() {
  const bright = config.colours.find((value) => Math.max(...value) - Math.min(...value) > 96);
  return palette.length ? css(palette[1]) : bright ? css(bright) : "#000000";
}

// ---- The network

const translator = new Translator(config, {
  image: () => paper.image(),
  show(rgba, milliseconds) {
    result.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
    document.getElementById("state").hidden = true;
    document.getElementById("time").textContent = `${Math.round(milliseconds)} ms an image`;
    mark(save, true);
    mark(both, true);
  },
  progress(share) {
    document.getElementById("progress").value = share;
  },
  working(is) {
    document.body.dataset.state = is ? "working" : "ready";
  },
  problem(text) {
    document.body.dataset.state = "failed";
    document.getElementById("progress").hidden = true;
    const sentence = text.replace(/\.?$/, ".");
    document.getElementById("says").textContent = `The network can’t run here: ${sentence} Reload to try again.`;
    document.getElementById("state").hidden = false;
    document.getElementById("state").classList.add("wrong");
    mark(save, false);
    mark(both, false);
  },
});

const shownSide = document.querySelector(".sheet").clientWidth * devicePixelRatio;
const paper = new Paper(drawing, { height, width, palette }, shownSide, () => {
  mark(undo, paper.canUndo);
  mark(redo, paper.canRedo);
  translator.ask();
});

// A button that loses its use must not lose the focus as well.
function mark(button, usable) {
  button.setAttribute("aria-disabled", String(!usable));
}

function say(text) {
  note.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (note.textContent = ""), 6000);
}

// ---- Lines

/** Returns where an event is, in the paper's pixels. */
function place(event) {
  const box = drawing.getBoundingClientRect();
  const scale = drawing.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

let pointer;

drawing.addEventListener("pointerdown", (event) => {
  // 5 is the eraser at a pen's other end.
  if (pointer !== undefined || !event.isPrimary || ![0, 5].includes(event.button)) {
    return;
  }
  event.preventDefault();
  document.activeElement?.blur?.();
  const [x, y] = place(event);
  if (tool === "fill" && event.button === 0) {
    paper.fill(x, y, ink);
    return;
  }
  pointer = event.pointerId;
  drawing.setPointerCapture(pointer);
  const erases = tool === "eraser" || event.button === 5;
  paper.begin(x, y, erases ? paper.background : ink, erases ? sizes.eraser : sizes.pen);
});

drawing.addEventListener("pointermove", (event) => {
  moveRing(event);
  if (event.pointerId === pointer) {
    const moves = event.getCoalescedEvents?.() ?? [];
    paper.extend((moves.length ? moves : [event]).map(place));
  }
});

for (const name of ["pointerup", "pointercancel"]) {
  drawing.addEventListener(name, (event) => {
    if (event.pointerId === pointer) {
      pointer = undefined;
      paper.end();
    }
  });
}

drawing.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch draws
drawing.addEventListener("pointerleave", () => (ring.hidden = true));

function moveRing(event) {
  ring.hidden = event.pointerType === "touch" || tool === "fill";
  const box = drawing.getBoundingClientRect();
  ring.style.left = `${event.clientX - box.left}px`;
  ring.style.top = `${event.clientY - box.top}px`;
  ring.style.width = ring.style.height = shown(sizes[tool] ?? 0);
}

/** Returns how large a line of that width is on the screen. */
function shown(units) {
  return `${(units * paper.unit * drawing.clientWidth) / drawing.width}px`;
}

// ---- Tools

function choose(name) {
  tool = name;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
  size.disabled = name === "fill";
  size.value = sizes[name] ?? sizes.pen;
  resize();
}

function resize(value = Number(size.value)) {
  size.value = value;
  if (tool in sizes) {
    sizes[tool] = Number(size.value);
  }
  const dot = document.getElementById("dot");
  dot.style.width = dot.style.height = ring.style.width = ring.style.height = shown(Number(size.value));
}

function takeInk(value) {
  ink = colour.value = value;
  for (const swatch of swatches.children) {
    swatch.setAttribute("aria-pressed", String(swatch.value === value));
  }
  if (tool === "eraser") {
    choose("pen");
  }
}

function step(back) {
  if (back ? paper.canUndo : paper.canRedo) {
    paper[back ? "undo" : "redo"]();
    say(back ? "Undone" : "Done again");
  }
}

function saveCanvas(button, canvas, what) {
  if (button.getAttribute("aria-disabled") === "true") {
    return;
  }
  canvas().toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
    link.download = `${config.name}-${what}${time}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say("Saved as PNG");
  });
}

/** Returns a canvas with the drawing on its left and the answer on its right, both as large as the paper. */
function sideBySide() {
  const canvas = document.createElement("canvas");
  const gap = Math.round(drawing.width / 32);
  canvas.width = 2 * drawing.width + 3 * gap;
  canvas.height = drawing.height + 2 * gap;
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawing, gap, gap);
  context.imageSmoothingQuality = "high";
  context.drawImage(result, drawing.width + 2 * gap, gap, drawing.width, drawing.height);
  return canvas;
}

for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => choose(button.dataset.tool));
}
size.addEventListener("input", () => resize());
colour.addEventListener("input", () => takeInk(colour.value));
const actions = {
  undo: () => step(true),
  redo: () => step(false),
  clear: () => paper.clear(),
  open: () => chooser.click(),
  both: () => saveCanvas(both, sideBySide, "both-"),
  save: () => saveCanvas(save, () => result, ""),
};
for (const [id, action] of Object.entries(actions)) {
  document.getElementById(id).addEventListener("click", action);
}

const KEYS = {
  p: () => choose("pen"),
  e: () => choose("eraser"),
  f: () => choose("fill"),
  "[": () => resize(Number(size.value) - 4),
  "]": () => resize(Number(size.value) + 4),
  delete: actions.clear,
  o: actions.open,
  b: actions.both,
  s: actions.save,
};

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  const control = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
  if (pointer !== undefined) {
    return;
  }
  if (control && (key === "z" || key === "y")) {
    event.preventDefault();
    step(key === "z" && !event.shiftKey);
  } else if (!control && key in KEYS) {
    event.preventDefault();
    KEYS[key]();
  }
});

// ---- Images from elsewhere

onFile(chooser, async (file) => {
  try {
    const image = await read(file);
    paper.draw((context) => fit(image, { height, width, palette }, context));
    say(`Opened ${file.name}`);
  } catch {
    say(`${file.name} is no image that this browser can read`);
  }
});

// ---- What there is at the start

function addSwatch(value, name) {
  const swatch = document.createElement("button");
  const patch = document.createElement("i");
  swatch.type = "button";
  swatch.value = css(value);
  patch.style.background = swatch.value;
  if (name) {
    swatch.append(patch, name);
  } else {
    swatch.append(patch);
    swatch.title = swatch.value;
    swatch.setAttribute("aria-label", `Colour ${swatch.value}`);
  }
  swatch.addEventListener("click", () => takeInk(swatch.value));
  swatches.append(swatch);
}

function addExample(name, icon, draw) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = name;
  button.setAttribute("aria-label", name);
  button.append(icon);
  button.addEventListener("click", draw);
  strip.append(button);
}

/** Puts the examples that the model came with into the strip, and the first one on the paper. */
function startFromImages() {
  config.examples.forEach((url, number) => {
    const image = new Image();
    image.src = url;
    image.alt = "";
    const draw = (way) => paper[way]((context) => fit(image, { height, width, palette }, context));
    addExample(`Draw example ${number + 1}`, image, () => image.decode().then(() => draw("draw")));
    if (!number) {
      image.decode().then(() => paper.canUndo || draw("start"), () => {});
    }
  });
}

for (const { name } of models.length > 1 ? models : []) {
  const link = document.createElement("a");
  link.href = `?${new URLSearchParams({ model: name })}`;
  link.textContent = name;
  if (name === config.name) {
    link.setAttribute("aria-current", "page");
  }
  document.getElementById("models").append(link);
}
document.getElementById("models").hidden = models.length < 2;
document.getElementById("name").textContent = config.name;
document.getElementById("data").textContent = config.data;
document.title = `Draw: ${config.name}`;

result.width = width;
result.height = height;
document.querySelector(".colour").hidden = palette.length > 0;
palette.forEach((value, number) => addSwatch(value, classes[number] ?? css(value)));
config.colours.forEach((value) => addSwatch(value));
swatches.hidden = !swatches.children.length;
swatches.classList.toggle("plain", !palette.length);
if (config.examples.length) {
  startFromImages();
} else if (palette.length) {
  paper.start((...surface) => drawBlocks(palette.map(css), ...surface));
} else {
  for (const example of EXAMPLES) {
    addExample(`Draw a ${example.name}`, exampleIcon(example), () =>
      paper.draw((...surface) => drawExample(example, ...surface)),
    );
  }
  paper.start((...surface) => drawExample(EXAMPLES[0], ...surface));
}
document.getElementById("examples").hidden = !strip.children.length;
takeInk(ink);
mark(save, false);
mark(both, false);
choose("pen");
addEventListener("resize", () => resize());
