// Images that people bring along: chosen, pasted or dropped.

/** Calls a function with each file that is chosen, pasted or dropped anywhere on the page. */
export function onFile(chooser, take) {
  const takeFirst = (files) => {
    if (files.length) {
      take(files[0]);
    }
  };
  chooser.addEventListener("change", () => {
    takeFirst(chooser.files);
    chooser.value = ""; // so that the same file may be chosen again
  });
  document.addEventListener("paste", ({ clipboardData }) => takeFirst(clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", event.dataTransfer.types.includes("Files"));
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) {
      document.body.classList.remove("dropping");
    }
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    takeFirst(event.dataTransfer.files);
  });
}

/** Reads an image of any kind that the browser knows, SVG too; fails if it is none. */
export async function read(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
  } finally {
    URL.revokeObjectURL(image.src);
  }
  return image;
}

/**
 * Draws an image as large as it fits in the middle of a canvas, as the network will see it: resized once, to the size of
 * the network, whose pixels are then drawn as blocks. An image of that size goes in as it is.
 *
 * @param {HTMLImageElement} image
 * @param {{height: number, width: number, palette: number[][]}} network what it sees; label maps take the nearest pixel.
 * @param {CanvasRenderingContext2D} context of the canvas, whose sides are multiples of the network's.
 */
export function fit(image, network, context) {
  const { width, height, palette } = network;
  const [w, h] = [image.naturalWidth || width, image.naturalHeight || height]; // an SVG may say no size
  const scale = Math.min(width / w, height / h);
  const small = new OffscreenCanvas(width, height).getContext("2d");
  small.imageSmoothingEnabled = !palette.length;
  small.imageSmoothingQuality = "high";
  small.drawImage(image, (width - w * scale) / 2, (height - h * scale) / 2, w * scale, h * scale);
  context.imageSmoothingEnabled = false;
  context.drawImage(small.canvas, 0, 0, context.canvas.width, context.canvas.height);
}
