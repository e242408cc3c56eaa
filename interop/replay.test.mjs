// Chats of the AI SDK, the newest and the newest 5, whose pages lose their connection, are loaded again, and are open twice: each shows
// one answer, whole, once, under one id.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Chat as Chat7 } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { DefaultChatTransport as Transport7 } from "ai";
import { DefaultChatTransport as Transport5 } from "ai5";
import { Chat as Chat5 } from "ai5-react";

import { openBrowser, startWebChat, storedText, until } from "./server.mjs";

const server = await startWebChat();
after(server.stop);
const several = await startWebChat({ options: ["--instances", "4"] });
after(several.stop);

const ending = /^This is the demo agent .* try `\$ ls -la`\.$/s;

/// A response whose body is watched, and breaks off as in a browser, whatever the reason.
function watched(response, see) {
  if (!response.body) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        controller.enqueue(value);
        see(new TextDecoder().decode(value));
      } catch {
        reader.cancel().catch(() => {});
        controller.error(new TypeError("network error"));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, response);
}

/// A `fetch` that loses the connection of the first answer when it has brought these words.
function cutBehind(words) {
  let text = "";
  let isCut = false;
  return async (url, options) =>
    watched(await fetch(url, options), (piece) => {
      text += piece;
      if (isCut || !text.includes(words)) return;
      isCut = true;
      throw new Error("cut");
    });
}

/// A `fetch` that goes on behind the last event that has come whole: what `ai` 5 wants of a connection that comes back, since it keeps
/// what it has, where `ai` 7 takes what comes for a replay.
function goingOn(fetch) {
  let last;
  return async (url, options = {}) => {
    const headers = new Headers(options.headers);
    if (options.method === "POST") last = undefined;
    else if (last !== undefined) headers.set("last-event-id", last);
    let text = "";
    return watched(await fetch(url, { ...options, headers }), (piece) => {
      const events = (text + piece).split("\n\n");
      text = events.pop();
      last = events.findLast((event) => event.startsWith("id: "))?.match(/^id: (\S+)/)[1] ?? last;
    });
  };
}

/// The one answer of a page: a user's message and an assistant's.
function answerOf({ messages }) {
  assert.deepEqual(messages.map(({ role }) => role), ["user", "assistant"]);
  return messages[1];
}

const isReady = (...chats) => until(() => chats.every(({ status }) => status === "ready"));
const hasWords = (chat, words) => until(() => chat.messages[1] && storedText(chat.messages[1]).includes(words));

