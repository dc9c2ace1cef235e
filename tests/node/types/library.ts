// What a program of somebody else's would write; the compiler holds the client's types against it.

import { connect, TurnpikeError } from "../../../web/turnpike.js";
import type { Client, Joined, Message, Sent, SessionInfo, Status } from "../../../web/turnpike.js";
import { over } from "../../../web/socketio.js";
import { io } from "socket.io-client";

export async function chat(token: () => Promise<string>): Promise<Sent> {
  const client: Client = connect({ url: "wss://chat.example.com/ws", token, device: "laptop", queueMax: 10 });
  const stop: () => void = client.on("message", (message: Message) => console.log(message.room, message.seq, message.body));
  client.on("status", (status, { retryInMs }) => status === "offline" && console.log(retryInMs?.toFixed()));
  client.on("rejoined", ({ missed, complete }) => console.log(missed + 1, !complete));
  client.on("presence", ({ joined }) => joined.map(({ user }) => user.length));
  const session: SessionInfo = await client.once("session");
  const next: Status = await client.once("status");
  console.log(session.node, next === "online", client.positions["chat:lobby"]?.split(":").length);
  // @ts-expect-error: a session is not a message
  const wrong: Message = await client.once("session");
  client.off("message", () => wrong);
  const joined: Joined = await client.join("chat:lobby", { history: 50, presence: true });
  joined.members?.forEach(({ status }) => status === "busy");
  // @ts-expect-error: a room has a name
  client.join(7).catch(() => {});
  // @ts-expect-error: there is no such status
  client.presence({ status: "asleep" }).catch(() => {});
  stop();
  try {
    return await client.send("chat:lobby", { text: "hello", file: new Uint8Array(3) });
  } catch (error) {
    if (error instanceof TurnpikeError && error.retryable) await new Promise((wake) => setTimeout(wake, error.retryAfterMs));
    throw error;
  } finally {
    client.close();
  }
}

export async function video(client: Client, camera: MediaStream, screen: HTMLVideoElement): Promise<void> {
  const publication = await client.publish("live:show", camera, { simulcast: true });
  publication.on("state", ({ viewers }) => console.log(viewers.toFixed()));
  const subscription = await client.subscribe("live:show");
  subscription.on("media", (media) => (screen.srcObject = media));
  subscription.on("ended", (error) => console.log(error?.message));
  await subscription.layer({ quality: "low" });
  // @ts-expect-error: no such quality
  await subscription.layer({ quality: "splendid" });
  await publication.stop();
}

export const official: Client = over(io("https://chat.example.com", { autoConnect: false }), { token: "…" });
