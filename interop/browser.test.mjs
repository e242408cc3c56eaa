// The page of the example `web_chat`, driven in Chromium, where the system has it.

import assert from "node:assert/strict";
import { access, constants } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { chromium } from "playwright-core";

import { startWebChat, until } from "./server.mjs";

/// The answer of the agent, behind what it has repeated.
const whole = /^That is what I have to say [^`]* try `\$ ls -la`\.$/;

const executablePath = await find("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome");
if (executablePath) {
  const server = await startWebChat();
  after(server.stop);
  const several = await startWebChat({ options: ["--instances", "3"] });
  after(several.stop);
  const browser = await chromium.launch({ executablePath });
  after(() => browser.close());

  /// Opens the page, as a user of its own if no other is named. Whatever goes wrong in it ends up in `problems`.
  const openPage = async ({ url = server.baseUrl, user } = {}) => {
    const page = await (user ?? (await browser.newContext())).newPage();
    page.setDefaultTimeout(15_000);
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(url);
    return { page, problems };
  };
  const type = async (page, text) => {
    await page.locator("#input").fill(text);
    await page.locator("#input").press("Enter");
  };
  const comesTo = (page, status) => page.waitForSelector(`body[data-status=${status}]`);
  /// The text of the answers.
  const textOf = async (page) => (await page.locator("article.assistant p.text").allInnerTexts()).join("");
  /// The texts that the answers go through, until there are so many.
  const watchGrow = async (page, count) => {
    const texts = new Set();
    await until(async () => texts.add(await textOf(page)).size > count);
    return [...texts];
  };

  test("type, see the text grow, load the page again in the middle, and have all of it", async () => {
    const { page, problems } = await openPage();
    await type(page, "$ echo hello from the sandbox");
    const before = await watchGrow(page, 10);
    assert.ok(before.every((text, at) => at === 0 || text.startsWith(before[at - 1].trimEnd())), before.join("\n"));
    assert.equal(await page.locator("article.user").innerText(), "$ echo hello from the sandbox");
    assert.equal(await page.locator("details.tool .output").innerText(), "hello from the sandbox\n");

    await page.reload();
    await comesTo(page, "streaming");
    assert.equal(await page.locator("article.user").innerText(), "$ echo hello from the sandbox");
    const after = await watchGrow(page, 5);
    assert.ok(after.at(-1).startsWith(before.at(-1).trimEnd()), after.join("\n"));

    await comesTo(page, "ready");
    assert.equal(await page.locator("article").count(), 2);
    assert.equal(await page.locator("details.tool .output").innerText(), "hello from the sandbox\n");
    assert.match(await textOf(page), whole);
    assert.match(await page.locator("#usage").innerText(), /^last answer: \d+ tokens, \$0\.\d+\nchat: \d+ tokens/);
    assert.equal(await page.locator("#chats a.open").innerText(), "$ echo hello from the sandbox");
    assert.deepEqual(problems, []);
  });

  test("stop ends the answer, and the chat goes on", async () => {
    const { page, problems } = await openPage();
    await type(page, "Hello");
    await watchGrow(page, 5);
    await page.locator("#stop").click();
    await comesTo(page, "ready");
    const stopped = await textOf(page);
    assert.ok(stopped.startsWith("You said: Hello") && !stopped.endsWith("`$ ls -la`."), stopped);
    assert.equal(await page.locator("#kill").isVisible(), false);

    await type(page, "And now?");
    await watchGrow(page, 5);
    const text = await textOf(page);
    assert.ok(text.startsWith(`${stopped}You said: And now?`), text);
    await page.locator("#stop").click();
    await comesTo(page, "ready");
    assert.deepEqual(problems, []);
  });

  test("a cut: the page comes back by itself, and goes on where it was", async () => {
    const line = await openLine(server.baseUrl);
    const { page } = await openPage({ url: line.url });
    await type(page, "$ echo hello");
    const before = await watchGrow(page, 10);
    line.cut();
    const after = await watchGrow(page, 10);
    assert.ok(after[0].startsWith(before.at(-1).trimEnd()), "nothing that was there goes away");
    await comesTo(page, "ready");
    assert.match(await textOf(page), whole);
    assert.equal(await page.locator("article").count(), 2);
    await page.close();
    line.close();
  });

  test("a cut behind which the answer comes from its start: it is there once", async () => {
    const line = await openLine(server.baseUrl);
    const { page } = await openPage({ url: line.url });
    await page.route("**/stream", (route, request) => {
      const { "last-event-id": last, ...headers } = request.headers();
      return route.continue({ headers: last ? { ...headers, "last-event-id": "of-another" } : headers });
    });
    await type(page, "Hello");
    await watchGrow(page, 10);
    line.cut();
    const after = await watchGrow(page, 10);
    assert.ok(after.every((text) => text.lastIndexOf("You said") <= 0), after.join("\n"));
    await comesTo(page, "ready");
    assert.match(await textOf(page), /^You said: Hello[^`]*`\$ ls -la`\.$/);
    assert.equal(await page.locator("article").count(), 2);
    await page.close();
    line.close();
  });

  test("an EventSource of an older answer has the current one from its start", async () => {
    const line = await openLine(server.baseUrl);
    const { page } = await openPage({ url: line.url });
    await type(page, "Hello");
    await watchGrow(page, 10);
    await page.evaluate((chat) => {
      window.seen = [];
      const source = new EventSource(`/api/chat/${chat}/stream`);
      source.onmessage = ({ lastEventId, data }) => window.seen.push([lastEventId, data]);
    }, new URL(page.url()).hash.slice(1));
    const seen = () => page.evaluate(() => window.seen);
    await until(async () => (await seen()).length > 10);
    // It waits for some seconds until it comes back, the page for less.
    line.cut();
    const before = (await seen()).length;
    await page.locator("#stop").click();
    await comesTo(page, "ready");
    await type(page, "And now?");
    const after = await until(async () => {
      const after = (await seen()).slice(before);
      return after.length > 2 && after;
    });
    const [run] = (await seen())[0][0].split("-");
    const [current] = after[0][0].split("-");
    assert.notEqual(current, run);
    assert.equal(after[0][0], `${current}-0`);
    assert.equal(JSON.parse(after[0][1]).type, "start");
    await page.close();
    line.close();
  });

  test("a second tab reads along, and stops the answer in both; it is there when the page is loaded again", async () => {
    const { page, problems } = await openPage();
    await type(page, "Hello");
    await watchGrow(page, 10);
    const tab = await openPage({ url: page.url(), user: page.context() });
    await comesTo(tab.page, "streaming");
    await until(async () => (await textOf(tab.page)).length > 40);
    await tab.page.locator("#stop").click();
    await Promise.all([comesTo(page, "ready"), comesTo(tab.page, "ready")]);
    const stopped = await textOf(page);
    assert.ok(stopped.startsWith("You said: Hello") && !stopped.endsWith("`$ ls -la`."), stopped);
    assert.equal(await textOf(tab.page), stopped);
    await page.reload();
    await until(async () => (await textOf(page)) === stopped);
    assert.equal(await page.locator("article").count(), 2);
    assert.deepEqual([problems, tab.problems], [[], []]);
  });

  test("an instance is killed: every page has the whole answer from another", async () => {
    const { page } = await openPage({ url: several.baseUrl });
    await type(page, "$ echo hello");
    const before = await watchGrow(page, 10);
    const tab = await openPage({ url: page.url(), user: page.context() });
    await until(async () => (await textOf(tab.page)).length > 40);
    const killed = await page.locator("#kill").innerText();
    assert.match(killed, /^Kill instance [123]$/);
    assert.notEqual(await tab.page.locator("#kill").innerText(), killed, "another has answered the second tab");
    await page.locator("#kill").click();
    await until(async () => (await page.locator("#kill").innerText()) !== killed);
    assert.ok((await textOf(page)).startsWith(before.at(-1).trimEnd()), "nothing that was there goes away");
    // Others wait for 15 s of silence, and then for the stored answer.
    await Promise.all([page, tab.page].map((page) => page.waitForSelector("body[data-status=ready]", { timeout: 40_000 })));
    for (const each of [page, tab.page]) {
      assert.match(await textOf(each), whole);
      assert.equal(await each.locator("article").count(), 2);
      assert.equal(await each.locator("#problem").innerText(), "");
      assert.match(await each.locator("#usage").innerText(), /^last answer: (\d+ tokens), .*\nchat: \1,/);
    }
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
  });

  test("another browser is another user", async () => {
    const [one, other] = await Promise.all([openPage(), openPage()]);
    await type(one.page, "Mine");
    await watchGrow(one.page, 3);
    await other.page.goto(one.page.url());
    await other.page.reload();
    await other.page.getByRole("alert").filter({ hasText: "there is no such chat" }).waitFor();
    assert.equal(await other.page.locator("article").count(), 0);
    await one.page.locator("#stop").click();
    await comesTo(one.page, "ready");
    assert.deepEqual(one.problems, []);
  });
} else {
  test("the page of web_chat in a browser", { skip: "there is no Chromium" }, () => {});
}

/// A line to a server that can be cut: all connections break off, and new ones can be made.
async function openLine(url) {
  const { hostname: host, port } = new URL(url);
  const open = new Set();
  const line = createServer((socket) => {
    const onwards = connect({ host, port });
    for (const [one, other] of [[socket, onwards], [onwards, socket]]) {
      one.pipe(other);
      one.on("error", () => {}).on("close", () => other.destroy());
    }
    open.add(socket.on("close", () => open.delete(socket)));
  });
  await new Promise((listening) => line.listen(0, "127.0.0.1", listening));
  const cut = () => open.forEach((socket) => socket.resetAndDestroy());
  return { url: `http://127.0.0.1:${line.address().port}`, cut, close: () => (cut(), line.close()) };
}

/// The first of these programs that is in the search path.
async function find(...names) {
  for (const name of names) {
    for (const folder of process.env.PATH.split(delimiter)) {
      const path = join(folder, name);
      if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
    }
  }
}
