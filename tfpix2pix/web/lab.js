// sRGB to CIE Lab (D65, 2 degrees) and back, of networks that colour grey images: they see L and give a and b.

const LUMINANCE = [0.212671, 0.71516, 0.072169]; // Y of linear red, green and blue; the white point's is 1
const WHITE = [0.95047, 1.0, 1.08883];
// The inverse of the matrix from linear sRGB to XYZ (IEC 61966-2-1).
const TO_RGB = [
  [3.2404813, -1.5371515, -0.4985363],
  [-0.9692549, 1.87599, 0.0415559],
  [0.0556466, -0.2040413, 1.0573111],
];
const LINEAR = Float32Array.from({ length: 256 }, (_, byte) => {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
});

/** Returns L, 0 to 100, of a colour in bytes. */
export function lightness(red, green, blue) {
  const y = LUMINANCE[0] * LINEAR[red] + LUMINANCE[1] * LINEAR[green] + LUMINANCE[2] * LINEAR[blue];
  return 116 * (y > 0.008856 ? Math.cbrt(y) : 7.787 * y + 16 / 116) - 16;
}

/** Returns red, green and blue, 0 to 255 and unrounded, of a colour in Lab; what a screen can't show is clipped. */
export function toRgb(l, a, b) {
  const y = (l + 16) / 116;
  const xyz = [y + a / 500, y, y - b / 200].map((f, axis) => {
    const root = Math.max(f, 0);
    return WHITE[axis] * (root > 0.2068966 ? root ** 3 : (root - 16 / 116) / 7.787);
  });
  return TO_RGB.map((row) => {
    const linear = Math.min(Math.max(row[0] * xyz[0] + row[1] * xyz[1] + row[2] * xyz[2], 0), 1);
    return 255 * (linear > 0.0031308 ? 1.055 * linear ** (1 / 2.4) - 0.055 : 12.92 * linear);
  });
}
