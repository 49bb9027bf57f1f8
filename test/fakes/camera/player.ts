import { randomInt } from "node:crypto";
import { CLIP_FPS, CLIP_FRAMES, CLIP_GOP_FRAMES } from "./clip.ts";
import type { SuddenFault } from "./faults.ts";
import { malformedPacket, noise } from "./noise.ts";
import type { Outlet } from "./outlet.ts";
import { FRAME_TICKS, INTERLEAVED_BYTES, type PacketLoop, packetLoop, VIDEO_CLOCK_HZ } from "./packets.ts";
import { senderReport } from "./rtcp.ts";
import { patchStamp } from "./stamp.ts";
import type { StreamSource } from "./stream.ts";

/** Share of a frame's time over which its packets are spread. */
const SPREAD = 0.8;

/** Moment on both clocks. */
export interface Instant {
  readonly monoMs: number;
  readonly utcMs: number;
}

/** One track that the client has set up. */
export interface PlayerTrack {
  readonly kind: "video" | "audio";
  /** Channel of RTP; RTCP has the next one. */
  readonly channel: number;
}

interface TrackState extends PlayerTrack {
  readonly clockRateHz: number;
  ssrc: number;
  sequence: number;
  /** RTP timestamp of media time 0 of this client. */
  origin: number;
  packets: number;
  payloadBytes: number;
}

/** Counts of what a client was sent. */
export interface PlayerCounts {
  frames: number;
  packets: number;
  bytes: number;
  /** Left out whole since the client did not read. */
  droppedFrames: number;
}

/** The timeline of one playing client: begins at its PLAY, with the picture that the stream's options say. */
export class Player {
  readonly counts: PlayerCounts = { frames: 0, packets: 0, bytes: 0, droppedFrames: 0 };
  readonly #source: StreamSource;
  readonly #outlet: Outlet;
  readonly #start: Instant;
  readonly #frameMs: number;
  readonly #video: TrackState | null;
  readonly #audio: TrackState | null;
  #loop: PacketLoop;
  #changed = false;
  /** Frames since the start. */
  #frame = 0;
  #next = 0;
  #end = 0;
  #frameOpen = false;
  #nextReportMonoMs: number;
  #jumpSeconds = 0;
  /** Frames for which the jump holds. */
  #jumpFrames = 0;
  #packetsToLose = 0;
  #over = false;

  constructor(source: StreamSource, tracks: readonly PlayerTrack[], outlet: Outlet, start: Instant) {
    this.#source = source;
    this.#outlet = outlet;
    this.#start = start;
    this.#frameMs = 1000 / CLIP_FPS / (1 + source.options.clockDriftPpm / 1e6);
    this.#nextReportMonoMs = source.options.senderReportMs > 0 ? start.monoMs : Number.POSITIVE_INFINITY;
    this.#loop = this.#chooseLoop();
    const state = (kind: "video" | "audio", clockRateHz: number): TrackState | null => {
      const track = tracks.find((candidate) => candidate.kind === kind);
      if (track === undefined) return null;
      const { firstSequence, firstTimestamp } = source.options;
      const wrap = source.faults.get("wrap");
      return {
        ...track,
        clockRateHz,
        ssrc: randomInt(2 ** 32),
        sequence: wrap !== undefined ? 65436 : (firstSequence ?? randomInt(2 ** 16)),
        origin: wrap !== undefined ? 2 ** 32 - Math.round(wrap.afterSeconds * clockRateHz) : (firstTimestamp ?? randomInt(2 ** 32)),
        packets: 0,
        payloadBytes: 0,
      };
    };
    this.#video = state("video", VIDEO_CLOCK_HZ);
    this.#audio = state("audio", this.#loop.audio?.clockRateHz ?? VIDEO_CLOCK_HZ);
  }

  /** `seq` and `rtptime` of the next packet of a track, for RTP-Info (RFC 2326 12.33). */
  rtpInfo(kind: "video" | "audio"): { readonly sequence: number; readonly rtpTime: number } | null {
    const track = kind === "video" ? this.#video : this.#audio;
    return track === null ? null : { sequence: track.sequence, rtpTime: track.origin };
  }

