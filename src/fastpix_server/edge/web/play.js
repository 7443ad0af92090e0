// The page around a player: waits until the video is ready, says in plain words what is wrong, offers qualities.
//
// window.fastpixPlayer is an EventTarget for whoever embeds or tests the page. Events: "waiting" (not ready yet),
// "ready", "firstframe", "quality", "playing", "interrupted" (a live stream stands still), "jump" (to
// its edge), "ended", "error"; each is also kept in `log` with its time in ms.
"use strict";

const STARTED_MS = performance.now();
const POLL_MS = 1500;
const MAX_LOG = 500;
const MAX_TROUBLES = 5; // answers of 5xx in a row: a stream that begins, or a process that starts again, takes seconds
const LIVE_LOOK_MS = 500;
// So near to the end of a broadcast, and still for so many looks: nothing more comes.
const END_NEAR_S = 1;
const END_STILL_LOOKS = 6;

class FastpixPlayer extends EventTarget {
  constructor(engine, video) {
    super();
    this.engine = engine.name;
    this.video = video;
    this.state = "loading";
    this.firstFrameMs = null;
    this.quality = -1;
    this.log = [];
    this.session = null;
    this.monitor = null;
    this.run = 0; // of the video that is shown; what an earlier one still hears is not its business any more
  }

  // Shows another video in place of this one, at once and playing.
  async open(id, token) {
    const run = ++this.run;
    const { session, monitor } = this;
    this.session = this.monitor = null;
    this.firstFrameMs = null;
    this.quality = -1;
    monitor?.stop();
    show("loading");
    if (session) await session.destroy();
    if (run !== this.run) return;
    playbackId = id;
    tokens = token ? [token] : [];
    manifestUrl = makeManifestUrl();
    troubles = 0;
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onFirstFrame);
    await start(false, true);
  }

  // For whoever leads through several videos: nothing is shown, and this is why.
  tell(title, text) {
    fail(title, text);
  }

  say(type, detail = {}) {
    if (this.log.length < MAX_LOG) this.log.push({ type, atMs: Math.round(performance.now()), ...detail });
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  get impl() {
    return this.session && this.session.impl;
  }

  qualities() {
    return this.session ? this.session.qualities() : [];
  }

  setQuality(index) {
    this.session.setQuality(index);
  }

  // null, or {behindS, isAtEdge} while the stream runs.
  live() {
    return this.session && this.session.live();
  }

  goLive() {
    this.session.goLive();
    this.video.play().catch(() => {});
  }
}

const stage = document.querySelector(".stage");
const notice = document.querySelector(".notice");
const video = document.querySelector("#video");
const again = document.querySelector("#again");
const engine = window.fastpixEngine;
const player = new FastpixPlayer(engine, video);
window.fastpixPlayer = player;

let playbackId = location.pathname.split("/").filter(Boolean).at(-1);
const parameters = new URLSearchParams(location.search);
let tokens = parameters.getAll("token").slice(0, 1);
let manifestUrl = makeManifestUrl();

function makeManifestUrl() {
  const url = new URL(`${document.body.dataset.stream}/${playbackId}.${engine.extension}`, location.origin);
  if (tokens.length) url.searchParams.set("token", tokens[0]);
  for (const name of ["minResolution", "maxResolution", "resolution", "renditionOrder", "dvrMode", "start", "end"]) {
    if (parameters.has(name)) url.searchParams.set(name, parameters.get(name));
  }
  return url.href;
}

// What an engine needs for an encrypted video: the address of each licence server that this installation has.
function makeLicences() {
  const token = parameters.get("drm-token");
  if (!token) return null;
  const address = (kind, system) =>
    `${location.origin}/v1/on-demand/drm/${kind}/${system}/${playbackId}?token=${encodeURIComponent(token)}`;
  const names = { widevine: "com.widevine.alpha", fairplay: "com.apple.fps", clearkey: "org.w3.clearkey" };
  const systems = document.body.dataset.drm.split(" ").filter((system) => system in names);
  return {
    servers: Object.fromEntries(systems.map((system) => [names[system], address("license", system)])),
    certificate: systems.includes("fairplay") ? address("cert", "fairplay") : null,
  };
}

function show(state, title = "", text = "", canRetry = false) {
  player.state = stage.dataset.state = state;
  notice.hidden = !title;
  document.querySelector("#notice-title").textContent = title;
  document.querySelector("#notice-text").textContent = text;
  again.hidden = !canRetry;
}

