// Pictures that people bring along: chosen, pasted or dropped.

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

/** Reads a picture of any kind that the browser knows, SVG too; fails if it is none. */
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

/** Draws a picture as large as it fits in the middle of a canvas. */
export function fit(image, context, width, height) {
  const [w, h] = [image.naturalWidth || width, image.naturalHeight || height]; // an SVG may say no size
  const scale = Math.min(width / w, height / h);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - w * scale) / 2, (height - h * scale) / 2, w * scale, h * scale);
}