  /** Sends everything that is due. */
  advance(now: Instant): void {
    if (this.#over) return;
    if (now.monoMs >= this.#nextReportMonoMs) {
      this.#nextReportMonoMs += this.#source.options.senderReportMs;
      if (!this.#source.mute) this.#report(now, false);
    }
    for (;;) {
      const elapsedMs = now.monoMs - this.#start.monoMs - this.#frame * this.#frameMs;
      if (elapsedMs < 0) return;
      if (!this.#frameOpen) this.#beginFrame();
      const share = this.#source.options.pacing === "burst" ? 1 : elapsedMs / (this.#frameMs * SPREAD);
      const due = share >= 1 ? this.#end : Math.min(this.#end, this.#next + this.#packetsDue(share));
      if (due > this.#next) this.#send(due, now);
      if (this.#next < this.#end) return;
      this.#endFrame();
    }
  }

  /** Applies a fault of the media; those of the connection are not for the player. */
  strike(fault: SuddenFault): void {
    switch (fault.kind) {
      case "timestamp-jump":
        this.#jumpSeconds = fault.seconds + (this.#jumpFrames === Number.POSITIVE_INFINITY ? this.#jumpSeconds : 0);
        this.#jumpFrames = fault.frames ?? Number.POSITIVE_INFINITY;
        return;
      case "sequence-gap":
        this.#packetsToLose += fault.packets;
        return;
      case "ssrc-change":
        for (const track of [this.#video, this.#audio]) {
          if (track === null) continue;
          track.ssrc = randomInt(2 ** 32);
          track.sequence = randomInt(2 ** 16);
          track.origin = randomInt(2 ** 32);
        }
        return;
      default:
        return;
    }
  }

  /** Ends the media with RTCP BYE. */
  bye(now: Instant): void {
    if (!this.#over) this.#report(now, true);
    this.#over = true;
  }

  #packetsDue(share: number): number {
    const first = this.#video === null ? this.#audioStart : this.#videoStart;
    return Math.max(0, first + Math.floor(share * (this.#end - first)) + 1 - this.#next);
  }

  get #slot(): number {
    return (this.#source.options.firstFrame + this.#frame) % CLIP_FRAMES;
  }

  get #videoStart(): number {
    return this.#loop.videoStart[this.#slot] ?? 0;
  }

  get #audioStart(): number {
    return this.#loop.audioStart[this.#slot] ?? 0;
  }

  #chooseLoop(): PacketLoop {
    const { options, faults } = this.#source;
    const changed = faults.has("parameter-change");
    this.#changed ||= changed;
    const video = changed ? (options.video === "1080p" ? "720p" : "1080p") : options.video;
    const { audio, bitrateBps, payloadBytes } = options;
    // Once the parameter sets have changed those of the SDP are of no use.
    return packetLoop({
      video,
      audio,
      bitrateBps,
      payloadBytes,
      inBandParameterSets: options.parameterSets !== "sdp-only" || this.#changed,
    });
  }

  #beginFrame(): void {
    if (this.#slot % CLIP_GOP_FRAMES === 0) this.#loop = this.#chooseLoop();
    const [videoStart, audioStart, slotEnd] = [this.#videoStart, this.#audioStart, this.#loop.videoStart[this.#slot + 1] ?? 0];
    this.#next = this.#video === null ? audioStart : videoStart;
    this.#end = this.#audio === null ? audioStart : slotEnd;
    this.#frameOpen = true;
    const { faults } = this.#source;
    if (this.#outlet.congested && !this.#source.mute) {
      // As lost on the way: the numbers go on, so that the client can tell.
      if (this.#video !== null) this.#video.sequence = (this.#video.sequence + audioStart - videoStart) & 0xffff;
      if (this.#audio !== null) this.#audio.sequence = (this.#audio.sequence + slotEnd - audioStart) & 0xffff;
      this.counts.droppedFrames++;
      this.#next = this.#end;
      return;
    }
    if (faults.has("garbage-only")) this.#outlet.noise(noise(1000 + (this.#frame % 1000)));
    if (this.#source.mute) {
      this.#next = this.#end;
      return;
    }
    const garbage = faults.get("garbage");
    if (garbage !== undefined) this.#outlet.noise(noise(garbage.bytes));
    const video = this.#video ?? this.#audio;
    if (faults.has("malformed-rtp") && video !== null) {
      const broken = malformedPacket(this.#frame, video.ssrc, video.sequence);
      this.#outlet.single(broken.otherChannel ? 200 : video.channel, broken.packet);
    }
  }

  #endFrame(): void {
    this.#frameOpen = false;
    this.#frame++;
    this.counts.frames++;
    if (this.#jumpFrames > 0 && --this.#jumpFrames === 0) this.#jumpSeconds = 0;
    this.#source.frameSent(this.#frame);
  }

  /** Patches and writes packets up to `due`. */
  #send(due: number, now: Instant): void {
    const { bytes, stampOffsets, offsets } = this.#loop;
    const slot = this.#slot;
    const first = this.#next;
    const videoStart = this.#videoStart;
    if (this.#video !== null && first === videoStart) {
      const played = this.#source.options.firstFrame + this.#frame;
      patchStamp(bytes, stampOffsets[slot] ?? 0, Math.floor(played / CLIP_FRAMES), played % CLIP_FRAMES, Math.round(now.utcMs * 1000));
    }
    for (let packet = first; packet < due; packet++) this.#patch(packet);
    this.#next = due;
    this.counts.packets += due - first;
    this.counts.bytes += (offsets[due] ?? 0) - (offsets[first] ?? 0);
    if (this.#source.faults.has("duplicates")) {
      for (let packet = first; packet < due; packet++) {
        this.#outlet.packets(this.#loop, packet, packet + 1);
        this.#outlet.packets(this.#loop, packet, packet + 1);
      }
      return;
    }
    let from = first;
    if (this.#packetsToLose > 0) {
      // The first packet of a frame arrives, so that what is lost belongs to a unit that has begun.
      if (from === videoStart) this.#outlet.packets(this.#loop, from, ++from);
      const lost = Math.min(this.#packetsToLose, due - from);
      this.#packetsToLose -= lost;
      from += lost;
    }
    this.#outlet.packets(this.#loop, from, due);
  }

  #patch(packet: number): void {
    const { bytes, view, offsets, audioStart, audioTicks, audio } = this.#loop;
    const isVideo = packet < (audioStart[this.#slot] ?? 0);
    const track = isVideo ? this.#video : this.#audio;
    if (track === null) return;
    const at = offsets[packet] ?? 0;
    const { firstFrame } = this.#source.options;
    let ticks = this.#frame * FRAME_TICKS;
    if (!isVideo) {
      const loops = Math.floor((firstFrame + this.#frame) / CLIP_FRAMES);
      ticks = loops * (audio?.loopTicks ?? 0) + (audioTicks[packet] ?? 0) - Math.round((firstFrame / CLIP_FPS) * track.clockRateHz);
    }
    bytes[at + 1] = track.channel;
    view.setUint16(at + INTERLEAVED_BYTES + 2, track.sequence);
    view.setUint32(at + INTERLEAVED_BYTES + 4, track.origin + ticks + this.#jumpTicks(track));
    view.setUint32(at + INTERLEAVED_BYTES + 8, track.ssrc);
    track.sequence = (track.sequence + 1) & 0xffff;
    track.packets++;
    track.payloadBytes += (offsets[packet + 1] ?? 0) - at - INTERLEAVED_BYTES - 12;
  }

  #jumpTicks(track: TrackState): number {
    return this.#jumpFrames > 0 ? Math.round(this.#jumpSeconds * track.clockRateHz) : 0;
  }

  #report(now: Instant, bye: boolean): void {
    const elapsedMs = ((now.monoMs - this.#start.monoMs) * (1000 / CLIP_FPS)) / this.#frameMs;
    for (const track of [this.#video, this.#audio]) {
      if (track === null) continue;
      const ticks = Math.round((elapsedMs / 1000) * track.clockRateHz) + this.#jumpTicks(track);
      const state = {
        ssrc: track.ssrc,
        utcMs: this.#start.utcMs + elapsedMs,
        rtpTicks: (track.origin + ticks) % 2 ** 32,
        packets: track.packets,
        payloadBytes: track.payloadBytes,
      };
      this.#outlet.single(track.channel + 1, senderReport(state, "virtual-camera", bye));
    }
  }
}