function fail(title, text, detail = {}) {
  show("error", title, text, true);
  player.monitor?.error({ code: detail.kind || "player", message: detail.details || title });
  player.say("error", { title, ...detail });
}

// Status of the manifest -> what a person should know. 400 "ready" is not here: it is waited for.
const REASONS = {
  401: ["This video is not available", "The link may be wrong, or it needs a permission that this page does not have."],
  403: ["This video cannot be played here", "Its owner allows it on certain websites or devices only."],
  404: ["This video was removed", "Its owner has taken it down."],
  422: ["This link is not right", "Part of the address is not valid. Please check it."],
};

let troubles = 0;

async function start(hasWaited = false, isNext = false) {
  const run = player.run;
  const later = (waited) => setTimeout(() => run === player.run && start(waited, isNext), POLL_MS);
  const describing = describe();
  let answer;
  try {
    answer = await fetch(manifestUrl, { cache: hasWaited ? "no-store" : "default" });
  } catch {
    if (run === player.run) fail("No connection", "The video server cannot be reached. Check your connection and try again.");
    return;
  }
  if (answer.ok) {
    const about = await describing;
    if (run === player.run) play(hasWaited || isNext, about);
    return;
  }
  const message = await answer.json().then((body) => body.error.message, () => "");
  if (run !== player.run) return;
  if (answer.status === 400 && message.includes("ready")) {
    troubles = 0;
    if (!hasWaited) player.say("waiting");
    if (message.includes("stream")) show("waiting", "Not live yet", "The broadcast has not begun. It starts here by itself.");
    else show("waiting", "Almost there", "This video is still being prepared. It starts by itself as soon as it is ready.");
    later(true);
  } else if (answer.status >= 500 && ++troubles < MAX_TROUBLES) {
    later(hasWaited);
  } else if (REASONS[answer.status]) {
    fail(...REASONS[answer.status], { status: answer.status });
  } else {
    fail("Something went wrong", "The video server has a problem at the moment. Please try again shortly.", { status: answer.status });
  }
}

// Which video it is, and whose: its name, and what views are reported with. Without it the video plays all the same.
async function describe() {
  const url = new URL(`/play/${playbackId}/about`, location.origin);
  if (tokens.length) url.searchParams.set("token", tokens[0]);
  return fetch(url).then((answer) => (answer.ok ? answer.json() : {}), () => ({}));
}

function report(about) {
  player.monitor = fastpixBeacon.watch(video, {
    ...about,
    videoId: about.mediaId || playbackId,
    playerName: "fastpix-player-page",
    playerInitTime: Math.round(performance.now() - STARTED_MS),
    reportsErrors: false, // this page recovers from some; what it gives up on, it reports itself
    usesCookie: navigator.doNotTrack !== "1",
  }, player.session.observed);
}

function play(isEager, about) {
  if (!engine.isSupported()) {
    fail("This browser cannot play the video", "It lacks Media Source Extensions. A current browser will do.");
    return;
  }
  show("loading");
  // A viewer who waited on this page, or let the next one come, is here to watch. Browsers may still say no to sound
  // without a click.
  const begin = () => {
    if (isEager || parameters.has("autoplay")) video.play().catch(() => {});
  };
  player.session = engine.attach(video, manifestUrl, {
    ready() {
      player.say("ready");
      begin(); // again: an engine that sets the source late has undone the first one
      fillMenus();
    },
    quality(index) {
      player.quality = index;
      player.say("quality", { index, id: player.qualities()[index]?.id });
    },
    interrupted() {
      player.say("interrupted");
    },
    jump(fromS, toS) {
      player.say("jump", { fromS, toS });
    },
    fault(kind, details) {
      if (kind === "network") fail("The connection was lost", "The rest of the video could not be loaded.", { kind, details });
      else if (kind === "licence") fail("This video is protected", "No permission was given to decrypt it here.", { kind, details });
      else fail("This video cannot be played", "The browser refused part of it.", { kind, details });
    },
  }, makeLicences());
  if (about.videoTitle && document.body.dataset.playlist !== "on") document.title = about.videoTitle;
  if (about.workspaceKey && document.body.dataset.beacons === "on") report(about);
  begin();
}

function label(quality) {
  const name = /^\d+p$/.test(quality.id) ? quality.id : `${quality.height}p`;
  return quality.id === "source" ? `${name} (original)` : name;
}