for (const [name, Chat, Transport, onCut] of [
  ["ai 7", Chat7, Transport7, (fetch) => fetch],
  ["ai 5", Chat5, Transport5, goingOn],
]) {
  /// A page with a chat in it.
  const open = ({ api, headers }, id, { messages, fetch } = {}) =>
    new Chat({ id, messages, transport: new Transport({ api, headers, fetch }) });

  test(`${name}: a cut on a loaded page`, async () => {
    const browser = await openBrowser(server);
    const page = open(browser, crypto.randomUUID(), { fetch: onCut(cutBehind("words")) });
    await page.sendMessage({ text: "$ echo hello" });
    assert.equal(page.status, "error");
    const { id } = answerOf(page);
    assert.doesNotMatch(storedText(answerOf(page)), ending);
    // What `useChat` calls by itself when the page becomes visible again.
    await page["~resumeStreamIfDisconnected"]();
    assert.equal(page.status, "ready");
    assert.equal(answerOf(page).id, id);
    assert.match(storedText(answerOf(page)), ending);
    assert.deepEqual(answerOf(page).parts.map(({ type, state }) => [type, state]), [
      ["tool-Bash", "output-available"],
      ["text", "done"],
    ]);
    const { messages } = await until(async () => {
      const stored = await browser.load(page.id);
      return !stored.streaming && stored;
    });
    assert.deepEqual(messages[1], JSON.parse(JSON.stringify(answerOf(page))));
  });

  test(`${name}: a reload in the middle, and once more behind the end`, async () => {
    const browser = await openBrowser(server);
    const page = open(browser, crypto.randomUUID());
    page.sendMessage({ text: "$ echo hello" });
    await hasWords(page, "words");
    const { messages, turn, streaming } = await browser.load(page.id);
    assert.deepEqual([messages, streaming], [[], true]);
    await page.stop();
    const reloaded = open(browser, page.id, { messages: [turn] });
    await reloaded.resumeStream();
    assert.match(storedText(answerOf(reloaded)), ending);
    assert.equal(answerOf(reloaded).id, answerOf(page).id);

    const stored = await until(async () => {
      const stored = await browser.load(page.id);
      return !stored.streaming && stored;
    });
    const later = open(browser, page.id, { messages: stored.messages });
    await later.resumeStream();
    assert.deepEqual(JSON.parse(JSON.stringify(answerOf(later))), stored.messages[1]);
  });

  test(`${name}: a second tab`, async () => {
    const browser = await openBrowser(server);
    const page = open(browser, crypto.randomUUID());
    page.sendMessage({ text: "Hello" });
    await hasWords(page, "words");
    const { turn } = await browser.load(page.id);
    const tab = open(browser, page.id, { messages: [turn] });
    await tab.resumeStream();
    await isReady(page);
    assert.match(storedText(answerOf(tab)), /^You said: Hello/);
    assert.deepEqual(answerOf(tab), answerOf(page));
  });

  test(`${name}: stop in another tab`, async () => {
    const browser = await openBrowser(server);
    const page = open(browser, crypto.randomUUID());
    page.sendMessage({ text: "Hello" });
    await hasWords(page, "words");
    const { turn } = await browser.load(page.id);
    const tab = open(browser, page.id, { messages: [turn] });
    tab.resumeStream();
    await hasWords(tab, "words");
    assert.equal((await browser.stop(page.id)).status, "cancelled");
    await isReady(page, tab);
    assert.match(storedText(answerOf(page)), /^You said: Hello.* words/s);
    assert.doesNotMatch(storedText(answerOf(page)), ending);
    assert.deepEqual(answerOf(tab), answerOf(page));
    // What was said stays, and replays as stopped.
    const reloaded = open(browser, page.id, { messages: [turn] });
    await reloaded.resumeStream();
    assert.deepEqual(answerOf(reloaded), answerOf(page));
  });
}

/// A page with the transport that reconnects by itself until it sees a `finish`.
function openWorkflow({ api, headers }, id, { messages, fetch, ...options } = {}) {
  const ended = [];
  const transport = new WorkflowChatTransport({
    api,
    fetch,
    onChatEnd: ({ chunkIndex }) => ended.push(chunkIndex),
    // It sends messages only, and no chat.
    prepareSendMessagesRequest: ({ id, messages }) => ({ headers, body: { id, messages } }),
    prepareReconnectToStreamRequest: ({ api }) => ({ api, headers }),
    ...options,
  });
  return Object.assign(new Chat7({ id, messages, transport }), { ended });
}

test("WorkflowChatTransport goes on by itself behind a cut, at the run's id", async () => {
  const browser = await openBrowser(server);
  const urls = [];
  const cut = cutBehind("words");
  const page = openWorkflow(browser, crypto.randomUUID(), {
    fetch: (url, options) => (urls.push(url), cut(url, options)),
  });
  await page.sendMessage({ text: "$ echo hello" });
  assert.equal(page.status, "ready");
  assert.match(storedText(answerOf(page)), ending);
  assert.equal(page.ended.length, 1);
  assert.equal(urls.length, 2);
  assert.match(urls[1], /\/api\/chat\/run-[0-9a-f]{32}\/stream\?startIndex=[1-9]\d*$/);
});

test("WorkflowChatTransport resumes from the start of a chat, and from near its end", async () => {
  const browser = await openBrowser(server);
  const page = openWorkflow(browser, crypto.randomUUID());
  page.sendMessage({ text: "$ echo hello" });
  await hasWords(page, "words");
  const { turn } = await browser.load(page.id);
  const reloaded = openWorkflow(browser, page.id, { messages: [turn] });
  // What is behind the last chunks goes on where they end, also over a cut.
  const tail = openWorkflow(browser, page.id, { messages: [turn], initialStartIndex: -3, fetch: cutBehind("dollar") });
  await Promise.all([reloaded.resumeStream(), tail.resumeStream()]);
  await isReady(page);
  assert.deepEqual(answerOf(reloaded), answerOf(page));
  assert.deepEqual(reloaded.ended, page.ended);
  assert.deepEqual(tail.ended, page.ended);
});

