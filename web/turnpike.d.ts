// Types of the client. `README.md` says how to use it.

// Live video is the browser's: programs without its types, such as those of Node, are given them here.
/// <reference lib="dom" />

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** JSON, and bytes anywhere in it. They arrive as `Uint8Array`. */
export type Body = null | boolean | number | string | Uint8Array | ArrayBuffer | Body[] | { [key: string]: Body };

export type Status = "connecting" | "online" | "offline" | "refused" | "closed";
export type PresenceStatus = "online" | "away" | "busy" | "invisible";

export interface StatusDetails {
  /** Offline: when the next attempt is made. */
  retryInMs?: number;
  reason?: string;
}

export interface IceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
  expires_at?: number;
}

export interface SessionInfo {
  connection: string;
  user: string;
  node: string;
  recovered: boolean;
  server_time: number;
  ping_interval_ms: number;
  ping_timeout_ms: number;
  ice_servers?: IceServer[];
}

export interface Message<B = Body> {
  room: string;
  id: string;
  from: string;
  ts: number;
  epoch: number;
  seq: number;
  body: B;
  volatile?: boolean;
}

export interface Sent {
  id: string;
  epoch: number;
  seq: number;
  ts: number;
  duplicate?: boolean;
}

export interface Member {
  user: string;
  status: PresenceStatus;
  activity?: Json;
  devices?: number;
}

export interface JoinOptions {
  /** How many of the latest messages: up to 100. */
  history?: number;
  /** Be shown to the others of the room, and be told of them. */
  presence?: boolean;
  /** A position, from `positions`: all messages after it, if they can still be had (`recovered`). */
  since?: string;
}

export interface Joined {
  room: string;
  epoch: number;
  seq: number;
  recovered: boolean;
  messages: Message[];
  members?: Member[];
  count?: number;
}

export interface Rejoined {
  room: string;
  /** Messages that were missed, and given as `message`. */
  missed: number;
  /** Whether these were all. */
  complete: boolean;
  members?: Member[];
  count?: number;
}

export interface Receipt {
  room: string;
  marks: { user: string; received?: number; read?: number }[];
}

export interface Typing {
  room: string;
  users: string[];
  more: number;
}

export interface Presence {
  room: string;
  count: number;
  joined: Member[];
  left: string[];
  changed: Member[];
  partial?: boolean;
}

export interface Track {
  mid: string;
  kind: "audio" | "video";
  muted?: boolean;
  layers?: { rid?: string; active: boolean; width?: number; height?: number; bitrate?: number }[];
  current?: Json;
}

export interface MediaState {
  session: string;
  stream: string;
  role: "publisher" | "viewer";
  state: "live" | "paused" | "moving" | "ended";
  tracks: Track[];
  viewers: number;
  audience?: string[];
  speaker?: string;
  recording?: boolean;
  code?: number;
  reason?: string;
  retryable?: boolean;
}

export interface Closing {
  code: number;
  reason: string;
  reconnect_after_ms?: number;
}

/** A refusal of the server, or a request that got no answer. */
export class TurnpikeError extends Error {
  readonly code: number;
  readonly reason: string;
  /** Whether the same may work later. */
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
}

export interface ClientEvents {
  status: (status: Status, details: StatusDetails) => void;
  session: (session: SessionInfo) => void;
  /** A message of a joined room, each once and in the room's order. */
  message: (message: Message) => void;
  /** A room is live again after a lost connection. */
  rejoined: (rejoined: Rejoined) => void;
  /** Not everything that was missed can be had: what follows are the latest messages. */
  gap: (gap: { room: string }) => void;
  /** Messages up to here cannot be had any more. */
  resync: (position: { room: string; epoch: number; seq: number }) => void;
  /** We are not in the room any more. */
  left: (left: { room: string; error: TurnpikeError }) => void;
  receipt: (receipt: Receipt) => void;
  typing: (typing: Typing) => void;
  presence: (presence: Presence) => void;
  expiring: (expiring: { at: number }) => void;
  closing: (closing: Closing) => void;
  /** What failed without anybody waiting for it. */
  error: (error: Error) => void;
}

/** What a listener of the event gets first. */
type First<Listener> = Listener extends (data: infer Data, ...rest: any[]) => void ? Data : never;

interface Listening<Events> {
  /** Calls `listener` at every event of the name, until the function that it returns is called. */
  on<Name extends keyof Events>(name: Name, listener: Events[Name]): () => void;
  /** Any other event of the server's. */
  on(name: string, listener: (data: any) => void): () => void;
  off(name: string, listener: (...data: any[]) => void): void;
  once<Name extends keyof Events>(name: Name): Promise<First<Events[Name]>>;
  once(name: string): Promise<any>;
}

interface MediaSessionEvents {
  state: (state: MediaState) => void;
  /** It is over; with the error, if it was not `stop` that ended it. */
  ended: (error?: Error) => void;
  error: (error: Error) => void;
}

