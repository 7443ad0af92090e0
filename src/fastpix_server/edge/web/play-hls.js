// hls.js behind the small interface that play.js speaks: attach, qualities, audios, texts, live, goLive, destroy.
"use strict";

// A publisher that lost its connection may take minutes to come back: the stream waits for it, and so do we.
const LIVE_RETRY_MS = 2000;
// So late, a viewer whose line cannot load what lies between jumps over it all the same: 16 s as a rule.
const LIVE_BEHIND_MAX_TARGETS = 8;
const CATCH_UP_RATE = 1.2;

window.fastpixEngine = {
  name: "hls",
  extension: "m3u8",

  isSupported() {
    return Hls.isSupported();
  },

  // `on` has: ready(), fault(kind, details), quality(index), interrupted(), jump(fromS, toS). `licences` for an encrypted
  // video: servers by key system.
  attach(video, url, on, licences) {
    const hls = new Hls({
      autoStartLoad: false,
      capLevelToPlayerSize: true,
      emeEnabled: Boolean(licences),
      drmSystems: licences ? drmSystems(licences) : {},
      maxLiveSyncPlaybackRate: CATCH_UP_RATE,
      liveSyncOnStallIncrease: 0, // it would never be taken back: play-edge.js says how late a viewer shall be
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
    const isDvr = /[?&]dvrMode=true/.test(url);
    // Set here: given above, it would ask for a fixed distance from the edge as well, in place of the server's.
    const leap = (isAllowed) => { hls.config.liveMaxLatencyDurationCount = isAllowed && !isDvr ? LIVE_BEHIND_MAX_TARGETS : Infinity; };
    leap(true);
    let reserveS = 0;
    function aim() {
      const list = hls.latestLevelDetails;
      const askedS = list && list.live && (list.partHoldBack || list.holdBack);
      if (askedS) hls.targetLatency = askedS + reserveS;
    }
    const edge = new FastpixEdge(video, {
      goalS: () => (hls.latestLevelDetails?.live ? hls.liveSyncPosition : null),
      setReserve(seconds) {
        reserveS = seconds;
        aim();
      },
      setChosen(isChosen) {
        hls.config.maxLiveSyncPlaybackRate = isChosen ? 1 : CATCH_UP_RATE;
        if (isChosen && video.playbackRate > 1 && video.playbackRate <= CATCH_UP_RATE) video.playbackRate = 1;
        leap(!isChosen);
      },
    }, { mayJump: !isDvr, onJump: on.jump });
    // Two of each: a third failure in a row is not passing.
    let reloadsLeft = 2;
    let recoveriesLeft = 2;

    let wasLive = false;
    let retry;

    hls.on(Hls.Events.LEVEL_UPDATED, (_event, data) => {
      wasLive = wasLive || data.details.live;
      aim();
    });
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
        const list = hls.latestLevelDetails;
        if (!list || !list.live) return null;
        return { behindS: hls.latency, isAtEdge: edge.isNear(list.partHoldBack ? JUMP_FROM_S : 2 * list.targetduration) };
      },
      goLive: () => edge.goLive(),
      destroy() {
        clearTimeout(retry);
        edge.destroy();
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