test("WorkflowChatTransport ends with a run that is stopped, and with one that there is not", async () => {
  const browser = await openBrowser(server);
  const page = openWorkflow(browser, crypto.randomUUID());
  page.sendMessage({ text: "Hello" });
  await hasWords(page, "words");
  assert.equal((await browser.stop(page.id)).status, "cancelled");
  await isReady(page);
  assert.equal(page.ended.length, 1);
  assert.doesNotMatch(storedText(answerOf(page)), ending);

  const reloaded = openWorkflow(browser, page.id, { messages: page.messages.slice(0, 1) });
  await reloaded.resumeStream();
  assert.deepEqual(answerOf(reloaded), answerOf(page));
  // It takes a response without a body for a failure.
  const unknown = openWorkflow(browser, crypto.randomUUID());
  await unknown.resumeStream();
  assert.match(unknown.error.message, /there is no such chat/);
});

test("WorkflowChatTransport ends at a cursor beyond the end, and asks once", { timeout: 30_000 }, async () => {
  const browser = await openBrowser(server);
  const page = openWorkflow(browser, crypto.randomUUID());
  page.sendMessage({ text: "Hello" });
  await hasWords(page, "words");
  const { turn } = await browser.load(page.id);
  /// A page that is loaded again with a cursor that is wrong.
  const reload = async () => {
    const urls = [];
    const reloaded = openWorkflow(browser, page.id, {
      messages: [turn],
      initialStartIndex: 10_000,
      fetch(url, options) {
        urls.push(url);
        // It would ask for ever, which no timeout of a test can end.
        if (urls.length > 3) throw new Error("it asks again and again");
        return fetch(url, options);
      },
    });
    await reloaded.resumeStream();
    assert.equal(reloaded.status, "ready", reloaded.error?.message);
    assert.equal(urls.length, 1);
    assert.deepEqual(reloaded.ended, [10_001]);
  };
  await reload();
  await isReady(page);
  await reload();
  // The page itself has all of its answer.
  assert.match(storedText(answerOf(page)), /^You said: Hello.* `\$ ls -la`\.$/s);
});

test("instances are killed: every page has its answer from another", async () => {
  const browser = await openBrowser(several);
  const started = [];
  /// Notes which instance starts the run.
  const noting = async (url, options) => {
    const response = await fetch(url, options);
    if (options.method === "POST") started.push(response.headers.get("x-instance"));
    return watched(response, () => {});
  };
  const open = (Chat, Transport, fetch) =>
    new Chat({ id: crypto.randomUUID(), transport: new Transport({ ...browser, fetch }) });
  const pages = [
    open(Chat7, Transport7, noting),
    open(Chat5, Transport5, goingOn(noting)),
    openWorkflow(browser, crypto.randomUUID(), { fetch: noting }),
  ];
  const answers = pages.map((page) => page.sendMessage({ text: "$ echo hello" }));
  await Promise.all(pages.map((page) => hasWords(page, "words")));
  const ids = pages.map((page) => answerOf(page).id);
  assert.equal(new Set(started).size, 3);
  for (const number of started) {
    const killed = await fetch(`${several.baseUrl}/instances/${number}/kill`, { method: "POST", headers: browser.headers });
    assert.equal(killed.status, 204);
  }
  await Promise.all(answers.slice(0, 2));
  assert.deepEqual(pages.map(({ status }) => status), ["error", "error", "streaming"]);
  // The transport for workflows comes back by itself.
  await Promise.all([pages[0].resumeStream(), pages[1].resumeStream(), answers[2]]);
  for (const [at, page] of pages.entries()) {
    assert.equal(page.status, "ready");
    assert.match(storedText(answerOf(page)), ending);
    assert.equal(answerOf(page).id, ids[at]);
    assert.equal(answerOf(page).parts.filter(({ type }) => type === "text").length, 1);
  }
});
