// Between images, RGBA bytes, and what the network sees and gives, float32 mostly in [-1, 1]. The steps are those of
// the Python package, in the same precision.

import { lightness, toRgb } from "./lab.js";

const BYTE_TO_VALUE = Float32Array.from({ length: 256 }, (_, byte) => Math.fround(byte / 127.5) - 1);

/** Returns a function that gives the number of the palette's nearest colour; of two as near, the first. */
export function classifier(palette) {
  const known = new Map();
  return (red, green, blue) => {
    const colour = (red << 16) | (green << 8) | blue;
    let found = known.get(colour);
    if (found === undefined) {
      const distances = palette.map(([r, g, b]) => (red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2);
      found = distances.indexOf(Math.min(...distances));
      known.set(colour, found);
    }
    return found;
  };
}

/** Returns how many values the network has for a pixel. */
export function depth({ kind, channels, palette }) {
  return { image: channels, labels: palette.length, lightness: 1, chroma: 2 }[kind];
}

/** Returns what the network sees of an image: (H, W, depth). */
export function toNetwork(rgba, encoding) {
  const count = depth(encoding);
  const values = new Float32Array((rgba.length / 4) * count);
  const write = writers(encoding);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += count) {
    write(values, to, rgba[from], rgba[from + 1], rgba[from + 2]);
  }
  return values;
}

function writers({ kind, channels, palette }) {
  if (kind === "labels") {
    const classOf = classifier(palette);
    return (values, to, ...colour) => {
      values.fill(-1, to, to + palette.length);
      values[to + classOf(...colour)] = 1;
    };
  }
  if (kind === "lightness") {
    return (values, to, ...colour) => {
      values[to] = lightness(...colour) / 50 - 1;
    };
  }
  if (channels === 1) {
    return (values, to, red, green, blue) => {
      values[to] = BYTE_TO_VALUE[Math.round(0.299 * red + 0.587 * green + 0.114 * blue)];
    };
  }
  return (values, to, red, green, blue) => {
    values[to] = BYTE_TO_VALUE[red];
    values[to + 1] = BYTE_TO_VALUE[green];
    values[to + 2] = BYTE_TO_VALUE[blue];
  };
}

/** Returns the image, RGBA bytes, that the network's values mean; `seen` is what it saw, (H, W, depth). */
export function toImage(values, encoding, seen) {
  const count = depth(encoding);
  // Rounds halves to even and clips, as the package does.
  const rgba = new Uint8ClampedArray((4 * values.length) / count).fill(255);
  const paint = painter(encoding, values, seen);
  for (let from = 0, to = 0; from < values.length; from += count, to += 4) {
    paint(rgba, to, from);
  }
  return rgba;
}

function painter({ kind, channels, palette }, values, seen) {
  const byte = (value) => Math.fround(Math.fround(value + 1) * 127.5);
  const clipped = (value) => Math.min(Math.max(value, -1), 1);
  switch (kind) {
    case "labels":
      return (rgba, to, from) => {
        const likely = values.subarray(from, from + palette.length);
        rgba.set(palette[likely.indexOf(Math.max(...likely))], to);
      };
    case "lightness":
      return (rgba, to, from) => rgba.set(toRgb((clipped(values[from]) + 1) * 50, 0, 0), to);
    case "chroma":
      return (rgba, to, from) => {
        const [a, b] = [clipped(values[from]) * 110, clipped(values[from + 1]) * 110];
        rgba.set(toRgb((seen[from / 2] + 1) * 50, a, b), to);
      };
    default: {
      const [green, blue] = channels === 1 ? [0, 0] : [1, 2];
      return (rgba, to, from) => {
        rgba[to] = byte(values[from]);
        rgba[to + 1] = byte(values[from + green]);
        rgba[to + 2] = byte(values[from + blue]);
      };
    }
  }
}
