// The AI SDK against the example `web_chat`: its transport, and `useChat` mounted in a page without a screen.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { useChat } from "@ai-sdk/react";
import { readUIMessageStream } from "ai";
import { createElement } from "react";
import { create } from "react-test-renderer";

import { openBrowser, startWebChat, storedText, until, user } from "./server.mjs";

const server = await startWebChat();
after(server.stop);

const messagesOf = (chatId, text) => ({
  trigger: "submit-message",
  chatId,
  messageId: undefined,
  messages: [{ id: `${chatId}-1`, ...user(text) }],
  abortSignal: undefined,
});

/// Every state of the message that a stream brings, as JSON keeps it.
async function* states(stream) {
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) {
    yield JSON.parse(JSON.stringify(message));
  }
}

/// What is stored of a chat whose last answer was stopped, once that is.
const stoppedIn = (load, id) => until(async () => {
  const stored = await load(id);
  return stored.messages.at(-1)?.metadata?.end === "cancelled" && stored;
});

async function lastOf(stream) {
  let last;
  for await (const message of states(stream)) last = message;
  return last;
}

/// Mounts a component that uses the chat: `chat()` is what it has rendered last, `seen` every status and text.
async function mount(options) {
  let chat;
  const seen = [];
  const root = create(
    createElement(() => {
      chat = useChat({ ...options, onError: () => {} });
      seen.push({ status: chat.status, text: chat.messages.map(storedText).join("") });
      return null;
    }),
  );
  await until(() => chat);
  return { chat: () => chat, seen, unmount: () => root.unmount() };
}

test("the transport sends, and a reload replays the answer", async () => {
  const id = crypto.randomUUID();
  const { transport, load } = await openBrowser(server);
  const page = states(await transport.sendMessages(messagesOf(id, "$ echo hello")));
  while (!storedText((await page.next()).value));
  const reloaded = await until(() => transport.reconnectToStream({ chatId: id }));
  const [answer, joined] = await Promise.all([
    (async () => {
      let last;
      for await (const message of page) last = message;
      return last;
    })(),
    lastOf(reloaded),
  ]);
  const [tool] = answer.parts;
  assert.deepEqual([tool.type, tool.state, tool.output.stdout], ["tool-Bash", "output-available", "hello\n"]);
  assert.deepEqual(joined, answer);

  const { messages, streaming, usage } = await until(async () => {
    const stored = await load(id);
    return !stored.streaming && stored;
  });
  assert.deepEqual([streaming, messages.length, messages[0].id], [false, 2, `${id}-1`]);
  assert.deepEqual(messages[1], answer);
  assert.equal(usage.totalTokens, answer.metadata.totalTokens);
  assert.deepEqual(await lastOf(await transport.reconnectToStream({ chatId: id })), answer, "it is kept for a while");
});

test("stopping ends the run and its stream", async () => {
  const id = crypto.randomUUID();
  const { transport, load, stop } = await openBrowser(server);
  const page = states(await transport.sendMessages(messagesOf(id, "Hello")));
  await page.next();
  assert.equal((await stop(id)).status, "cancelled");
  let last;
  for await (const message of page) last = message;
  assert.ok(!last?.metadata, "it has not come to its end");
  const stored = await stoppedIn(load, id);
  assert.deepEqual([stored.turn, stored.messages.length, stored.messages[0].id], [null, 2, `${id}-1`]);
  assert.deepEqual({ ...stored.messages[1], metadata: undefined }, { ...last, metadata: undefined });
  assert.equal((await stop(id)).status, "idle");
});

test("what was stopped and what has failed stands where it was, and what is asked again takes its place", async () => {
  const id = crypto.randomUUID();
  const { transport, load, stop } = await openBrowser(server);
  const send = (name, text, body) =>
    transport.sendMessages({ ...messagesOf(id, text), messages: [{ id: name, ...user(text) }], body });
  const stopped = await send("stopped", "Hello");
  await stop(id);
  await lastOf(stopped);
  await lastOf(await send("completed", "$ echo one"));
  await assert.rejects(lastOf(await send("failed", "! no_credit: nothing is left")), { message: /nothing is left/ });
  const stored = () => until(async () => {
    const { messages, turn } = await load(id);
    return !turn && messages;
  });
  const summary = (messages) => messages.map(({ id, role, metadata }) => (role === "user" ? id : (metadata?.end ?? "completed")));
  assert.deepEqual(summary(await stored()), ["stopped", "cancelled", "completed", "completed", "failed", "failed"]);
  assert.equal((await stored()).at(-1).metadata.error, "no_credit: nothing is left");

  await lastOf(await send("again", "$ echo two", { replaces: "failed" }));
  assert.deepEqual(summary(await stored()), ["stopped", "cancelled", "completed", "completed", "again", "completed"]);
});

