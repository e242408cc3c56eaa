// The page of the example `web_chat`, driven in Chromium, where the system has it.

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";
import { chromium } from "playwright-core";

import { articles, comesTo, open, outputOf, stop, textOf, type } from "./page.mjs";
import { chromiumPath, startWebChat, until } from "./server.mjs";

/// The answer of the agent, behind what it has repeated; letters only, since Markdown changes all else.
const whole = /^ThisisthedemoagentofthelocalrelayItanswersslowly\w*trylsla$/;

if (chromiumPath) {
  const server = await startWebChat();
  after(server.stop);
  const several = await startWebChat({ options: ["--instances", "3"] });
  after(several.stop);
  const browser = await chromium.launch({ executablePath: chromiumPath });
  after(() => browser.close());

  const openPage = ({ url = server.baseUrl, ...options } = {}) => open(browser, url, options);
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
    assert.ok(before.every((text, at) => at === 0 || text.startsWith(before[at - 1])), before.join("\n"));
    assert.equal(await page.locator("article.user .said").innerText(), "$ echo hello from the sandbox");
    assert.equal(await outputOf(page), "hello from the sandbox\n");
    assert.equal(await page.locator(".cursor").count(), 1);

    await page.reload();
    await comesTo(page, "streaming");
    assert.equal(await page.locator("article.user .said").innerText(), "$ echo hello from the sandbox");
    const after = await watchGrow(page, 5);
    assert.ok(after.at(-1).startsWith(before.at(-1)), after.join("\n"));

    await comesTo(page, "ready");
    assert.equal(await articles(page), 2);
    assert.equal(await outputOf(page), "hello from the sandbox\n");
    assert.match(await textOf(page), whole);
    assert.equal(await page.locator(".cursor").count(), 0);
    assert.equal(await page.locator(".text li").count(), 3);
    assert.match(await page.locator(".text pre").innerText(), /^let chats = /);
    for (const title of [page.locator("#chats a[aria-current]"), page.locator("h1")]) {
      assert.equal(await title.innerText(), "$ echo hello from the sandbox");
    }
    assert.equal(await page.title(), "$ echo hello from the sandbox");
    assert.deepEqual(problems, []);
  });

  test("stop ends the answer, and the chat goes on", async () => {
    const { page, problems } = await openPage();
    await type(page, "Hello");
    await watchGrow(page, 5);
    await stop(page);
    const stopped = await textOf(page);
    assert.ok(stopped.startsWith("YousaidHello") && !stopped.endsWith("lsla"), stopped);
    assert.equal(await page.locator("#kill").isVisible(), false);

    await type(page, "And now?");
    await watchGrow(page, 5);
    const text = await textOf(page);
    assert.ok(text.startsWith(`${stopped}YousaidAndnow`), text);
    await stop(page);
    assert.deepEqual(problems, []);
  });

  test("a cut: the page comes back by itself, and goes on where it was", async () => {
    const line = await openLine(server.baseUrl);
    const { page } = await openPage({ url: line.url });
    await type(page, "$ echo hello");
    const before = await watchGrow(page, 10);
    line.cut();
    const after = await watchGrow(page, 10);
    assert.ok(after[0].startsWith(before.at(-1)), "nothing that was there goes away");
    await comesTo(page, "ready");
    assert.match(await textOf(page), whole);
    assert.equal(await articles(page), 2);
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
    assert.ok(after.every((text) => text.lastIndexOf("Yousaid") <= 0), after.join("\n"));
    await comesTo(page, "ready");
    assert.match(await textOf(page), /^YousaidHello\w*trylsla$/);
    assert.equal(await articles(page), 2);
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
    assert.ok(stopped.startsWith("YousaidHello") && !stopped.endsWith("lsla"), stopped);
    assert.equal(await textOf(tab.page), stopped);
    await page.reload();
    await until(async () => (await textOf(page)) === stopped);
    assert.equal(await articles(page), 2);
    assert.deepEqual([problems, tab.problems], [[], []]);
  });

  test("an instance is killed: every page has the whole answer from another", async () => {
    const { page } = await openPage({ url: several.baseUrl });
    await type(page, "$ echo hello");
    const before = await watchGrow(page, 10);
    // Which instances they read from depends on whose turn it is.
    const tabs = await Promise.all([1, 2].map(() => openPage({ url: page.url(), user: page.context() })));
    const pages = [page, ...tabs.map(({ page }) => page)];
    await Promise.all(pages.map((each) => until(async () => (await textOf(each)).length > 40)));
    const killed = await page.locator("#kill").innerText();
    assert.match(killed, /^Kill instance [123]$/);
    await page.locator("#kill").click();
    await until(async () => (await page.locator("#kill").innerText()) !== killed);
    assert.ok((await textOf(page)).startsWith(before.at(-1)), "nothing that was there goes away");
    // Others wait for 15 s of silence, and then for the stored answer.
    await Promise.all(pages.map((page) => page.waitForSelector("body[data-status=ready]", { timeout: 40_000 })));
    for (const each of pages) {
      assert.match(await textOf(each), whole);
      assert.equal(await articles(each), 2);
      assert.equal(await each.locator("#problem").innerText(), "");
      const costs = [each.locator("article footer"), each.locator("#usage")].map((cost) => cost.innerText());
      assert.match((await Promise.all(costs)).join("="), /^(\d+ tokens · \$0\.\d+)=\1$/);
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