// The sound that came with a video is named so where its file names none.
function spoken(name) {
  return name === "default" ? "Original" : name;
}

function fillMenus() {
  const qualities = player.qualities().sort((a, b) => b.bitrate - a.bitrate);
  fillMenu("quality", [{ value: -1, text: "Auto" }, ...qualities.map((q) => ({ value: q.index, text: label(q) }))],
    qualities.length > 1, (index) => player.setQuality(index));
  const audios = player.session.audios();
  fillMenu("audio", audios.map((a) => ({ value: a.index, text: spoken(a.label), selected: a.isActive })),
    audios.length > 1, (index) => player.session.setAudio(index));
  const texts = player.session.texts();
  fillMenu("text", [{ value: -1, text: "Off" }, ...texts.map((t) => ({ value: t.index, text: t.label, selected: t.isActive }))],
    texts.length > 0, (index) => player.session.setText(index));
}

function fillMenu(id, options, isUseful, choose) {
  const select = document.querySelector(`#${id}`);
  select.replaceChildren(...options.map((o) => new Option(o.text, o.value, false, Boolean(o.selected))));
  select.onchange = () => choose(Number(select.value));
  document.querySelector(`#${id}-menu`).hidden = !isUseful;
}

// The badge of a live stream: red at the edge; otherwise it says how late we are and leads back.
const badge = document.querySelector("#live");
function lookAtLive() {
  const live = player.live();
  if (live) {
    badge.hidden = false;
    badge.dataset.live = live.isAtEdge ? "edge" : "behind";
    const behind = live.behindS >= 90 ? `${Math.round(live.behindS / 60)} min` : `${Math.round(live.behindS)} s`;
    badge.textContent = live.isAtEdge ? "Live" : `Go live (${behind} behind)`;
  } else if (!badge.hidden) {
    badge.dataset.live = "over";
    badge.textContent = "Ended";
    endIfStill();
  }
}
// A broadcast may break off with a little more of one kind of media than of the other; where the engine then waits for
// the rest, we do not.
let stillLooks = 0;
let lastTimeS = NaN;
function endIfStill() {
  const endS = video.seekable.length ? video.seekable.end(video.seekable.length - 1) : video.duration;
  const isAtEnd = player.state === "playing" && endS - video.currentTime < END_NEAR_S;
  stillLooks = isAtEnd && video.currentTime === lastTimeS ? stillLooks + 1 : 0;
  lastTimeS = video.currentTime;
  if (stillLooks < END_STILL_LOOKS) return;
  end();
  video.pause();
}
badge.addEventListener("click", () => {
  if (badge.dataset.live === "behind") player.goLive();
});
setInterval(lookAtLive, LIVE_LOOK_MS);

function onFirstFrame() {
  if (player.firstFrameMs !== null) return;
  player.firstFrameMs = performance.now();
  player.say("firstframe", { ms: Math.round(player.firstFrameMs) });
}

video.addEventListener("loadedmetadata", () => {
  stage.dataset.kind = video.videoWidth ? "video" : "audio";
});
video.addEventListener("loadeddata", () => {
  if (!video.videoWidth || !video.requestVideoFrameCallback) onFirstFrame();
});
if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onFirstFrame);
video.addEventListener("playing", () => {
  show("playing");
  player.say("playing");
});
video.addEventListener("pause", () => {
  if (player.state === "playing") show("paused");
});
function end() {
  show("ended");
  player.say("ended");
}
video.addEventListener("ended", end);

let sleep;
function wake() {
  stage.classList.add("awake");
  clearTimeout(sleep);
  sleep = setTimeout(() => stage.classList.remove("awake"), 3000);
}
for (const type of ["pointermove", "pointerdown", "keydown"]) document.addEventListener(type, wake, { passive: true });

document.addEventListener("keydown", (event) => {
  // Focused controls have keys of their own, and a modifier means the browser or the system.
  if (event.target.closest("select, button, video, input") || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    " ": () => (video.paused ? video.play() : video.pause()),
    k: () => (video.paused ? video.play() : video.pause()),
    m: () => { video.muted = !video.muted; },
    f: () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()),
    l: () => player.live() && player.goLive(),
    ArrowLeft: () => { video.currentTime -= 5; },
    ArrowRight: () => { video.currentTime += 5; },
  };
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});
again.addEventListener("click", () => location.reload());
wake();
// A list says itself what comes first.
if (document.body.dataset.playlist !== "on") start();
