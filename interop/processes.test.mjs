// The example `web_chat` in several processes over Redis, where the system has it: one of them dies, or is told to stop.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Chat } from "@ai-sdk/react";

import { openBrowser, startRelay, startWebChat, storedText, until, words } from "./server.mjs";

if (spawnSync("redis-server", ["--version"]).status === 0) {
  const folder = await mkdtemp(join(tmpdir(), "web_chat-"));
  const relay = await startRelay();
  const redis = await startRedis();
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
      const [one, other] = [await startOne(), await startOne()];
      const here = await openBrowser(one);
      const there = await openBrowser(other, here.headers);
      const said = words(400);
      const page = new Chat({ id: crypto.randomUUID(), transport: here.transport });
      page.sendMessage({ text: said });
      await until(() => page.messages[1] && storedText(page.messages[1]).includes("word99"));
      const { turn } = await there.load(page.id);
      const tab = new Chat({ id: page.id, messages: [turn], transport: there.transport });
      const whole = tab.resumeStream();
      await until(() => tab.messages[1] && storedText(tab.messages[1]).includes("word99"));

      const began = Date.now();
      await one.end(signal);
      await whole;
      assert.ok(Date.now() - began < atMost, `${Date.now() - began} ms`);
      assert.equal(tab.status, "ready");
      assert.equal(tab.messages.length, 2);
      assert.equal(storedText(tab.messages[1]), said);
      assert.equal(tab.messages[1].id, page.messages[1].id);
      await other.stop();
    });
  }

  /// Starts a Redis of its own: `{ url, kill }`.
  async function startRedis() {
    const listener = createServer();
    await new Promise((listening) => listener.listen(0, "127.0.0.1", listening));
    const { port } = listener.address();
    await new Promise((closed) => listener.close(closed));
    const options = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"];
    const child = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] });
    process.once("exit", () => child.kill());
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
    await until(() => printed.includes("Ready to accept connections"));
    return { url: `redis://127.0.0.1:${port}`, kill: () => child.kill() };
  }
} else {
  test("web_chat in several processes", { skip: "there is no redis-server" }, () => {});
}
