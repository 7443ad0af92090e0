// Carries events to the server: in batches, in order, one request at a time, tried a bounded number of times.
class Sender {
  constructor(url, onLoss) {
    this.url = url;
    this.onLoss = onLoss;
    this.queue = [];
    this.inFlight = [];
    this.attempt = 0;
    this.rtt = null;
    this.lost = 0;
    this.timer = null;
  }

  add(event, isUrgent) {
    if (this.queue.length >= QUEUE_MAX) {
      const least = this.queue.findIndex((e) => /^(request|pulse)/.test(e.evna));
      this.queue.splice(Math.max(least, 0), 1);
      this.lose(1);
    }
    this.queue.push(event);
    if (isUrgent) this.flush();
    else this.flushIn(FLUSH_MS);
  }

  flushIn(ms) {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.flush();
    }, ms);
  }

  // Does nothing while a request is on its way or a retry is being waited for: those flush when they are done.
  flush() {
    if (this.inFlight.length || !this.queue.length) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.inFlight = this.queue.splice(0, BATCH_MAX);
    this.attempt = 0;
    this.send();
  }

  async send() {
    const batch = this.inFlight;
    const began = performance.now();
    const answer = await fetch(this.url, {
      method: "POST", body: this.body(batch), credentials: "omit", signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    }).catch(() => null);
    if (this.inFlight !== batch) return; // the page left meanwhile: they went out once more
    if (answer && answer.ok) this.rtt = Math.round(performance.now() - began);
    else if ((!answer || answer.status >= 500 || answer.status === 429) && this.attempt < RETRY_MS.length) {
      setTimeout(() => this.inFlight === batch && this.send(), RETRY_MS[this.attempt++]);
      return;
    } else this.lose(batch.length);
    this.inFlight = [];
    if (this.queue.some((e) => URGENT.has(e.evna)) || this.queue.length >= BATCH_MAX) this.flush();
    else if (this.queue.length) this.flushIn(FLUSH_MS);
  }

  // The page may be gone in a moment. What is on its way goes out again: the server knows events by their number.
  farewell() {
    let rest = [...this.inFlight, ...this.queue];
    this.inFlight = [];
    this.queue = [];
    while (rest.length) {
      let size = 0;
      const fits = rest.findIndex((e) => (size += JSON.stringify(e).length * 2) > FAREWELL_BYTES);
      const batch = rest.splice(0, Math.min(fits < 0 ? rest.length : Math.max(fits, 1), BATCH_MAX));
      const body = this.body(batch);
      if (!navigator.sendBeacon(this.url, body)) {
        fetch(this.url, { method: "POST", body, credentials: "omit", keepalive: true }).catch(() => this.lose(batch.length));
      }
    }
  }

  body(events) {
    const metadata = { transmission_timestamp: Date.now() };
    if (this.rtt !== null) metadata.rtt_ms = this.rtt;
    return JSON.stringify({ metadata, events });
  }

  lose(count) {
    this.lost += count;
    this.onLoss();
  }
}
