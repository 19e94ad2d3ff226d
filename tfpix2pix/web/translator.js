// The network, as the page sees it.

const KEPT = 9; // times that the shown one is the median of

/** Has the newest drawing translated, one at a time: of what is drawn meanwhile, only the last is sent. */
export class Translator {
  #worker = new Worker("worker.js");
  #page;
  #busy = true;
  #broken = false;
  #waiting = false;
  #times = [];

  /**
   * @param {object} config of the page: the model's file, its shape, what it takes and gives.
   * @param {object} page what is to be done: `image()` gives the newest drawing, `show(rgba, milliseconds)`,
   *   `progress(share)`, `working(is)` and `problem(text)` tell how it goes.
   */
  constructor(config, page) {
    this.#page = page;
    this.#worker.onmessage = ({ data }) => this.#told(data);
    this.#worker.onerror = (event) => this.#told({ problem: event.message ?? "its worker could not be started" });
    this.#worker.postMessage({ config });
  }

  /** Has the newest drawing translated, now or as soon as the one before is done. */
  ask() {
    if (this.#broken) {
      return;
    }
    this.#waiting = true;
    this.#page.working(true);
    this.#send();
  }

  #send() {
    if (this.#waiting && !this.#busy) {
      this.#waiting = false;
      this.#busy = true;
      const image = this.#page.image();
      this.#worker.postMessage({ image }, [image.buffer]);
    }
  }

  #told({ progress, image, milliseconds, problem }) {
    if (progress) {
      this.#page.progress(Math.min(1, progress.loaded / progress.total));
      return;
    }
    if (problem) {
      this.#broken = true;
      this.#page.problem(problem);
      return;
    }
    if (image) {
      this.#times = [...this.#times, milliseconds].slice(-KEPT);
      this.#page.show(image, [...this.#times].sort((a, b) => a - b)[this.#times.length >> 1]);
      // The first ones are slower, since browsers make WebAssembly faster while it runs: until then, do it again.
      this.#waiting ||= this.#times.length < KEPT;
    }
    this.#busy = false;
    if (this.#waiting) {
      this.#send();
    } else {
      this.#page.working(false);
    }
  }
}
