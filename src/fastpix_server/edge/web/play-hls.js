// hls.js behind the small interface that play.js speaks: attach, qualities, audios, texts, live, goLive, destroy.
"use strict";

// A publisher that lost its connection may take minutes to come back: the stream waits for it, and so do we.
const LIVE_RETRY_MS = 2000;
// How many target durations behind a live viewer may fall: 16 s as a rule.
const LIVE_BEHIND_MAX_TARGETS = 8;

window.fastpixEngine = {
  name: "hls",
  extension: "m3u8",

  isSupported() {
    return Hls.isSupported();
  },

  // `on` has: ready(), fault(kind, details), quality(index), interrupted(). `licences` for an encrypted video: servers
  // by key system.
  attach(video, url, on, licences) {
    const hls = new Hls({
      autoStartLoad: false,
      capLevelToPlayerSize: true,
      emeEnabled: Boolean(licences),
      drmSystems: licences ? drmSystems(licences) : {},
      // Without it a player that has stalled once stays late for ever.
      maxLiveSyncPlaybackRate: 1.2,
      // A playlist may be answered only when there is something new, three target durations later at most.
      playlistLoadPolicy: {
        default: {
          maxTimeToFirstByteMs: 30000,
          maxLoadTimeMs: 40000,
          timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
          errorRetry: { maxNumRetry: 4, retryDelayMs: 1000, maxRetryDelayMs: 4000 },
        },
      },
      // A segment that nobody has watched before is made while we wait: slower than a file, but it comes.
      fragLoadPolicy: {
        default: {
          maxTimeToFirstByteMs: 35000,
          maxLoadTimeMs: 120000,
          timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
          errorRetry: { maxNumRetry: 5, retryDelayMs: 1000, maxRetryDelayMs: 8000 },
        },
      },
    });
    // Its rate brings a player back that is a target duration late, not one whose machine was busy for long: that one
    // jumps to the edge. Not where one may go back on purpose. (Set here: given above, it would ask for a fixed distance
    // from the edge as well, in place of the server's.)
    if (!/[?&]dvrMode=true/.test(url)) hls.config.liveMaxLatencyDurationCount = LIVE_BEHIND_MAX_TARGETS;
    // Two of each: a third failure in a row is not passing.
    let reloadsLeft = 2;
    let recoveriesLeft = 2;

    const details = () => (hls.levels[hls.currentLevel] || hls.levels[hls.loadLevel] || {}).details;
    let wasLive = false;
    let retry;

    hls.on(Hls.Events.LEVEL_UPDATED, (_event, data) => { wasLive = wasLive || data.details.live; });
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      hls.startLevel = hls.firstLevel; // the server lists the quickest rung first
      hls.startLoad();
      on.ready();
    });
    hls.on(Hls.Events.LEVEL_SWITCHED, (_event, data) => on.quality(data.level));
    hls.on(Hls.Events.FRAG_BUFFERED, () => { reloadsLeft = 2; });
    hls.on(Hls.Events.ERROR, (_event, data) => {
      if (!data.fatal) return;
      const isForbidden = data.response && [401, 403, 404].includes(data.response.code);
      if (data.type === Hls.ErrorTypes.NETWORK_ERROR && wasLive && !isForbidden) {
        clearTimeout(retry);
        retry = setTimeout(() => hls.startLoad(video.currentTime || -1), LIVE_RETRY_MS);
        on.interrupted();
      } else if (data.type === Hls.ErrorTypes.NETWORK_ERROR && hls.levels.length && reloadsLeft-- > 0) hls.startLoad();
      else if (data.type === Hls.ErrorTypes.MEDIA_ERROR && recoveriesLeft-- > 0) hls.recoverMediaError();
      else on.fault({ [Hls.ErrorTypes.NETWORK_ERROR]: "network", [Hls.ErrorTypes.KEY_SYSTEM_ERROR]: "licence" }[data.type] || "media", data.details);
    });
    hls.loadSource(url);
    hls.attachMedia(video);

    return {
      impl: hls,
      observed: { hls },
      qualities: () => hls.levels.map((level, index) => ({
        index, height: Math.min(level.width, level.height), bitrate: level.bitrate, id: renditionOf(level.url[0]),
      })),
      setQuality(index) {
        hls.nextLevel = index;
      },
      audios: () => hls.audioTracks.map((track, index) => ({ index, label: track.name, isActive: index === hls.audioTrack })),
      setAudio(index) {
        hls.audioTrack = index;
      },
      texts: () => hls.allSubtitleTracks.map((track, index) => ({ index, label: track.name, isActive: index === hls.subtitleTrack })),
      // -1 is off.
      setText(index) {
        hls.subtitleTrack = index;
        hls.subtitleDisplay = index >= 0;
      },
      // null for what is not live (any more); otherwise seconds behind the edge, and whether that is as close as it gets.
      live() {
        const list = details();
        if (!list || !list.live) return null;
        const behindS = hls.latency;
        const allowedS = (hls.targetLatency || 0) + 2 * list.targetduration;
        return { behindS, isAtEdge: behindS <= allowedS };
      },
      goLive() {
        if (hls.liveSyncPosition) video.currentTime = hls.liveSyncPosition;
      },
      destroy() {
        clearTimeout(retry);
        hls.destroy();
      },
    };
  },
};

function drmSystems(licences) {
  return Object.fromEntries(Object.entries(licences.servers).map(([name, licenseUrl]) => [
    name, name === "com.apple.fps" ? { licenseUrl, serverCertificateUrl: licences.certificate } : { licenseUrl },
  ]));
}

function renditionOf(url) {
  return new URL(url, location.href).pathname.split("/").at(-2);
}
