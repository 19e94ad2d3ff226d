// Drawings to start from, on a square of 72 units with lines of 2, as OpenMoji has them; drawn for this page.

const LINE = 2;
const UNITS = 72;

const dot = (x, y, radius) =>
  `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0z`;

export const EXAMPLES = [
  {
    name: "person",
    lines:
      "M17 62v-5c0-7.5 6-11 12.5-11c4 3.5 9 3.5 13 0c6.5 0 12.5 3.5 12.5 11v5" +
      "M23.5 27c0 10 5.5 17 12.5 17s12.5-7 12.5-17M23 31c-3-12 3-19.5 13-19.5S52 19 49 31" +
      "c-1-5-3-8-6-10c-4 4-13 5-18 4.5c-1 1.5-1.7 3-2 5.5zM31 37c2.5 2.5 7.5 2.5 10 0",
    dots: dot(30.5, 30, 1.8) + dot(41.5, 30, 1.8),
  },
  {
    name: "face",
    lines: dot(36, 36, 23) + "M25.5 41.5c2 5.5 5.8 8 10.5 8s8.5-2.5 10.5-8",
    dots: dot(28, 30.5, 3) + dot(44, 30.5, 3),
  },
  {
    name: "cat",
    lines:
      "M17 28V12.5L28.5 20q7.5-1.5 15 0L55 12.5V28c3.5 4.5 4.5 9 3.5 13.5C56.5 52 47.5 57.5 36 57.5" +
      "S15.5 52 13.5 41.5C12.5 37 13.5 32.5 17 28z" +
      "M36 46v2M28.5 48.5c1 3 6.5 3 7.5-.5c1 3.5 6.5 3.5 7.5.5" +
      "M6.5 39.5l13 2.5M8 49.5l12-3.5M65.5 39.5l-13 2.5M64 49.5l-12-3.5",
    dots: dot(27.5, 35, 2.7) + dot(44.5, 35, 2.7) + "M33 42.5h6L36 46z",
  },
  {
    name: "fish",
    lines:
      "M9 36c5-10 14.5-15.5 25-15.5c9 0 16 5.5 20.5 11.5L63 24c1.8 8 1.8 16 0 24l-8.5-8c-4.5 6-11.5 11.5-20.5 11.5" +
      "C23.5 51.5 14 46 9 36zM26 24c4 7.5 4 16.5 0 24M36 36c4.5-1.5 8-1 10.5 1c-2 3.5-5.5 5-9.5 4.5",
    dots: dot(18.5, 33, 2.2),
  },
  {
    name: "house",
    lines:
      "M14 34v25h44V34M8 38.5L36 13.5l28 25M47.5 23.5V15h7v15M30.5 59V45h11v14M19 41h7v7h-7zM46 41h7v7h-7z" +
      dot(36, 30, 3.5),
    dots: dot(39, 52.5, 1),
  },
  {
    name: "mug",
    lines:
      "M15 24h34v28a7 7 0 0 1-7 7H22a7 7 0 0 1-7-7zM49 31h4.5a7.5 7.5 0 0 1 7.5 7.5v3a7.5 7.5 0 0 1-7.5 7.5H49" +
      "M24 17c-2.5-3 2.5-4.5 0-7.5M32 17c-2.5-3 2.5-4.5 0-7.5M40 17c-2.5-3 2.5-4.5 0-7.5",
    dots: "",
  },
  {
    name: "mushroom",
    lines:
      "M9.5 37C10 22 21.5 12 36 12s26 10 26.5 25c0 5.5-53 5.5-53 0zM27.5 41v12.5a6.5 6.5 0 0 0 6.5 6.5h4" +
      "a6.5 6.5 0 0 0 6.5-6.5V41" +
      dot(25, 27, 4.5) + dot(43, 21.5, 3.5) + dot(50, 32.5, 3),
    dots: "",
  },
];

/** Draws an example as large as it fits in the middle of a canvas. */
export function drawExample({ lines, dots }, context, width, height) {
  const scale = Math.min(width, height) / UNITS;
  context.translate((width - UNITS * scale) / 2, (height - UNITS * scale) / 2);
  context.scale(scale, scale);
  context.lineWidth = LINE;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = "#000000";
  context.stroke(new Path2D(lines));
  context.fill(new Path2D(dots));
}

/** Returns an example as an SVG element. */
export function exampleIcon({ lines, dots }) {
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    return element;
  };
  const icon = make("svg", { viewBox: `0 0 ${UNITS} ${UNITS}`, "aria-hidden": "true" });
  const round = { "stroke-linecap": "round", "stroke-linejoin": "round" };
  const pen = { fill: "none", stroke: "#000", "stroke-width": LINE, ...round };
  icon.append(make("path", { d: lines, ...pen }), make("path", { d: dots, fill: "#000", stroke: "none" }));
  return icon;
}

/** Draws blocks of a label map's first classes, one in the other: something to start from where classes are drawn. */
export function drawBlocks(colours, context, width, height) {
  const [, wall = colours[0], opening = wall, detail = opening] = colours;
  context.fillStyle = wall;
  context.fillRect(width * 0.12, height * 0.1, width * 0.76, height * 0.9);
  for (const row of [0.2, 0.46, 0.72]) {
    for (const column of [0.2, 0.425, 0.65]) {
      context.fillStyle = row > 0.7 && column === 0.425 ? detail : opening;
      context.fillRect(width * column, height * row, width * 0.15, height * 0.17);
    }
  }
}
