// Keeps a viewer of a live stream near its edge, whichever engine plays.
//
// A viewer whose line stood still is late afterwards. A little of it the engine makes up by playing faster; more is
// jumped over, once what lies between is loaded, so that the jump does not stall in its turn. Invariants: who paused or
// went back has chosen to be late and is left there, at the usual speed, until they are at the edge again; each stall of
// the line enlarges the reserve, each calm minute makes it smaller again; there are few jumps a minute, for each costs
// the viewer what it passes over.
"use strict";

// Less is made up by the engine, at 1.2, within 15 s. hls.js does that up to a target duration (2 s at least) and what
// the playlist asks for (1.05 s): no distance lies between the two.
const JUMP_FROM_S = 3;
const JUMPS_MAX = 3;
const JUMPS_WITHIN_MS = 60_000;
// Loaded behind the place that is jumped to: a part, and time for the next one.
const AHEAD_S = 0.5;
// Shorter ones are not seen.
const STALL_LEAST_MS = 250;
const JUDGE_MS = 2000;
const RESERVE_STEP_S = 1;
// With it, a low-latency viewer is as late as others are.
const RESERVE_MAX_S = 5;
const CALM_MS = 60_000;
// So much later than planned is at the edge still: the reach of one part.
const NEAR_S = 0.5;
// A step back by so much is a viewer's; engines nudge by tenths.
const BACK_S = 1;
const EDGE_LOOK_MS = 250;

class FastpixEdge {
  // `line` is the engine: goalS(), where on the video's clock it wants to be now, or null while nothing is live;
  // setReserve(s), how much later than that it shall want to be from now on; setChosen(isChosen), whether the viewer is
  // late on purpose, and it must not hurry. `onJump(fromS, toS)` is told of each.
  constructor(video, line, { mayJump, onJump, now = () => performance.now() }) {
    this.isChosen = false;
    this.reserveS = 0;
    this.video = video;
    this.line = line;
    this.mayJump = mayJump;
    this.onJump = onJump;
    this.now = now;
    this.jumpsMs = [];
    this.hasPlayed = false;
    this.stillSinceMs = null; // the picture stands
    this.stalledAtMs = null; // it did, and goes on since then: whose fault it was is not known yet
    this.calmSinceMs = now();
    this.lastS = 0;
    this.listeners = {
      playing: () => { this.hasPlayed = true; },
      waiting: () => { if (this.hasPlayed && !video.seeking) this.stillSinceMs ??= this.now(); },
      timeupdate: () => this.onTime(),
      pause: () => this.onPause(),
      seeking: () => this.onSeek(),
      emptied: () => { this.lastS = 0; this.stillSinceMs = null; },
    };
    for (const [type, listener] of Object.entries(this.listeners)) video.addEventListener(type, listener);
    this.timer = setInterval(() => this.look(), EDGE_LOOK_MS);
  }

  destroy() {
    clearInterval(this.timer);
    for (const [type, listener] of Object.entries(this.listeners)) this.video.removeEventListener(type, listener);
  }

  // How much later than planned, in seconds; null while nothing is live.
  lateS() {
    const goalS = this.line.goalS();
    return goalS === null ? null : goalS - this.video.currentTime;
  }

  // `allowedS`: what the engine calls near enough. Who chose to be late sees the way back at once.
  isNear(allowedS) {
    return this.lateS() <= (this.isChosen ? 2 * NEAR_S : allowedS);
  }

  // The viewer wants to be at the edge.
  goLive() {
    const goalS = this.line.goalS();
    if (goalS === null) return;
    this.choose(false);
    this.seek(goalS);
  }

  choose(isChosen) {
    if (this.isChosen === isChosen || (isChosen && this.line.goalS() === null)) return;
    this.isChosen = isChosen;
    this.line.setChosen(isChosen);
  }

  seek(toS) {
    this.stillSinceMs = null;
    this.lastS = toS;
    this.video.currentTime = toS;
  }

  onTime() {
    const { video } = this;
    if (video.seeking || video.currentTime === this.lastS) return;
    this.lastS = video.currentTime;
    if (this.stillSinceMs !== null && this.now() - this.stillSinceMs >= STALL_LEAST_MS) this.stalledAtMs = this.now();
    this.stillSinceMs = null;
  }

  onPause() {
    this.stillSinceMs = null;
    if (this.hasPlayed && !this.video.ended) this.choose(true);
  }

  onSeek() {
    const toS = this.video.currentTime;
    const isBack = this.hasPlayed && toS < this.lastS - BACK_S;
    if (isBack || toS > this.lastS + BACK_S) this.stillSinceMs = null; // less is a nudge: it stands still all the same
    this.lastS = toS;
    // An engine goes back, too, when it finds itself behind the end; then it lands where it wants to be.
    if (isBack && this.lateS() > NEAR_S) this.choose(true);
  }

  look() {
    const { video } = this;
    if (this.lateS() === null || video.paused || video.seeking || this.stillSinceMs !== null) return;
    const nowMs = this.now();
    if (this.isChosen && this.lateS() <= NEAR_S) this.choose(false);
    if (this.isChosen) return;
    this.judge(nowMs);
    const goalS = this.line.goalS();
    if (!this.mayJump || this.lateS() <= JUMP_FROM_S || !this.holds(goalS)) return;
    this.jumpsMs = this.jumpsMs.filter((ms) => nowMs - ms < JUMPS_WITHIN_MS);
    if (this.jumpsMs.length >= JUMPS_MAX) return;
    this.jumpsMs.push(nowMs);
    const fromS = video.currentTime;
    this.seek(goalS);
    this.onJump(fromS, goalS);
  }

  // A stall that leaves the viewer late was their line's. Where it does not, the stream itself stood still. How far the
  // stream has gone is known with the next playlist only.
  judge(nowMs) {
    if (this.stalledAtMs !== null && this.lateS() > STALL_LEAST_MS / 1000) {
      this.stalledAtMs = null;
      this.calmSinceMs = nowMs;
      this.reserve(Math.min(RESERVE_MAX_S, this.reserveS + RESERVE_STEP_S));
    } else if (this.stalledAtMs !== null && nowMs - this.stalledAtMs >= JUDGE_MS) {
      this.stalledAtMs = null;
    }
    if (this.reserveS && nowMs - this.calmSinceMs >= CALM_MS) {
      this.calmSinceMs = nowMs;
      this.reserve(Math.max(0, this.reserveS - RESERVE_STEP_S));
    }
  }

  reserve(seconds) {
    this.reserveS = seconds;
    this.line.setReserve(seconds);
  }

  // Whether all from here to a little behind `goalS` is loaded.
  holds(goalS) {
    const { buffered, currentTime } = this.video;
    for (let at = 0; at < buffered.length; at++) {
      if (buffered.start(at) <= currentTime + 0.1 && buffered.end(at) >= goalS + AHEAD_S) return true;
    }
    return false;
  }
}