test("a chat is its owner's, and only a new message can be sent", async () => {
  const id = crypto.randomUUID();
  const [owner, stranger] = [await openBrowser(server), await openBrowser(server)];
  await owner.transport.sendMessages(messagesOf(id, "Hello"));
  await assert.rejects(stranger.transport.reconnectToStream({ chatId: id }), { message: /there is no such chat/ });
  assert.deepEqual(await stranger.stop(id), { error: "there is no such chat" });
  await assert.rejects(stranger.transport.sendMessages(messagesOf(id, "Hello")), { message: /there is no such chat/ });
  const again = { ...messagesOf(id, "Hello"), trigger: "regenerate-message" };
  await assert.rejects(owner.transport.sendMessages(again), { message: /regenerating a message is not supported/ });
  assert.equal((await owner.stop(id)).status, "cancelled");
});

test("a chat goes on when its sandbox is gone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "web_chat-"));
  const database = join(folder, "chats.db");
  const [id, other] = [crypto.randomUUID(), crypto.randomUUID()];
  const yesterday = await startWebChat({ DATABASE: database });
  const { headers, transport, load } = await openBrowser(yesterday);
  await lastOf(await transport.sendMessages(messagesOf(id, "Hello")));
  await until(async () => (await load(id)).messages.length === 2);
  await yesterday.stop();

  // Its relay, with all sandboxes, has ended with it.
  const today = await startWebChat({ DATABASE: database });
  const browser = await openBrowser(today, headers);
  assert.deepEqual((await browser.load(id)).messages, []);
  for (const chatId of [other, id]) {
    const answer = await lastOf(await browser.transport.sendMessages(messagesOf(chatId, "$ echo again")));
    assert.equal(answer.parts[0].output.stdout, "again\n");
  }
  await today.stop();
  await rm(folder, { recursive: true });
});

test("useChat sends, shows the text as it grows, and a page that is loaded again resumes", async () => {
  const id = crypto.randomUUID();
  const { transport, load } = await openBrowser(server);
  const page = await mount({ id, transport });
  page.chat().sendMessage({ text: "Hello" });
  await until(() => page.chat().messages[1]?.parts.some(({ text }) => text?.length > 30));

  const stored = await load(id);
  assert.deepEqual([stored.streaming, stored.messages.length, storedText(stored.turn)], [true, 0, "Hello"]);
  const reloaded = await mount({ id, transport, messages: [stored.turn], resume: true });
  await until(() => page.chat().status === "ready" && reloaded.chat().status === "ready" && reloaded.seen.length > 10);

  const statuses = page.seen.map(({ status }) => status).filter((status, at, all) => status !== all[at - 1]);
  assert.deepEqual(statuses, ["ready", "submitted", "streaming", "ready"]);
  const texts = new Set(page.seen.map(({ text }) => text));
  assert.ok(texts.size > 20, `${texts.size} texts`);
  assert.deepEqual(reloaded.chat().messages, [stored.turn, page.chat().messages[1]]);
  const whole = storedText(page.chat().messages[1]);
  assert.ok(reloaded.seen.some(({ status }) => status === "streaming"));
  const after = await until(async () => {
    const stored = await load(id);
    return !stored.streaming && stored;
  });
  assert.deepEqual(after.messages.map(storedText), ["Hello", whole]);
  page.unmount();
  reloaded.unmount();
});

test("useChat's stop leaves the run, and the server ends it", async () => {
  const id = crypto.randomUUID();
  const { transport, load, stop } = await openBrowser(server);
  const page = await mount({ id, transport });
  page.chat().sendMessage({ text: "Hello" });
  await until(() => page.chat().messages[1]?.parts.some(({ text }) => text?.length > 30));
  await page.chat().stop();
  await until(() => page.chat().status === "ready");
  assert.equal((await load(id)).streaming, true);
  assert.equal((await stop(id)).status, "cancelled");
  const [question, answer] = (await stoppedIn(load, id)).messages;
  assert.equal(storedText(question), "Hello");
  assert.ok(storedText(answer).startsWith(storedText(page.chat().messages[1])));

  // The relay has nothing of it, so a refusal is what the page gets for making the answer again.
  page.chat().regenerate();
  await until(() => page.chat().status === "error");
  assert.match(page.chat().error.message, /regenerating a message is not supported/);
  page.unmount();
});
