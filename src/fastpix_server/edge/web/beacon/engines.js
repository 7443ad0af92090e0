// The engines that a monitor can look into: requests, renditions, errors. They are only listened to, never driven.

function guarded(monitor, act) {
  return (...args) => {
    try {
      act(...args);
    } catch (error) {
      monitor.fault = error;
    }
  };
}

// hls.js: events by their names, so that the library itself is not needed here.
function followHls(monitor, hls) {
  monitor.state.plswna = "hls.js";
  monitor.state.plswvn = hls.constructor.version;
  monitor.liveLatencyMs = () => hls.latency * 1000;
  if (hls.url) monitor.source(hls.url);
  const on = (event, act) => {
    const listener = guarded(monitor, act);
    hls.on(event, listener);
    monitor.stops.push(() => hls.off(event, listener));
  };
  const loaded = (event, kind) => on(event, (_name, data) => {
    const stats = data.stats || (data.part || data.frag).stats;
    monitor.request("done", { kind: data.frag?.sn === "initSegment" ? "init" : kind, event, url: data.url || data.frag?.url
      || data.details?.url, ...stats.loading, bytes: stats.loaded || stats.total });
  });
  on("hlsManifestLoading", (_name, data) => monitor.source(data.url));
  loaded("hlsManifestLoaded", "manifest");
  loaded("hlsLevelLoaded", "manifest");
  loaded("hlsAudioTrackLoaded", "manifest");
  loaded("hlsFragLoaded", "media");
  on("hlsLevelSwitched", (_name, { level }) => {
    const { bitrate, width, height, frameRate, videoCodec, name } = hls.levels[level];
    monitor.variant({ bitrate, width, height, fps: frameRate || undefined, codec: videoCodec, name });
  });
  on("hlsFragLoadEmergencyAborted", (_name, { frag }) => monitor.request("canceled", { kind: "media", url: frag.url }));
  on("hlsError", (_name, data) => {
    if (/Load(Error|TimeOut)$/.test(data.details)) {
      const kind = data.frag ? "media" : "manifest";
      monitor.request("failed", { kind, url: data.url || data.frag?.url || data.context?.url, error: data.details,
        status: data.response?.code });
    }
    if (data.fatal && monitor.reportsErrors) monitor.error({ code: data.type, message: data.details, context: data.reason });
  });
}

const SHAKA_KINDS = ["manifest", "media", "license", "app", "timing", "certificate", "key", "ads", "content_steering"];

function followShaka(monitor, shaka) {
  monitor.state.plswna = "shaka-player";
  monitor.state.plswvn = shaka.constructor.version;
  monitor.liveLatencyMs = () => shaka.getStats().liveLatency * 1000;
  const on = (event, act) => {
    const listener = guarded(monitor, act);
    shaka.addEventListener(event, listener);
    monitor.stops.push(() => shaka.removeEventListener(event, listener));
  };
  const asset = () => { if (shaka.getAssetUri()) monitor.source(shaka.getAssetUri()); };
  asset();
  for (const event of ["loading", "manifestparsed", "loaded"]) on(event, asset);
  let shown = null;
  const switched = () => {
    const track = shaka.getVariantTracks().find((one) => one.active);
    if (!track || track.videoId === shown) return;
    shown = track.videoId;
    monitor.variant({ bitrate: track.bandwidth, width: track.width, height: track.height, fps: track.frameRate || undefined,
      codec: track.videoCodec, name: track.originalVideoId });
  };
  for (const event of ["loaded", "adaptation", "variantchanged"]) on(event, switched);
  const observe = guarded(monitor, (type, response) => {
    const end = performance.now();
    const start = end - (response.timeMs || 0);
    // Shaka Player does not say when the first byte came; the browser does, of origins that allow it.
    const entry = performance.getEntriesByName(response.uri, "resource").at(-1);
    const first = entry && entry.responseStart >= start - 1 ? Math.min(entry.responseStart, end) : start;
    monitor.request("done", { kind: SHAKA_KINDS[type] || "other", event: "shakaResponse", url: response.uri, start, first,
      end, bytes: response.data.byteLength });
  });
  const net = shaka.getNetworkingEngine();
  net.registerResponseFilter(observe);
  monitor.stops.push(() => net.unregisterResponseFilter(observe));
  on("downloadfailed", ({ request, error, httpResponseCode, aborted }) => {
    monitor.request(aborted ? "canceled" : "failed", { kind: "media", url: request?.uris[0], status: httpResponseCode,
      error: error && `shaka ${error.code}` });
  });
  on("error", ({ detail }) => {
    if (detail.severity === 2 && monitor.reportsErrors) monitor.error({ code: detail.code, message: `shaka ${detail.code}` });
  });
}
