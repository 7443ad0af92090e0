// Follows one <video> and says what happens on it. A view begins with the wish to play.
class Monitor {
  constructor(video, options, engines) {
    this.video = video;
    this.viewer = new Viewer(options.usesCookie !== false);
    const rate = options.sampleRate ?? 1;
    this.isSampled = this.viewer.share < rate;
    const url = options.url || (options.beaconDomain && `https://${options.workspaceKey}.${options.beaconDomain}/`)
      || new URL("/", here || location.href).href;
    this.sender = new Sender(url, () => { this.sent = {}; });
    this.reportsErrors = options.reportsErrors !== false;
    this.player = uuid();
    this.playerSequence = 0;
    this.viewCount = 0;
    this.state = {
      ...named(options), plinid: this.player, bedn: options.beaconDomain || siteOf(parsed(url).hostname),
      plfpsdna: "fastpix-beacon", plfpsdvn: VERSION, plswna: "html5",
    };
    if (rate !== 1) this.state.fpsare = rate;
    this.stops = [];
    this.reset();
    this.state.paloti = pageLoadTime();
    this.listen();
    if (engines.hls) followHls(this, engines.hls);
    if (engines.shaka) followShaka(this, engines.shaka);
    this.say("playerReady");
    if (!video.paused) this.begin();
  }

  // What belongs to one view.
  reset() {
    this.sent = {};
    this.sequence = 0;
    this.hasBegun = this.isWatching = this.isSeeking = this.isRebuffering = false;
    this.firstFrameAt = this.firstWishAt = null;
    this.lastAt = this.lastEventAt = performance.now();
    this.lastPlayhead = this.video.currentTime;
    this.measures = { watch: 0, rebuffer: 0, rebuffers: 0, seek: 0, seeks: 0, longestSeek: 0, content: 0, scaled: 0,
      up: 0, down: 0, upMax: 0, downMax: 0, playheadMax: 0 };
    this.requests = { done: 0, failed: 0, canceled: 0, bytes: 0, ms: 0, latency: 0, latencyMax: 0, least: Infinity };
    this.bitrate = this.drops = 0;
    this.view = this.state.veid = uuid();
    this.state.plveco = this.viewCount + 1;
  }

  listen() {
    const on = (target, type, act) => {
      const listener = guarded(this, act);
      target.addEventListener(type, listener);
      this.stops.push(() => target.removeEventListener(type, listener));
    };
    const { video } = this;
    on(video, "loadstart", () => { this.source(video.currentSrc); this.say("loadstart"); });
    on(video, "play", () => { this.begin(); this.say("play"); });
    on(video, "playing", () => { this.begin(); this.moving(); this.say("playing"); });
    on(video, "timeupdate", () => {
      // It is also fired when playing has just come to a stop: then nothing ahead is loaded.
      if (!video.seeking && video.readyState > 2 && video.currentTime > this.lastPlayhead) this.moving();
    });
    on(video, "waiting", () => this.waiting());
    on(video, "seeking", () => this.seeking());
    on(video, "seeked", () => this.seeked());
    on(video, "pause", () => this.pause());
    on(video, "ended", () => { this.pause(); this.say("ended"); });
    on(video, "error", () => {
      if (this.reportsErrors && video.error) this.error({ code: video.error.code, message: video.error.message });
    });
    on(document, "visibilitychange", () => { if (document.visibilityState === "hidden") this.leaveForNow(); });
    on(window, "pagehide", () => { this.complete(); this.sender.farewell(); });
    on(window, "pageshow", (event) => { if (event.persisted && !video.paused) this.begin(); });
    const ticking = setInterval(guarded(this, () => this.tick()), TICK_MS);
    const pulsing = setInterval(guarded(this, () => { if (this.isWatching) this.say("pulse"); }), PULSE_MS);
    this.stops.push(() => clearInterval(ticking), () => clearInterval(pulsing));
  }

  // The address of what is played. Another one than before is another view.
  source(address) {
    const url = reported(address);
    if (!url || url === this.state.vdsour) return;
    if (this.hasBegun && this.state.vdsour) this.change({});
    this.state.vdsour = url;
    this.state.vdsohn = parsed(url).hostname;
    this.state.vdsodn = siteOf(this.state.vdsohn);
  }

  // Another video in the same player: `options` describe it.
  change(options) {
    this.complete();
    for (const code of Object.keys(this.state)) if (OF_VIDEO.test(code)) delete this.state[code];
    this.reset();
    Object.assign(this.state, named(options));
  }

