/** Fills the area of one colour around a point.
 *
 * Where lines are antialiased, the pixels between area and line are a mix of both: there the area's part of the mix is
 * replaced, so that neither a gap nor a seam is left.
 *
 * @param {ImageData} image is changed.
 * @param {number} x
 * @param {number} y
 * @param {number[]} colour red, green and blue.
 * @param {boolean} smooth whether lines are antialiased.
 */
export function flood({ data, width, height }, x, y, colour, smooth) {
  const start = y * width + x;
  const seed = data.slice(4 * start, 4 * start + 3);
  const distance = (pixel) =>
    Math.max(
      Math.abs(data[4 * pixel] - seed[0]),
      Math.abs(data[4 * pixel + 1] - seed[1]),
      Math.abs(data[4 * pixel + 2] - seed[2]),
    );
  const seen = new Uint8Array(width * height);
  /** Calls a function with each neighbour of a pixel that wasn't seen before. */
  const spread = (pixel, take) => {
    const column = pixel % width;
    if (column > 0 && !seen[pixel - 1]) take(pixel - 1);
    if (column < width - 1 && !seen[pixel + 1]) take(pixel + 1);
    if (pixel >= width && !seen[pixel - width]) take(pixel - width);
    if (pixel < width * (height - 1) && !seen[pixel + width]) take(pixel + width);
  };
  const tolerance = smooth ? 40 : 0;
  const area = [start];
  const border = [];
  seen[start] = 1;
  const reach = (pixel) => {
    seen[pixel] = 1;
    (distance(pixel) <= tolerance ? area : border).push(pixel);
  };
  for (let next = 0; next < area.length; next++) {
    spread(area[next], reach);
  }
  if (smooth) {
    // The mix may be two pixels wide; it must not come out on the other side of a thin line.
    for (const pixel of [...border]) {
      spread(pixel, (beyond) => {
        if (distance(beyond) >= distance(pixel)) {
          seen[beyond] = 1;
          border.push(beyond);
        }
      });
    }
    // The line's own colour is the one near by that differs most.
    const shares = border.map((pixel) => {
      const [row, column] = [Math.floor(pixel / width), pixel % width];
      let most = distance(pixel);
      for (let y = Math.max(0, row - 2); y <= Math.min(height - 1, row + 2); y++) {
        for (let x = Math.max(0, column - 2); x <= Math.min(width - 1, column + 2); x++) {
          most = Math.max(most, distance(y * width + x));
        }
      }
      return 1 - distance(pixel) / most;
    });
    for (const [number, pixel] of border.entries()) {
      const share = shares[number];
      for (let channel = 0; channel < 3; channel++) {
        data[4 * pixel + channel] += share * (colour[channel] - seed[channel]);
      }
    }
  }
  for (const pixel of area) {
    data.set(colour, 4 * pixel);
  }
}
