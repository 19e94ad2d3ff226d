"use strict";

const byId = (id) => document.getElementById(id);
const [list, sort, order, filter, dialog] = ["cards", "sort", "order", "filter", "dialog"].map(byId);

// In the order that they were written in, which decides where values are equal.
const cards = Array.from(list.children, (element) => {
  const button = element.querySelector(".open");
  const values = Array.from(element.querySelectorAll("data"), (data) => Number(data.value));
  return { element, button, values, name: button.textContent };
});
const examples = Array.from(document.querySelectorAll("#examples .open"));
const FEW = matchMedia("(max-width: 40rem)").matches ? 6 : 12;
let ordered = cards;
let shown = cards;
let whole = false; // whether more than the first few are there
let current = null;
let opened = null; // the card that was opened, and the button that opened it

// ---- The order

const byName = new Intl.Collator("en", { numeric: true }).compare;
// No difference: that of two infinite ones is no number.
const compare = (one, other) => (one > other) - (one < other);

function arrange() {
  const place = sort.selectedIndex;
  const { better, note } = sort.options[place].dataset;
  const named = sort.value === "name";
  const ends = { lower: ["highest", "lowest"], higher: ["lowest", "highest"], zero: ["furthest from 0", "nearest to 0"] };
  const worst = ends[better] ?? [];
  order.disabled = named;
  for (const [number, option] of [...order.options].entries()) {
    option.textContent = named ? "A to Z" : `${option.value} first (${worst[number]})`;
  }
  const badness = { lower: (value) => value, higher: (value) => -value, zero: Math.abs }[better];
  const sign = order.value === "worst" ? -1 : 1;
  ordered = [...cards].sort((one, other) =>
    named ? byName(one.name, other.name) : sign * compare(badness(one.values[place]), badness(other.values[place])),
  );
  for (const { element } of cards) {
    for (const [number, value] of [...element.querySelector(".values").children].entries()) {
      value.classList.toggle("chosen", number === place);
    }
  }
  byId("note").textContent = note ?? "";
  byId("note").hidden = !note;
  narrow();
}

function narrow() {
  const wanted = filter.value.trim().toLowerCase();
  shown = ordered.filter((card) => card.name.toLowerCase().includes(wanted));
  // Taken out, not hidden: a browser takes seconds to hide thousands of cards with `content-visibility`.
  const few = whole ? shown : shown.slice(0, FEW);
  list.replaceChildren(...few.map((card) => card.element));
  byId("more").hidden = few.length === shown.length;
  byId("all").textContent = `Show all ${shown.length.toLocaleString("en")} images`;
  const all = `${cards.length.toLocaleString("en")} ${cards.length === 1 ? "image" : "images"}`;
  byId("count").textContent = wanted ? `${shown.length.toLocaleString("en")} of ${all}` : all;
  byId("nothing").hidden = shown.length > 0;
}

function choose() {
  arrange();
  const chosen = new URLSearchParams({ sort: sort.value });
  if (sort.value !== "name") {
    chosen.set("order", order.value);
  }
  history.replaceState(null, "", `#${chosen}`);
}

function showAll() {
  whole = true;
  narrow();
}

// Returns whether the address names an order; one that doesn't leaves the order that is there.
function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const known = Array.from(sort.options, (option) => option.value).includes(wanted.get("sort"));
  if (known) {
    sort.value = wanted.get("sort");
    order.value = wanted.get("order") === "best" ? "best" : "worst";
  }
  return known;
}

// ---- One image, large

function enlarge(card) {
  current = card;
  const place = shown.indexOf(card);
  byId("large-name").textContent = card.name;
  byId("place").textContent = `${place + 1} of ${shown.length}`;
  byId("previous").setAttribute("aria-disabled", place === 0);
  byId("next").setAttribute("aria-disabled", place === shown.length - 1);
  const parts = card.element.querySelectorAll(".trio, .values");
  byId("large").replaceChildren(...Array.from(parts, (part) => part.cloneNode(true)));
  if (!dialog.open) {
    dialog.showModal();
    byId("next").focus();
  }
  sharpen();
}

function open(card, button) {
  if (!shown.includes(card)) {
    filter.value = "";
    narrow();
  }
  opened = { card, button };
  enlarge(card);
}

function step(by) {
  const card = shown[shown.indexOf(current) + by];
  if (card) {
    enlarge(card);
  }
}

// Pixels that are larger than the screen's are shown as they are; smaller ones are blended.
function sharpen() {
  for (const image of document.querySelectorAll("#large img, #examples img")) {
    const [width, height] = ["width", "height"].map((side) => Number(image.getAttribute(side)));
    const scale = Math.min(image.clientWidth / width, image.clientHeight / height);
    image.classList.toggle("enlarged", scale * devicePixelRatio > 1);
  }
}

// ---- Who calls what

sort.addEventListener("change", choose);
order.addEventListener("change", choose);
filter.addEventListener("input", narrow);
window.addEventListener("hashchange", () => follow() && arrange());
window.addEventListener("resize", sharpen);
for (const [button, card] of [
  ...cards.map((card) => [card.button, card]),
  ...examples.map((button) => [button, cards[Number(button.dataset.card)]]),
]) {
  button.disabled = false;
  button.addEventListener("click", () => open(card, button));
}
byId("all").addEventListener("click", () => {
  showAll();
  shown[FEW].button.focus();
});
byId("clear").addEventListener("click", () => {
  filter.value = "";
  narrow();
  filter.focus();
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => dialog.close());
// The image that was looked at last has the focus, not the one that was opened first.
dialog.addEventListener("close", () => {
  if (current === opened.card) {
    opened.button.focus();
  } else {
    if (!current.button.isConnected) {
      showAll();
    }
    current.button.focus();
  }
});
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (dialog.open && by && !(event.ctrlKey || event.altKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    step(by);
  }
});
const copy = byId("copy");
copy?.addEventListener("click", async () => {
  const command = byId("command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    byId("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(command);
    byId("copied").textContent = "It is selected: copy it with the keyboard or the menu.";
  }
});
if (copy) {
  copy.hidden = false;
}
byId("controls").hidden = false;
follow();
arrange();
sharpen();
