// Streams that `ai` makes, read by `twentyfirst-stream` over reqwest; and one that `twentyfirst-protocol` makes behind axum, read by `ai`. The
// message has to be the same at both ends.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Chat } from "@ai-sdk/react";
import { serve } from "@hono/node-server";
import { createUIMessageStream, createUIMessageStreamResponse, DefaultChatTransport, isStepCount, streamText, tool } from "ai";
import { MockLanguageModelV4, simulateReadableStream } from "ai/test";
import { z } from "zod";

import { startChatRoute } from "./server.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/// What JSON keeps of a value: members that are undefined are none.
const json = (value) => JSON.parse(JSON.stringify(value));

/// Asks a route for an answer as a page does, and returns what `ai` makes of it.
async function readByThem(api, text) {
  const data = [];
  const errors = [];
  const ends = [];
  const chat = new Chat({
    transport: new DefaultChatTransport({ api }),
    onData: (part) => data.push(json(part)),
    onError: ({ message }) => errors.push(message),
    onFinish: ({ finishReason }) => ends.push(finishReason),
  });
  await chat.sendMessage({ text });
  return { message: json(chat.lastMessage), data, errors, end: ends[0] };
}

/// Serves a stream of `ai`, and returns what our reader makes of it. It has to be what `ai` makes of it, in the page and in the server.
async function readByUs(execute, options) {
  let written;
  const fetch = () => {
    const onEnd = ({ responseMessage }) => (written = json(responseMessage));
    const stream = createUIMessageStream({ execute, onError: ({ message }) => message, onEnd, generateId: () => "message-1" });
    return createUIMessageStreamResponse({ stream, ...options });
  };
  const server = serve({ fetch, hostname: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const command = ["run", "--quiet", "--locked", "-p", "twentyfirst-stream", "--example", "read_url", "--", url];
  const { stdout } = await promisify(execFile)("cargo", command, { cwd: root });
  const ours = JSON.parse(stdout);
  assert.deepEqual(ours.message, written);

  const theirs = await readByThem(url, "How cold is it?");
  server.close();
  assert.deepEqual(ours.message, theirs.message);
  assert.deepEqual(ours.errors, theirs.errors);
  const transient = theirs.data.filter(({ transient }) => transient);
  assert.deepEqual(ours.transient, transient);
  return ours;
}

const metadata = { provider: { key: ["value", null, 1.5] } };
const usage = { inputTokens: { total: 3 }, outputTokens: { total: 5 } };

/// A model that says these parts in its steps, and then is out of words.
const model = (...steps) =>
  new MockLanguageModelV4({
    doStream: steps.map((chunks) => ({ stream: simulateReadableStream({ chunks: [{ type: "stream-start", warnings: [] }, ...chunks] }) })),
  });

test("an answer of streamText, with tools that work and tools that do not, data, sources and files", async () => {
  const call = (toolCallId, input) => ({ type: "tool-call", toolCallId, toolName: "weather", input: JSON.stringify(input) });
  const steps = [
    [
      { type: "reasoning-start", id: "r", providerMetadata: metadata },
      { type: "reasoning-delta", id: "r", delta: "Zürich, " },
      { type: "reasoning-delta", id: "r", delta: "then." },
      { type: "reasoning-end", id: "r" },
      { type: "tool-input-start", id: "c1", toolName: "weather" },
      { type: "tool-input-delta", id: "c1", delta: '{"place":"Zü' },
      { type: "tool-input-delta", id: "c1", delta: 'rich"}' },
      { type: "tool-input-end", id: "c1" },
      call("c1", { place: "Zürich" }),
      call("c2", { place: "Atlantis" }),
      call("c3", { city: 1 }),
      { type: "finish", finishReason: { unified: "tool-calls" }, usage },
    ],
    [
      { type: "source", sourceType: "url", id: "s1", url: "https://example.com/", title: "Weather", providerMetadata: metadata },
      { type: "source", sourceType: "document", id: "s2", mediaType: "application/pdf", title: "Climate", filename: "climate.pdf" },
      { type: "file", mediaType: "text/plain", data: { type: "data", data: "N8KwQw==" } },
      { type: "text-start", id: "t" },
      // A character that is cut in two.
      { type: "text-delta", id: "t", delta: "It is 7 °C \ud83e" },
      { type: "text-delta", id: "t", delta: "\udd76.\u2028" },
      { type: "text-end", id: "t" },
      { type: "finish", finishReason: { unified: "stop" }, usage },
    ],
  ];
  const weather = tool({
    inputSchema: z.object({ place: z.string() }),
    async *execute({ place }) {
      if (place === "Atlantis") throw new Error("there is no such place");
      yield { celsius: null };
      yield { celsius: 7 };
    },
  });
  const ours = await readByUs(
    async ({ writer }) => {
      // First: `readUIMessageStream` and we drop what comes before it, which `Chat` keeps.
      writer.write({ type: "start" });
      writer.write({ type: "data-progress", id: "p", data: { percent: 10 } });
      writer.write({ type: "data-notice", data: "seen once", transient: true });
      const result = streamText({ model: model(...steps), tools: { weather }, stopWhen: isStepCount(3), prompt: "How cold is it?" });
      const messageMetadata = ({ part }) => (part.type === "finish" ? { tokens: part.totalUsage.totalTokens } : undefined);
      writer.merge(result.toUIMessageStream({ sendStart: false, sendSources: true, messageMetadata, onError: ({ message }) => message }));
      await result.consumeStream();
      writer.write({ type: "data-progress", id: "p", data: { percent: 100 } });
    },
    { keepAliveMs: 1 },
  );

  assert.deepEqual(
    ours.message.parts.map(({ type, state }) => (state ? `${type} ${state}` : type)),
    [
      "data-progress",
      "step-start",
      "reasoning done",
      "tool-weather output-available",
      "tool-weather output-error",
      "tool-weather output-error",
      "step-start",
      "source-url",
      "source-document",
      "file",
      "text done",
    ],
  );
  assert.deepEqual(ours.message.parts.at(0).data, { percent: 100 });
  assert.equal(ours.message.parts.at(-1).text, "It is 7 °C 🥶.\u2028");
  assert.deepEqual(ours.transient, [{ type: "data-notice", data: "seen once", transient: true }]);
  assert.deepEqual([ours.errors, ours.end], [[], "finished"]);
});

test("an answer in which the model fails, and one whose server does", async () => {
  const said = [{ type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "It is" }];
  const model_fails = await readByUs(({ writer }) => {
    const failing = model([...said, { type: "error", error: new Error("overloaded") }]);
    const result = streamText({ model: failing, prompt: "How cold is it?", onError: () => {} });
    writer.merge(result.toUIMessageStream({ onError: ({ message }) => message }));
  });
  const server_fails = await readByUs(({ writer }) => {
    writer.write({ type: "start" });
    said.forEach(writer.write);
    throw new Error("overloaded");
  });
  for (const ours of [model_fails, server_fails]) {
      assert.equal(ours.message.parts.at(-1).text, "It is");
    assert.deepEqual([ours.errors, ours.end], [["overloaded"], "failed"]);
  }
});

test("an answer that is stopped", async () => {
  const ours = await readByUs(async ({ writer }) => {
    const stop = new AbortController();
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue({ type: "text-start", id: "t" });
        controller.enqueue({ type: "text-delta", id: "t", delta: "It is" });
        stop.signal.addEventListener("abort", () => controller.error(stop.signal.reason));
      },
    });
    const onChunk = ({ chunk }) => chunk.type === "text-delta" && stop.abort("stopped");
    const waiting = new MockLanguageModelV4({ doStream: { stream } });
    const result = streamText({ model: waiting, prompt: "How cold is it?", abortSignal: stop.signal, onChunk });
    writer.merge(result.toUIMessageStream());
  });
  assert.equal(ours.message.parts.at(-1).text, "It is");
  assert.deepEqual([ours.errors, ours.end], [[], "aborted"]);
});

