// The AI SDK's own transport and reader against the chat route of the local relay, as a browser with a token uses them.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { exchangeToken } from "@21st-sdk/nextjs/server";
import { AgentClient } from "@21st-sdk/node";
import { DefaultChatTransport, readUIMessageStream } from "ai";

import { startRelay, storedText, until, user, words } from "./server.mjs";

const relay = await startRelay();
after(relay.stop);
const client = new AgentClient({ apiKey: relay.apiKey, baseUrl: relay.baseUrl });

/// The relay knows sandboxes where the AI SDK knows chats: the id of the one stands for the other.
function transport(agent) {
  const api = `${relay.baseUrl}/v1/chat/${agent}`;
  const headers = async () => {
    const { token } = await exchangeToken({ apiKey: relay.apiKey, relayUrl: relay.baseUrl, agent });
    return { authorization: `Bearer ${token}` };
  };
  return new DefaultChatTransport({
    api,
    headers,
    prepareSendMessagesRequest: ({ id, messages, headers }) => ({ headers, body: { sandboxId: id, messages } }),
    prepareReconnectToStreamRequest: ({ id, headers }) => ({ headers, api: `${api}/${id}/stream` }),
  });
}

/// Sends a text as the next turn of a chat.
const send = (agent, chatId, text, abortSignal) =>
  transport(agent).sendMessages({
    trigger: "submit-message",
    chatId,
    messageId: undefined,
    messages: [{ id: `${chatId}-1`, ...user(text) }],
    abortSignal,
  });

/// The one thread of a chat.
async function thread(sandboxId) {
  const [{ id }] = await client.threads.list({ sandboxId });
  return client.threads.get({ sandboxId, threadId: id });
}

/// Every state of the message that a stream brings, as JSON keeps it.
async function states(stream) {
  const messages = [];
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) {
    messages.push(JSON.parse(JSON.stringify(message)));
  }
  return messages;
}

test("a message grows word by word, and is what is stored", async () => {
  const said = words(20);
  const messages = await states(await send("echo", "words", said));
  const texts = new Set(messages.map(storedText));
  assert.ok(texts.size >= 20, `${texts.size} states`);
  assert.ok([...texts].every((text) => said.startsWith(text)));

  const { status, messages: stored } = await thread("words");
  assert.equal(status, "completed");
  assert.equal(stored[0].id, "words-1");
  assert.deepEqual(messages.at(-1), stored[1]);
  assert.deepEqual(stored[1].parts, [{ type: "text", text: said, state: "done" }]);
  assert.equal(stored[1].metadata.totalTokens, 40);
});

test("a tool call becomes a part with its input and its output", async () => {
  const messages = await states(await send("shell", "tools", "echo hello\nexit 3"));
  const tools = messages.at(-1).parts.filter(({ type }) => type === "tool-Bash");
  assert.deepEqual(
    tools.map(({ state, input, output }) => ({ state, input, output })),
    [
      { state: "output-available", input: { command: "echo hello" }, output: { exitCode: 0, stdout: "hello\n", stderr: "" } },
      { state: "output-available", input: { command: "exit 3" }, output: { exitCode: 3, stdout: "", stderr: "" } },
    ],
  );
  assert.ok(messages.some(({ parts }) => parts.some(({ state }) => state === "input-streaming")));
  assert.deepEqual(messages.at(-1), (await thread("tools")).messages[1]);
});

test("a run that a page has left is joined by another, and goes on either way", async () => {
  const said = words(200);
  const page = new AbortController();
  const stream = await send("echo", "left", said, page.signal);
  await stream.getReader().read();
  page.abort();

  const joined = await until(() => transport("echo").reconnectToStream({ chatId: "left" }));
  const text = storedText((await states(joined)).at(-1));
  assert.ok(text.length > 0 && said.endsWith(text), text);
  const { status, messages } = await thread("left");
  assert.deepEqual([status, storedText(messages[1])], ["completed", said]);
  assert.equal(await transport("echo").reconnectToStream({ chatId: "left" }), null);
});

test("a run that is stopped ends its stream", async () => {
  const stream = await send("shell", "stopped", "sleep 30");
  await until(async () => (await thread("stopped")).status === "streaming");
  const stop = await fetch(`${relay.baseUrl}/v1/chat/shell/stopped/stream`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${relay.apiKey}` },
  });
  assert.equal((await stop.json()).status, "cancelled");
  const messages = await states(stream);
  assert.deepEqual(messages.at(-1).parts.filter(({ state }) => state === "output-available"), []);
  assert.equal((await thread("stopped")).status, "cancelled");
});

test("a refusal is an error with what the relay has said", async () => {
  await assert.rejects(send("nobody", "refused", "Hello"), { message: /Agent \\?"nobody\\?" not found/ });
});