  begin() {
    const now = performance.now();
    if (this.hasBegun && now - this.lastEventAt > IDLE_MS) this.complete();
    if (!this.hasBegun) {
      this.hasBegun = true;
      this.viewCount += 1;
      this.state.vest = Date.now();
      this.state.vepaur = reported(location.href, true);
      this.firstWishAt = this.lastAt = now;
      this.isWatching = true;
      this.say("viewBegin");
    }
    this.account();
    this.isWatching = true;
  }

  // The picture moves: startup or rebuffering is over.
  moving() {
    if (!this.hasBegun) return;
    this.account();
    if (this.firstFrameAt === null && !this.video.paused) {
      this.firstFrameAt = performance.now();
      this.state.vetitofifr = Math.round(this.firstFrameAt - this.firstWishAt);
    }
    if (this.isRebuffering) {
      this.isRebuffering = false;
      this.say("buffered");
    }
  }

  waiting() {
    this.account();
    this.say("waiting");
    // Before the first frame it is startup, in a seek it is seeking.
    if (this.firstFrameAt === null || this.isSeeking || this.video.seeking || this.isRebuffering || !this.isWatching) return;
    this.isRebuffering = true;
    this.rebufferingSince = performance.now();
    this.measures.rebuffers += 1;
    this.say("buffering");
  }

  seeking() {
    this.account();
    this.isRebuffering = false;
    if (this.firstFrameAt !== null && !this.isSeeking) {
      this.isSeeking = true;
      this.seekingSince = performance.now();
      this.measures.seeks += 1;
    }
    this.say("seeking");
  }

  seeked() {
    this.account();
    if (this.isSeeking) {
      this.isSeeking = false;
      this.measures.longestSeek = Math.max(this.measures.longestSeek, performance.now() - this.seekingSince);
    }
    this.lastPlayhead = this.video.currentTime;
    this.say("seeked");
  }

  pause() {
    this.account();
    const wasWatching = this.isWatching;
    this.isWatching = this.isRebuffering = false;
    if (wasWatching) this.say("pause");
  }

  // A fatal error, from the page or an engine. One that comes before the wish to play counts when that comes.
  error({ code = "", message = "", context = "" } = {}) {
    this.account();
    Object.assign(this.state, { plercd: String(code), plerms: String(message), plercx: String(context) });
    this.say("error");
    this.isWatching = this.isRebuffering = false;
  }

  // A tab may be thrown away while it is hidden, without another word.
  leaveForNow() {
    this.account();
    if (this.isWatching) this.say("pulse");
    this.sender.flush();
  }

  // Ends the view; whatever comes next belongs to a new one, which begins with the next wish to play.
  complete() {
    if (!this.hasBegun) return;
    this.account();
    this.say("viewCompleted");
    for (const code of Object.keys(this.state)) if (OF_VIEW.test(code)) delete this.state[code];
    this.reset();
  }

  tick() {
    this.account();
    if (this.isRebuffering && performance.now() - this.rebufferingSince > STALLED_MS) this.complete();
  }

  // Adds the time and the playhead since the last call to the measures of contract section 9.2.
  account() {
    const now = performance.now();
    const { video, measures: m } = this;
    const elapsed = now - this.lastAt;
    const moved = (video.currentTime - this.lastPlayhead) * 1000;
    this.lastAt = now;
    this.lastPlayhead = video.currentTime;
    if (!this.hasBegun) return;
    if (elapsed > SUSPENDED_MS && moved < elapsed / 2) return;
    if (this.isWatching || this.isSeeking) m.watch += elapsed;
    if (this.isSeeking) m.seek += elapsed;
    else if (this.isRebuffering) m.rebuffer += elapsed;
    m.playheadMax = Math.max(m.playheadMax, video.currentTime * 1000);
    // A jump is not playing; the allowance is for timers that a busy page ran late.
    if (this.isSeeking || moved <= 0 || moved > elapsed * Math.max(video.playbackRate, 1) + 1000) return;
    m.content += moved;
    const scale = Math.min(video.clientWidth / video.videoWidth, video.clientHeight / video.videoHeight);
    if (!(scale > 0 && scale < Infinity)) return;
    const up = Math.max(0, scale - 1);
    const down = Math.max(0, 1 - scale);
    m.scaled += moved;
    m.up += up * moved;
    m.down += down * moved;
    m.upMax = Math.max(m.upMax, up);
    m.downMax = Math.max(m.downMax, down);
  }

