// Runs the network beside the page, so that drawing never waits for it. This is a classic worker: LiteRT.js loads its
// WebAssembly by importScripts, which module workers don't have.

let config, litert, pixels, model;

self.onmessage = async ({ data }) => {
  try {
    if (data.config) {
      config = data.config;
      await load();
      postMessage({ ready: true });
    } else {
      const started = performance.now();
      const image = await translate(data.image);
      postMessage({ image, milliseconds: performance.now() - started }, [image.buffer]);
    }
  } catch (error) {
    postMessage({ problem: String(error?.message ?? error) });
  }
};

async function load() {
  [litert, pixels] = await Promise.all([import("./litert/index.js"), import("./pixels.js")]);
  const compat = (await litert.supportsFeature("relaxedSimd")) ? "" : "compat_";
  const runtime = `litert/litert_wasm_${compat}internal`;
  const progress = { loaded: 0, total: config.bytes[config.model] + config.bytes[`${runtime}.wasm`] };
  const [file, wasmBinary] = await Promise.all([
    download(config.model, progress),
    download(`${runtime}.wasm`, progress),
  ]);
  self.Module = { wasmBinary, printErr() {} }; // it would report all its steps as errors
  // LiteRT.js would start the graphics card, which isn't used here: no driver, the same numbers everywhere.
  Object.defineProperty(navigator, "gpu", {
    value: { requestAdapter: async () => ({ limits: {}, features: new Set(), requestDevice: async () => null }) },
  });
  await litert.loadLiteRt(`${runtime}.js`);
  model = await litert.loadAndCompile(file, { accelerator: "wasm" });
  const taken = model.getInputDetails()[0].shape.join("x");
  if (taken !== config.shape.join("x")) {
    throw new Error(`${config.model} takes ${taken}, but this page was made for ${config.shape.join("x")}.`);
  }
}

async function download(url, progress) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`${url} can't be loaded: ${response.status} ${response.statusText}`);
  }
  const chunks = [];
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) {
      return new Uint8Array(await new Blob(chunks).arrayBuffer());
    }
    chunks.push(value);
    progress.loaded += value.length;
    postMessage({ progress });
  }
}

async function translate(image) {
  const seen = pixels.toNetwork(image, config.input);
  const input = new litert.Tensor(seen, config.shape);
  const [output] = await model.run([input]);
  const values = output.toTypedArray();
  input.delete();
  output.delete();
  return pixels.toImage(values, config.target, seen);
}