interface MediaSession<Events = MediaSessionEvents> extends Listening<Events> {
  readonly stream: string;
  readonly session: string | null;
  readonly state: MediaState | null;
  readonly ended: boolean;
  /** The connection of now; another one takes its place when a relay leaves. */
  readonly peer: RTCPeerConnection | null;
  stop(): Promise<void>;
  mute(muted?: boolean, kind?: "audio" | "video"): Promise<object>;
  stats(): Promise<RTCStatsReport>;
}

export interface Publication extends MediaSession {
  readonly source: MediaStream;
  /** Another camera, or the screen, in place of what is sent. */
  replaceTrack(track: MediaStreamTrack): Promise<void>;
}

export interface SubscriptionEvents extends MediaSessionEvents {
  /** What to show; another one when a relay left. */
  media: (media: MediaStream) => void;
}

export interface LayerWish {
  mid?: string;
  quality?: "low" | "medium" | "high" | "auto" | "off";
  rid?: string;
  spatial?: number;
  temporal?: number;
  width?: number;
  height?: number;
}

export interface Subscription extends MediaSession<SubscriptionEvents> {
  readonly media: MediaStream | null;
  /** What is wanted of the stream; `{}` leaves it to the relay. */
  layer(wanted?: LayerWish): Promise<object>;
}

export interface MediaOptions {
  /** Another class than the page's own. */
  RTCPeerConnection?: typeof RTCPeerConnection;
}

export interface PublishOptions extends MediaOptions {
  /** Several sizes at once, of which each viewer gets what fits: `true`, or the encodings. */
  simulcast?: boolean | RTCRtpEncodingParameters[];
}

export class Client implements Listening<ClientEvents> {
  private constructor();
  readonly status: Status;
  readonly session: SessionInfo | null;
  /** How many messages wait to be stored. */
  readonly waiting: number;
  /** `{ room: "epoch:seq" }` */
  readonly positions: Record<string, string>;
  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): () => void;
  /** Any other event of the server's. */
  on(name: string, listener: (data: any) => void): () => void;
  off(name: string, listener: (...data: any[]) => void): void;
  once<Name extends keyof ClientEvents>(name: Name): Promise<First<ClientEvents[Name]>>;
  once(name: string): Promise<any>;
  /** Comes into a room, and stays in it over lost connections until `leave`. */
  join(room: string, options?: JoinOptions): Promise<Joined>;
  leave(room: string): Promise<void>;
  /**
   * Resolves when the message is stored, however long that takes; rejects if it never will be. `id` recognises what is sent again.
   * What is `volatile` goes to those who are there now, and is neither stored nor kept while there is no connection.
   */
  send(room: string, body: Body, options?: { id?: string; volatile?: boolean }): Promise<Sent>;
  /** Older or newer than a message's `seq`; the latest where neither is given. */
  history(
    room: string,
    range?: { before?: number; after?: number; limit?: number },
  ): Promise<{ epoch: number; messages: Message[]; more: boolean }>;
  /** Everything up to this message has come; others are told by `receipt`. */
  received(room: string, seq: number): Promise<object>;
  /** Everything up to this message was looked at. */
  read(room: string, seq: number): Promise<object>;
  /** Again every three seconds while it lasts. */
  typing(room: string, isTyping?: boolean): Promise<object>;
  /** How this device is shown, in all rooms that were joined with `presence`. */
  presence(update: { status: PresenceStatus; activity?: Json; device?: string }): Promise<object>;
  /** Who is in the room, a page at a time. */
  members(
    room: string,
    page?: { limit?: number; cursor?: string },
  ): Promise<{ count: number; members: Member[]; cursor?: string }>;
  /** Sends live video and sound, until `stop()` of what it gives. */
  publish(stream: string, media: MediaStream, options?: PublishOptions): Promise<Publication>;
  /** Watches a stream, until `stop()` of what it gives. */
  subscribe(stream: string, options?: MediaOptions): Promise<Subscription>;
  /** Begins to record a stream, or ends it. */
  record(stream: string, on?: boolean): Promise<{ stream: string; on: boolean; recording?: string }>;
  /** Any event of the protocol, with its answer. */
  request(event: string, data?: object): Promise<any>;
  /** Brings a new token at once, without another connection. */
  refresh(): Promise<{ expires_at: number; ice_servers?: IceServer[] }>;
  /** Does not wait for the rest of a pause between attempts. */
  retryNow(): void;
  /** Breaks the connection for so long: for trying out what your program does then. */
  interrupt(pauseMs?: number): void;
  /** For good. What still waits to be stored is rejected. */
  close(): void;
}

export type TokenSource = string | (() => string | Promise<string>);

export interface ConnectOptions {
  /** `wss://…/ws`; in a page its own origin is the default. */
  url?: string | URL;
  /** A token, or what gets one: asked at each connect and before a token ends. */
  token: TokenSource;
  /** A name of this device: messages of the personal room wait for each device of a user. */
  device?: string;
  /** Another class than the platform's own, such as that of the package `ws`. */
  WebSocket?: unknown;
  /** How long a request waits for its answer: 10 s unless said otherwise. */
  answerWithinMs?: number;
  /** How many messages may wait while we are offline. */
  queueMax?: number;
}

/** Connects, and keeps connected until `close()`. */
export function connect(options: ConnectOptions): Client;