  // An engine finished a request. Times are of performance.now().
  request(outcome, { kind, event, url, start, first, end, bytes, status, error }) {
    const r = this.requests;
    r[outcome] += 1;
    const at = (time) => Math.round(performance.timeOrigin + time);
    const detail = { rqty: kind, rqur: reported(url), rqhn: parsed(url)?.hostname, rqevty: event };
    if (outcome === "done") {
      const ms = Math.max(end - first, 1);
      Object.assign(detail, { rqst: at(start), rqrpst: at(first), rqrped: at(end), rqbyld: bytes });
      r.bytes += bytes;
      r.ms += ms;
      r.latency += first - start;
      r.latencyMax = Math.max(r.latencyMax, first - start);
      r.least = Math.min(r.least, (bytes * 8000) / ms);
    } else Object.assign(detail, { rqercd: status || undefined, rqer: error });
    this.say({ done: "requestCompleted", failed: "requestFailed", canceled: "requestCanceled" }[outcome], detail);
  }

  // An engine shows another rendition.
  variant({ bitrate, width, height, fps, codec, name }) {
    if (bitrate < this.bitrate) this.drops += 1;
    this.bitrate = bitrate;
    Object.assign(this.state, { vdsobi: bitrate, vdsowt: width, vdsoht: height, vdsofs: fps, vdsocc: codec,
      vdsornna: name, vdsorldrco: this.drops });
    this.say("variantChanged");
  }

  refresh(now) {
    const { video, measures: m, requests: r, state } = this;
    const round = Math.round;
    Object.assign(state, this.viewer.fields(now), {
      paur: reported(location.href, true), plispu: video.paused, plwt: video.clientWidth, plht: video.clientHeight,
      plauon: video.autoplay, plpron: video.preload !== "none", pllncd: document.documentElement.lang,
      plisfl: Boolean(document.fullscreenElement?.contains(video)), plpour: reported(video.poster),
    });
    if (video.videoWidth) Object.assign(state, { vdsowt: video.videoWidth, vdsoht: video.videoHeight });
    const isLive = video.duration === Infinity;
    if (video.readyState) state.vdsoisli = isLive;
    if (video.readyState) state.vdsmty = this.streamType || state.vdsmty || (isLive ? "live" : "on-demand");
    if (Number.isFinite(video.duration)) state.vdsodu = round(video.duration * 1000);
    if (video.getVideoPlaybackQuality) state.vedrfrco = video.getVideoPlaybackQuality().droppedVideoFrames;
    if (r.done) {
      Object.assign(state, { veavrqth: round((r.bytes * 8000) / r.ms), vemnrqth: round(r.least),
        veavrqlt: round(r.latency / r.done), vemarqlt: round(r.latencyMax) });
    }
    Object.assign(state, { verqco: r.done, verqfaco: r.failed, verqclco: r.canceled });
    if (!this.hasBegun) return;
    const latency = this.liveLatencyMs?.();
    if (latency > 0) state.velismlt = round(latency);
    Object.assign(state, {
      vewati: round(m.watch), vectpbti: round(m.content), vetlctpbti: round(m.scaled), vemaphps: round(m.playheadMax),
      verbco: m.rebuffers, verbdu: round(m.rebuffer), veseco: m.seeks, vesedu: round(m.seek),
      vemaseti: round(m.longestSeek), vetlug: round(m.up), vetldg: round(m.down), vemauppg: m.upMax, vemadopg: m.downMax,
      verbpg: m.watch ? m.rebuffer / m.watch : 0, verbfq: m.watch ? m.rebuffers / m.watch : 0,
    });
  }

  say(name, detail = {}) {
    if (!this.isSampled) return;
    const now = Date.now();
    this.refresh(now);
    const { state } = this;
    const event = { wsid: state.wsid, veid: this.view, vesqnu: ++this.sequence, plsqnu: ++this.playerSequence,
      bedn: state.bedn, plphti: Math.round(this.video.currentTime * 1000), vitp: now, evna: name, vdid: state.vdid,
      plinid: this.player };
    for (const [code, value] of Object.entries(state)) {
      const isNew = WHOLE.has(name) || this.sent[code] !== value;
      if (isNew && value !== undefined) event[code] = typeof value === "string" ? value.slice(0, TEXT_MAX) : value;
      this.sent[code] = value;
    }
    this.lastEventAt = performance.now();
    this.sender.add({ ...event, ...detail }, URGENT.has(name));
  }

  // Ends the view and stops listening.
  stop() {
    this.complete();
    for (const stop of this.stops.splice(0)) stop();
    this.sender.flush();
  }
}

function pageLoadTime() {
  const navigation = performance.getEntriesByType("navigation")[0];
  return Math.round(navigation?.domContentLoadedEventEnd || performance.now());
}

window.fastpixBeacon = {
  version: VERSION,
  watch: (video, options, engines = {}) => new Monitor(video, options, engines),
};