const route = await startChatRoute();
after(route.stop);

/// What `ai` makes of an answer of ours, whose message has to be the one that our assembler makes.
async function readOurs(name) {
  const theirs = await readByThem(`${route.baseUrl}/api/chat`, name);
  assert.deepEqual(theirs.message, await (await fetch(`${route.baseUrl}/messages/${name}`)).json());
  return theirs;
}

test("an answer of ours with every kind of chunk", async () => {
  const { message, data, errors, end } = await readOurs("everything");
  assert.deepEqual(
    message.parts.map(({ type, state }) => (state ? `${type} ${state}` : type)),
    [
      "step-start",
      "reasoning done",
      "tool-weather output-available",
      "tool-weather output-error",
      "tool-weather output-error",
      "dynamic-tool output-available",
      "tool-weather input-streaming",
      "step-start",
      "tool-delete output-denied",
      "tool-delete output-available",
      "source-url",
      "source-document",
      "file",
      "reasoning-file",
      "custom",
      "data-progress",
      "data-note",
      "text done",
    ],
  );
  assert.deepEqual(message.metadata, { model: "none", tags: ["b"], cost: 0.25, totalTokens: 90 });
  assert.deepEqual(
    data.map(({ type, transient }) => [type, transient]),
    [
      ["data-progress", undefined],
      ["data-note", undefined],
      ["data-progress", true],
      ["data-progress", undefined],
    ],
  );
  assert.deepEqual([errors, end], [[], "stop"]);
});

test("answers of ours that fail and that are stopped", async () => {
  const failed = await readOurs("failed");
  assert.equal(failed.message.parts.at(-1).text, "It is");
  assert.deepEqual(failed.errors, ["the model is overloaded"]);

  const aborted = await readOurs("aborted");
  assert.equal(aborted.message.parts.at(-1).text, "It is");
  assert.deepEqual(aborted.errors, []);
});
