// What is drawn on: a canvas finer than what the network sees, so that lines look smooth on any screen.

import { flood } from "./fill.js";
import { classifier } from "./pixels.js";

export const SIDE = 512; // of the paper, in the units of lines' widths; at least so many pixels
const MOST = 1024; // pixels of its side, on screens that show so many
const KEPT_BYTES = 128 << 20; // of drawings to go back to

export class Paper {
  #context;
  #scale;
  #classOf; // of label maps: the class of a colour. These have no mixed colours.
  #palette;
  #changed;
  #done = [];
  #undone = [];
  #stroke;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{height: number, width: number, palette: number[][]}} network what it sees; the palette of label maps.
   * @param {number} shown how many pixels of the screen its longer side takes.
   * @param {() => void} changed is called whenever something else is on the paper.
   */
  constructor(canvas, { height, width, palette }, shown, changed) {
    const longer = Math.max(height, width);
    this.#scale = Math.max(1, Math.round(Math.min(Math.max(shown, SIDE), MOST) / longer));
    this.unit = (longer * this.#scale) / SIDE;
    canvas.width = width * this.#scale;
    canvas.height = height * this.#scale;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#palette = palette;
    this.#classOf = palette.length ? classifier(palette) : undefined;
    this.#changed = changed;
    this.background = palette.length ? css(palette[0]) : "#ffffff";
    this.#blank();
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** Returns what the network sees, as RGBA bytes: the mean of the paper's pixels, or one of them in label maps. */
  image() {
    const { data, width, height } = this.#everything();
    const scale = this.#scale;
    const count = scale * scale;
    const small = new Uint8ClampedArray(data.length / count).fill(255);
    for (let row = 0, to = 0; row < height; row += scale) {
      for (let column = 0; column < width; column += scale, to += 4) {
        const corner = 4 * (row * width + column);
        let [red, green, blue] = [0, 0, 0];
        for (let y = 0; y < scale; y++) {
          const start = corner + 4 * y * width;
          for (let from = start; from < start + 4 * scale; from += 4) {
            red += data[from];
            green += data[from + 1];
            blue += data[from + 2];
          }
        }
        small[to] = this.#classOf ? data[corner] : Math.floor(red / count + 0.5);
        small[to + 1] = this.#classOf ? data[corner + 1] : Math.floor(green / count + 0.5);
        small[to + 2] = this.#classOf ? data[corner + 2] : Math.floor(blue / count + 0.5);
      }
    }
    return small;
  }

  /** Begins a line at a point, in the paper's pixels; its width is in units. */
  begin(x, y, colour, width) {
    this.#remember();
    this.#stroke = { colour, width: width * this.unit, box: [x, y, x, y] };
    this.#goOn(x, y);
    this.#paint();
  }

  /** Takes the line through more points, smoothly. */
  extend(points) {
    const stroke = this.#stroke;
    for (const [x, y] of points) {
      const [lastX, lastY] = stroke.last;
      stroke.path.quadraticCurveTo(lastX, lastY, (lastX + x) / 2, (lastY + y) / 2);
      stroke.last = [x, y];
      stroke.points += 1;
      const [left, top, right, bottom] = stroke.box;
      stroke.box = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
    }
    this.#paint();
    if (stroke.points > 300) {
      this.#goOn(...stroke.last); // a long line is drawn in parts: each of its moves draws one part again
    }
  }

  end() {
    this.#stroke = undefined;
  }

  fill(x, y, colour) {
    this.#remember();
    const image = this.#everything();
    flood(image, Math.floor(x), Math.floor(y), parse(colour), !this.#classOf);
    this.#context.putImageData(image, 0, 0);
    this.#changed();
  }

  clear() {
    this.draw(() => {});
  }

  /** Replaces everything by what a function draws on the empty paper; it gets the context, its width and height. */
  draw(drawing) {
    this.#remember();
    this.start(drawing);
  }

  /** Does the same without a way back. */
  start(drawing) {
    this.#blank();
    const { width, height } = this.#context.canvas;
    this.#context.save();
    drawing(this.#context, width, height);
    this.#context.restore();
    if (this.#classOf) {
      const image = this.#everything();
      for (let place = 0; place < image.data.length; place += 4) {
        const [red, green, blue] = image.data.subarray(place, place + 3);
        image.data.set(this.#palette[this.#classOf(red, green, blue)], place);
      }
      this.#context.putImageData(image, 0, 0);
    }
    this.#changed();
  }

  undo() {
    this.#exchange(this.#done, this.#undone);
  }

  redo() {
    this.#exchange(this.#undone, this.#done);
  }

  #exchange(from, to) {
    if (from.length && !this.#stroke) {
      to.push(this.#everything());
      this.#context.putImageData(from.pop(), 0, 0);
      this.#changed();
    }
  }

  #everything() {
    const { width, height } = this.#context.canvas;
    return this.#context.getImageData(0, 0, width, height);
  }

  #remember() {
    const image = this.#everything();
    this.#done.push(image);
    if (this.#done.length * image.data.length > KEPT_BYTES) {
      this.#done.shift();
    }
    this.#undone = [];
  }

  #blank() {
    const { width, height } = this.#context.canvas;
    this.#context.fillStyle = this.background;
    this.#context.fillRect(0, 0, width, height);
  }

  #goOn(x, y) {
    const path = new Path2D();
    path.moveTo(x, y);
    Object.assign(this.#stroke, { path, points: 0, last: [x, y], before: this.#everything() });
  }

  /** Draws the line anew on what was there before it: drawn piece by piece, its edges would get too dark. */
  #paint() {
    const { path, last, before, colour, width, box } = this.#stroke;
    const context = this.#context;
    const margin = width / 2 + 2;
    const left = Math.max(0, Math.floor(box[0] - margin));
    const top = Math.max(0, Math.floor(box[1] - margin));
    const right = Math.min(before.width, Math.ceil(box[2] + margin));
    const bottom = Math.min(before.height, Math.ceil(box[3] + margin));
    if (right <= left || bottom <= top) {
      return;
    }
    context.putImageData(before, 0, 0, left, top, right - left, bottom - top);
    const whole = new Path2D(path);
    whole.lineTo(last[0] + 0.01, last[1]); // a line without length would leave no dot
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.stroke(whole);
    if (this.#classOf) {
      this.#sharpen(left, top, right - left, bottom - top);
    }
    this.#changed();
  }

  /** Gives each mixed pixel of a line's edge the line's colour or the one that was there, whichever is nearer. */
  #sharpen(left, top, width, height) {
    const { before, colour } = this.#stroke;
    const ink = parse(colour);
    const image = this.#context.getImageData(left, top, width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const place = 4 * (row * width + column);
        const old = before.data.subarray(4 * ((top + row) * before.width + left + column)).subarray(0, 3);
        const now = image.data.subarray(place, place + 3);
        const inked = now.every((value, channel) => Math.abs(value - ink[channel]) <= Math.abs(value - old[channel]));
        image.data.set(inked ? ink : old, place);
      }
    }
    this.#context.putImageData(image, left, top);
  }
}

/** Returns a colour as CSS and colour inputs write it. */
export function css(colour) {
  return "#" + colour.map((value) => value.toString(16).padStart(2, "0")).join("");
}

function parse(colour) {
  return [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
}
