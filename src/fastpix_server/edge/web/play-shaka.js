// Shaka Player behind the small interface that play.js speaks: attach, qualities, audios, texts, live, goLive,
// destroy. Plays DASH.
"use strict";

// The seek range already ends where the manifest says that players should be.
const LIVE_EDGE_S = 6;
// How far behind that end, give or take as much, Shaka Player wants to be.
const LIVE_LATENCY_S = 0.5;
// Of what is loaded, when another track is chosen.
const KEPT_S = 2;

window.fastpixEngine = {
  name: "shaka",
  extension: "mpd",

  isSupported() {
    shaka.polyfill.installAll();
    return shaka.Player.isBrowserSupported();
  },

  // `on` has: ready(), fault(kind, details), quality(index), interrupted(), jump(fromS, toS). `licences` for an encrypted
  // video: servers by key system.
  attach(video, url, on, licences) {
    const player = new shaka.Player();
    player.configure({
      // A segment that nobody has watched before is made while we wait: slower than a file, but it comes.
      streaming: {
        retryParameters: { maxAttempts: 5, timeout: 60000, stallTimeout: 35000 },
        // Makes up for a little; play-edge.js for more.
        liveSync: { enabled: true, maxPlaybackRate: 1.2, targetLatency: LIVE_LATENCY_S, targetLatencyTolerance: LIVE_LATENCY_S },
      },
      abr: { restrictToElementSize: true },
    });
    if (licences) {
      player.configure("drm.servers", licences.servers);
      player.configure("drm.preferredKeySystems", Object.keys(licences.servers));
      if (licences.certificate) player.configure("drm.advanced", { "com.apple.fps": { serverCertificateUri: licences.certificate } });
    }
    const edge = new FastpixEdge(video, {
      goalS: () => (player.isLive() ? player.seekRange().end - LIVE_LATENCY_S : null),
      setReserve: (seconds) => player.configure("streaming.liveSync.targetLatency", LIVE_LATENCY_S + seconds),
      // Otherwise it would hurry to the edge from wherever the viewer went back to.
      setChosen: (isChosen) => player.configure("streaming.liveSync.enabled", !isChosen),
    }, { mayJump: !/[?&]dvrMode=true/.test(url), onJump: on.jump });
    const variants = () => {
      const tracks = player.getVariantTracks().filter((track) => track.videoId !== null);
      const active = tracks.find((track) => track.active) || tracks[0];
      return tracks.filter((track) => !active || track.audioId === active.audioId)
        .sort((a, b) => a.videoBandwidth - b.videoBandwidth);
    };
    player.addEventListener("error", (event) => report(event.detail));
    player.addEventListener("adaptation", () => announce());
    player.addEventListener("variantchanged", () => announce());

    function announce() {
      on.quality(variants().findIndex((track) => track.active));
    }
    function report(error) {
      if (error.severity !== shaka.util.Error.Severity.CRITICAL) return;
      const kinds = { [shaka.util.Error.Category.NETWORK]: "network", [shaka.util.Error.Category.DRM]: "licence" };
      on.fault(kinds[error.category] || "media", `shaka ${error.code}`);
    }
    player.attach(video).then(() => player.load(url)).then(on.ready).catch(report);

    return {
      impl: player,
      observed: { shaka: player },
      qualities: () => variants().map((track, index) => ({
        index, height: Math.min(track.width, track.height), bitrate: track.bandwidth, id: track.originalVideoId,
      })),
      setQuality(index) {
        player.configure({ abr: { enabled: index < 0 } });
        if (index >= 0) player.selectVariantTrack(variants()[index], /* clearBuffer */ true, KEPT_S);
      },
      audios: () => player.getAudioTracks().map((track, index) => ({ index, label: track.label || track.language, isActive: track.active })),
      // What plays now stays for a moment: with an emptied buffer Shaka seeks to where it is, breaks off the loading of
      // the new header, and never asks for it again.
      setAudio(index) {
        player.selectAudioTrack(player.getAudioTracks()[index], KEPT_S);
      },
      texts: () => player.getTextTracks().map((track, index) => ({ index, label: track.label || track.language, isActive: track.active })),
      // -1 is off.
      setText(index) {
        player.selectTextTrack(player.getTextTracks()[index] || null);
      },
      // null for what is not live (any more); otherwise seconds behind the edge, and whether that is as close as it gets.
      live() {
        if (!player.isLive()) return null;
        return { behindS: player.seekRange().end - video.currentTime, isAtEdge: edge.isNear(LIVE_EDGE_S) };
      },
      goLive: () => edge.goLive(),
      destroy() {
        edge.destroy();
        return player.destroy();
      },
    };
  },
};
