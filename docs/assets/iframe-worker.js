// Browsers start no worker from a page that was opened from the disk, and search needs one. There it runs in a hidden
// frame instead. The name of this file tells the plugin `offline` that it need not fetch such a script from elsewhere.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = async (...urls) => {
        for (const one of urls) await load(one)
      }
      const load = (one) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script")
          Object.assign(script, { src: one, onload: resolve, onerror: reject })
          inside.document.body.append(script)
        })
      this.ready = load(new URL(url, location.href).href)
    }

    async postMessage(data) {
      await this.ready
      const inside = this.frame.contentWindow
      inside.dispatchEvent(new inside.MessageEvent("message", { data: structuredClone(data) }))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
