// hls.js behind the small interface that play.js speaks: attach, qualities, audios, destroy.
"use strict";

window.fastpixEngine = {
  name: "hls",
  extension: "m3u8",

  isSupported() {
    return Hls.isSupported();
  },

  // `on` has: ready(), fault(sentence), quality(index). `licences` for an encrypted video: servers by key system.
  attach(video, url, on, licences) {
    const hls = new Hls({
      autoStartLoad: false,
      capLevelToPlayerSize: true,
      emeEnabled: Boolean(licences),
      drmSystems: licences ? drmSystems(licences) : {},
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
    // Two of each: a third failure in a row is not passing.
    let reloadsLeft = 2;
    let recoveriesLeft = 2;

    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      hls.startLevel = hls.firstLevel; // the server lists the quickest rung first
      hls.startLoad();
      on.ready();
    });
    hls.on(Hls.Events.LEVEL_SWITCHED, (_event, data) => on.quality(data.level));
    hls.on(Hls.Events.FRAG_BUFFERED, () => { reloadsLeft = 2; });
    hls.on(Hls.Events.ERROR, (_event, data) => {
      if (!data.fatal) return;
      if (data.type === Hls.ErrorTypes.NETWORK_ERROR && hls.levels.length && reloadsLeft-- > 0) hls.startLoad();
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
      destroy: () => hls.destroy(),
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
