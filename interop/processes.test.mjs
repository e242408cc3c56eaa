// The example `web_chat` in several processes over Redis, where the system has it: one of them dies, is told to stop, or
// sleeps for so long that it is taken for dead.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

import { hasRedis, startRedis } from "./redis.mjs";
import { openBrowser, startRelay, startWebChat, storedText, until, words } from "./server.mjs";

if (hasRedis) {
  const folder = await mkdtemp(join(tmpdir(), "web_chat-"));
  const relay = await startRelay();
  const redis = await startRedis(folder);
  after(async () => {
    redis.kill();
    await relay.stop();
    await rm(folder, { recursive: true });
  });
  const startOne = () =>
    startWebChat({
      options: ["--redis", redis.url],
      API_KEY_21ST: relay.apiKey,
      RELAY_BASE_URL: relay.baseUrl,
      AGENT_SLUG: "echo",
      DATABASE: join(folder, "chats.db"),
    });

  for (const [name, signal, atMost] of [
    ["a process dies, and another goes on", "SIGKILL", 40_000],
    ["a process is told to stop, and another goes on at once", "SIGTERM", 12_000],
  ]) {
    test(name, async () => {
      const { one, other, said, page, tab, whole } = await startStory();
      const began = Date.now();
      await one.end(signal);
      await whole;
      assert.ok(Date.now() - began < atMost, `${Date.now() - began} ms`);
      assertIsWhole(tab, said);
      assert.equal(tab.messages[1].id, page.messages[1].id);
      await other.stop();
    });
  }

  test("a process sleeps past the take-over, and does no harm when it wakes", async () => {
    const { one, other, said, page, tab, sent, whole, runs } = await startStory();
    one.signal("SIGSTOP");
    await whole;
    assertIsWhole(tab, said);
    assert.notEqual(page.status, "ready");
    const [run] = runs;
    const log = redis.log(run);
    // The sleeper has claimed the run, then the other, and it has ended once.
    const kinds = log.map(({ at, kind }) => `${at.split("-")[0]} ${kind}`);
    assert.deepEqual(kinds.filter((kind) => / (claim|end)$/.test(kind)), ["1 claim", "2 claim", "2 end"]);

    one.signal("SIGCONT");
    await sent;
    assertIsWhole(page, said);
    assert.deepEqual(page.messages[1], tab.messages[1]);
    // What it had not written yet is refused.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    assert.deepEqual(redis.log(run), log);

    // Both replay the same, and the chat goes on at the one that has slept.
    const { messages } = await page.browser.load(page.id);
    assert.deepEqual(messages.map(({ role }) => role), ["user", "assistant"]);
    for (const { transport } of [page.browser, tab.browser]) {
      const reloaded = new Chat({ id: page.id, messages: [messages[0]], transport });
      await reloaded.resumeStream();
      assertIsWhole(reloaded, said);
      assert.deepEqual(reloaded.messages[1], tab.messages[1]);
    }
    await page.sendMessage({ text: "And then?" });
    assert.equal(page.status, "ready");
    assert.equal(storedText(page.messages[3]), "And then?");
    await Promise.all([one.stop(), other.stop()]);
  });

  test("a message that comes at another process waits for its turn", async () => {
    const { one, other, said, page, sent, there } = await startPage();
    const seen = [];
    const tab = await openTab(there, page, (data) => seen.push(data));
    const queued = tab.sendMessage({ text: "And then?" }, { body: { turnOrder: "enqueue" } });
    await until(() => seen.length > 0);
    assert.deepEqual(seen.map(({ type, data }) => ({ type, data })), [{ type: "data-queued", data: { position: 1 } }]);
    assert.equal(page.status, "streaming");
    await Promise.all([sent, queued]);
    assertIsWhole(page, said);
    assert.equal(tab.status, "ready", tab.error?.message);
    assert.equal(storedText(tab.messages.at(-1)), "And then?");
    const { messages } = await there.load(page.id);
    assert.deepEqual(messages.map(storedText), [said, said, "And then?", "And then?"]);
    await Promise.all([one.stop(), other.stop()]);
  });

  test("a message that interrupts at another process is answered with what was asked before", async () => {
    const { one, other, said, page, sent, there } = await startPage();
    const tab = await openTab(there, page);
    await tab.sendMessage({ text: "Shorter!" }, { body: { turnOrder: "interrupt" } });
    await sent;
    assert.equal(page.status, "ready", page.error?.message);
    assert.ok(storedText(page.messages[1]).length < said.length);
    assert.equal(tab.status, "ready", tab.error?.message);
    assert.equal(storedText(tab.messages.at(-1)), `${said}\nShorter!`);
    const { messages } = await there.load(page.id);
    assert.deepEqual(messages.map(({ role }) => role), ["user", "assistant"]);
    assert.equal(storedText(messages[1]), `${said}\nShorter!`);
    await Promise.all([one.stop(), other.stop()]);
  });

  /// Another tab of this page, at another process, that shows what was asked.
  async function openTab(there, page, onData) {
    const { turn } = await there.load(page.id);
    return new Chat({ id: page.id, messages: [turn], transport: there.transport, onData });
  }

  /// Two processes, of which one says a long answer to a page, while the other shows it in a second tab.
  async function startStory() {
    const { one, other, said, page, sent, runs, there, isUnderWay } = await startPage();
    const tab = await openTab(there, page);
    Object.assign(tab, { browser: there });
    const whole = tab.resumeStream();
    await isUnderWay(tab);
    return { one, other, said, page, tab, sent, whole, runs };
  }

  /// Two processes, of which one says a long answer to a page.
  async function startPage() {
    const [one, other] = [await startOne(), await startOne()];
    const here = await openBrowser(one);
    const there = await openBrowser(other, here.headers);
    const said = words(400);
    const runs = [];
    const noting = async (url, options) => {
      const response = await fetch(url, options);
      runs.push(response.headers.get("x-workflow-run-id"));
      return response;
    };
    const transport = new DefaultChatTransport({ ...here, fetch: noting });
    const page = Object.assign(new Chat({ id: crypto.randomUUID(), transport }), { browser: here });
    const sent = page.sendMessage({ text: said });
    const isUnderWay = (chat) => until(() => chat.messages[1] && storedText(chat.messages[1]).includes("word99"));
    await isUnderWay(page);
    return { one, other, said, page, sent, runs, there, isUnderWay };
  }

  /// One answer, whole, once.
  function assertIsWhole(chat, said) {
    assert.equal(chat.status, "ready", chat.error?.message);
    assert.equal(chat.messages.length, 2);
    assert.equal(storedText(chat.messages[1]), said);
  }
} else {
  test("web_chat in several processes", { skip: "there is no redis-server" }, () => {});
}
