// What an event is made of: names, addresses that give nothing away, and who watches.

const VERSION = "1.0.0";
const FLUSH_MS = 10_000; // contract: every 10 s, and at once for the events of URGENT
const PULSE_MS = 10_000;
const TICK_MS = 250; // how finely playhead and size are followed
const BATCH_MAX = 200; // events in a request; the server refuses more
const QUEUE_MAX = 600; // an hour of pulses without a network; the oldest give way
const REQUEST_TIMEOUT_MS = 15_000;
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 16_000]; // then the batch is given up
const FAREWELL_BYTES = 60_000; // browsers let 64 KB go out of a page that is leaving
const TEXT_MAX = 2_000; // of one value; longer ones are cut
const IDLE_MS = 3_600_000; // contract: an hour of silence ends a view,
const STALLED_MS = 300_000; // and so do five minutes of rebuffering
const SUSPENDED_MS = 120_000; // a hidden tab's timers run once a minute; when they rest for longer, the machine slept
const SESSION_MS = 86_400_000;
const SESSION_IDLE_MS = 1_500_000;

const URGENT = new Set(["viewBegin", "error", "ended", "viewCompleted"]);
const WHOLE = new Set(["playerReady", "viewBegin", "viewCompleted"]);
const SECRETS = ["token", "drm-token", "signature"];

// Options by name -> beacon field. Names may be written in camelCase or snake_case.
const FIELDS = {
  workspace_key: "wsid", video_title: "vdtt", video_id: "vdid", video_series: "vdsr", video_producer: "vdpd",
  video_content_type: "vdctty", video_language_code: "vdlncd", video_variant_id: "vdvaid",
  video_variant_name: "vdvana", video_encoding_variant: "vdeova", video_drm_type: "vddmty", video_duration: "vddu",
  video_stream_type: "vdsmty", video_poster_url: "vdpour", video_cdn: "vdcn", cdn: "cn", media_id: "meid",
  playback_id: "fppbid", live_stream_id: "fplismid", viewer_id: "viid", experiment_name: "exna",
  sub_property_id: "suppid", player_name: "plna", player_version: "plvn", player_init_time: "plitti",
  page_context: "pacx", view_session_id: "vesnid", browser_name: "brna", browser_version: "brvn", os_name: "osna",
  os_version: "osvn", device_name: "dena", device_category: "decg", connection_type: "vicity",
  ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`custom_${i + 1}`, `cm${i + 1}`])),
};
// What goes with a view, and what goes with a video.
const OF_VIEW = /^(ve|pler|paloti$)/;
const OF_VIDEO = /^(vd|meid$|fppbid$|fplismid$|cn$)/;

const here = document.currentScript && document.currentScript.src;

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b, i) =>
    (i === 6 ? (b & 15) | 64 : i === 8 ? (b & 63) | 128 : b).toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function parsed(url) {
  try {
    return new URL(url, location.href);
  } catch {
    return null;
  }
}

// An address without what gives access.
function reported(address, keepsQuery = false) {
  const url = parsed(address);
  if (!url || !/^https?:$/.test(url.protocol)) return "";
  url.username = url.password = url.hash = "";
  if (keepsQuery) SECRETS.forEach((name) => url.searchParams.delete(name));
  else url.search = "";
  return url.href;
}

function siteOf(hostname) {
  return /^[\d.]+$|:/.test(hostname) ? hostname : hostname.split(".").slice(-2).join(".");
}

function named(options) {
  const fields = {};
  for (const [key, value] of Object.entries(options)) {
    const code = FIELDS[key.replace(/[A-Z]|\d+$/g, (c) => `_${c.toLowerCase()}`).replace("__", "_")];
    if (code && value !== undefined && value !== null) fields[code] = value;
  }
  return fields;
}

// Who watches: a random number for this browser and this visit, in a cookie of the page (or nowhere).
class Viewer {
  constructor(usesCookie) {
    this.usesCookie = usesCookie;
    const found = usesCookie && document.cookie.match(/(?:^|; )FastPixData=([^;]*)/);
    const kept = new URLSearchParams(found ? found[1].replaceAll("%3D", "=").replaceAll("%26", "&") : "");
    const share = parseFloat(kept.get("fpsanu"));
    this.id = kept.get("fpviid") || uuid();
    this.share = share >= 0 && share < 1 ? share : Math.random();
    this.session = kept.get("snid");
    this.start = Number(kept.get("snst"));
    this.expiry = Number(kept.get("snepti"));
  }

  // The fields of an event that happens now; it keeps the session alive.
  fields(now) {
    if (!this.session || !(now < this.expiry) || !(now - this.start < SESSION_MS)) {
      this.session = uuid();
      this.start = now;
    }
    this.expiry = now + SESSION_IDLE_MS;
    const fields = { fpviid: this.id, fpsanu: this.share, snid: this.session, snst: this.start, snepti: this.expiry };
    if (this.usesCookie) {
      document.cookie = `FastPixData=${new URLSearchParams(fields)}; path=/; max-age=31536000; SameSite=Lax`;
    }
    return fields;
  }
}
