// The page of the example `web_chat`: what is seen, pressed and heard, in Chromium where the system has it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { chromium } from "playwright-core";

import { articles, callsAre, colours, comesTo, open, picture, states, stop, textOf, type, windows } from "./page.mjs";
import { chromiumPath, startWebChat, until } from "./server.mjs";
import { vendored } from "./vendor.mjs";

const { resolve } = createRequire(import.meta.url);

test("the libraries of the page are the ones that are published", async () => {
  for (const { published, committed } of vendored) {
    assert.ok((await readFile(published)).equals(await readFile(committed)), `${committed}: run npm run vendor`);
  }
});

if (chromiumPath) {
  const server = await startWebChat();
  after(server.stop);
  const browser = await chromium.launch({ executablePath: chromiumPath });
  after(() => browser.close());
  const axe = await readFile(resolve("axe-core/axe.min.js"), "utf8");

  const openPage = ({ url = server.baseUrl, ...options } = {}) => open(browser, url, options);
  const seen = (page) => page.locator("#messages").innerText();
  const questions = (page) => page.locator(".said").allInnerTexts();

  /// What is wrong with a page for whoever hears it, or reads it on a screen of this size.
  const faults = async (page) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
    const wide = await page.evaluate(() =>
      [...document.querySelectorAll("body *")]
        .filter((element) => !element.closest("pre, nav, .scrolling, .hidden") && element.getBoundingClientRect().right > innerWidth + 1)
        .map((element) => `too wide: ${element.outerHTML.slice(0, 100)}`),
    );
    const width = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
    return [...found, ...wide, ...(width > 0 ? [`${width} px to scroll sideways`] : [])];
  };

  for (const state of Object.keys(states)) {
    test(`${state}: nothing is wrong, in any colours and on any screen`, async () => {
      const all = Object.keys(windows).flatMap((size) => colours.map((colorScheme) => ({ size, colorScheme })));
      await Promise.all(all.map(async ({ size, colorScheme }) => {
        const viewport = windows[size];
        const { page, problems } = await openPage({ viewport, colorScheme });
        await states[state](page);
        const where = `${size}, ${colorScheme}`;
        assert.deepEqual(await faults(page), [], where);
        for (const details of await page.locator("details > summary").all()) await details.click();
        assert.deepEqual(await faults(page), [], `${where}, with the calls open`);
        // The width and the height stand in the head of a PNG.
        const png = await picture(page);
        assert.deepEqual({ width: png.readUInt32BE(16), height: png.readUInt32BE(20) }, viewport);
        const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const isLight = back.match(/\d+/g).every((part) => part > 127);
        assert.equal(isLight, colorScheme === "light");
        assert.deepEqual(problems, [], where);
        if (await page.locator("#stop").isVisible()) await stop(page);
        await page.context().close();
      }));
    });
  }

  test("the parts of a page are called by what they are", async () => {
    const { page } = await openPage();
    await type(page, "$ false");
    await callsAre(page, "failed with exit code 1");
    await page.getByRole("textbox", { name: "Message" }).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByRole("button", { name: "Send" }).waitFor();
    await page.getByRole("heading", { name: "$ false", level: 1 }).waitFor();
    await page.getByRole("heading", { name: "You", level: 2 }).waitFor();
    await page.getByRole("heading", { name: "Agent", level: 2 }).waitFor();
    await page.getByRole("navigation", { name: "Chats" }).getByRole("link", { name: "$ false" }).waitFor();
    await page.getByRole("status").filter({ hasText: "The answer has ended" }).waitFor({ state: "attached" });
  });

  test("nothing is missing on load, and the browser warns of nothing", async () => {
    const { page, problems } = await openPage();
    const missing = [];
    page.on("response", (response) => response.status() >= 400 && missing.push(response.url()));
    await page.reload({ waitUntil: "networkidle" });
    assert.deepEqual([problems, missing], [[], []]);
    const hosts = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => new URL(name).host));
    assert.ok(hosts.length > 5 && hosts.every((host) => host === new URL(server.baseUrl).host), hosts.join());
  });

  test("a call of a tool: loaded again while it runs, stopped, and loaded again", async () => {
    const { page, problems } = await openPage();
    await type(page, "$ echo one\n$ sleep 60");
    await callsAre(page, "done", "running");
    await page.reload();
    await callsAre(page, "done", "running");
    assert.deepEqual(await questions(page), ["$ echo one\n$ sleep 60"]);
    assert.equal(await page.locator("details[open]").count(), 0);

    await stop(page);
    const stopped = await seen(page);
    await callsAre(page, "done", "stopped");
    assert.match(stopped, /Stopped\.\s*Retry$/);
    await page.reload();
    await until(async () => (await seen(page)) === stopped);
    await comesTo(page, "ready");
    assert.equal(await seen(page), stopped);
    assert.deepEqual(problems, []);
  });

  test("stop while the message is on its way to the server, and while the run starts", async () => {
    const { page } = await openPage();
    let arrive;
    const arrived = new Promise((resolve) => { arrive = resolve; });
    await page.route("**/api/chat", async (route) => {
      await arrived;
      await route.continue();
    });
    await type(page, "Hello");
    await comesTo(page, "waiting");
    await page.locator("#stop").click();
    await page.getByRole("button", { name: "Stopping" }).waitFor();
    arrive();
    await comesTo(page, "ready");
    await page.locator(".stopped").waitFor();
    await page.reload();
    await page.locator(".stopped").waitFor();
    assert.deepEqual(await questions(page), ["Hello"]);
    assert.ok((await textOf(page)).length < 60, await textOf(page));
  });

  test("a run that fails: what failed in words, and Retry asks again in its place", async () => {
    const { page, problems } = await openPage();
    await type(page, "! rate_limit: the model is overloaded");
    const failed = page.locator(".failed").filter({ hasText: "The model is overloaded." });
    await failed.waitFor();
    await comesTo(page, "ready");
    await page.reload();
    await failed.waitFor();
    await page.getByRole("button", { name: "Retry" }).click();
    await comesTo(page, "streaming");
    await failed.waitFor();
    await comesTo(page, "ready");
    assert.equal(await articles(page), 2);
    await page.reload();
    await failed.waitFor();
    assert.deepEqual(await questions(page), ["! rate_limit: the model is overloaded"]);
    assert.deepEqual(problems, []);
  });

  test("a server that cannot be reached: Retry sends the message when it can", async () => {
    const { page } = await openPage();
    await page.route("**/api/chat", (route) => route.abort(), { times: 1 });
    await type(page, "$ echo there");
    await page.getByRole("alert").filter({ hasText: "The server cannot be reached." }).waitFor();
    assert.deepEqual(await questions(page), ["$ echo there"]);
    await page.getByRole("button", { name: "Retry" }).click();
    await callsAre(page, "done");
    assert.equal(await page.getByRole("alert").innerText(), "");
    assert.equal(await articles(page), 2);
    await stop(page);
  });

  test("each answer has its own cost, and the chat the sum", async () => {
    const { page } = await openPage();
    const costs = () => page.locator("article footer").allInnerTexts();
    await type(page, "$ true");
    await comesTo(page, "streaming");
    await comesTo(page, "ready");
    const [first] = await costs();
    assert.match(first, /^581 tokens · \$0\.\d{4}$/);
    await type(page, "$ true\n$ true");
    await callsAre(page, "done", "done", "done");
    assert.deepEqual(await costs(), [first, ""]);
    await comesTo(page, "ready");
    assert.match((await costs())[1], /^643 tokens/);
    await until(async () => (await page.locator("#usage").innerText()).startsWith("1,224 tokens"));
  });

  // Without the rules that the server sets, so that it is the page that keeps it from running.
  test("what an agent writes cannot run, load or look like the page", async () => {
    const { page, problems } = await openPage({ bypassCSP: true });
    const evil = [
      `<script>window.hacked = "script"</script>`,
      `<img src="x" onerror="window.hacked = 'img'">`,
      `[link](javascript:window.hacked='link')`,
      `![image](javascript:window.hacked='image)`,
      `![image](https://example.invalid/seen.png)`,
      `<a href="javascript:window.hacked='a'">a</a>`,
      `<svg onload="window.hacked='svg'"><iframe srcdoc="<script>parent.hacked='frame'</script>"></iframe></svg>`,
      "```\" onmouseover=\"window.hacked='code'\n</code></pre><script>window.hacked='fence'</script>\n```",
      `<div id="problem" class="failed" style="position:fixed">Sign in</div>`,
    ];
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await type(page, evil.join("\n\n"));
    await page.locator("article.assistant .text li").first().waitFor();
    const answer = page.locator("article.assistant");
    for (const link of await answer.locator("a").all()) await link.click({ trial: true });
    const found = await answer.evaluate((answer) =>
      [...answer.querySelectorAll("*")].flatMap((element) => {
        const names = element.getAttributeNames().filter((name) => name.startsWith("on") || name === "style" || name === "id");
        const isOdd = ["SCRIPT", "IMG", "IFRAME", "SVG", "svg"].includes(element.tagName) || element.href?.startsWith("javascript:");
        return isOdd || names.length > 0 ? [element.outerHTML] : [];
      }),
    );
    assert.deepEqual(found, []);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.deepEqual(asked.filter((url) => !url.startsWith(server.baseUrl)), []);
    assert.ok((await answer.innerText()).includes(`<script>window.hacked = "script"</script>`), "it is shown as it is written");
    await page.reload();
    await page.locator("article.assistant .text li").first().waitFor();
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    await stop(page);
    assert.deepEqual(problems, []);
  });

  test("the server allows nothing that does not come from it", async () => {
    const { page, problems } = await openPage();
    await page.evaluate(() => {
      const image = document.createElement("img");
      image.setAttribute("onerror", "window.hacked = true");
      image.src = "https://example.invalid/seen.png";
      document.body.append(image);
    });
    await until(() => problems.some((problem) => problem.includes("Content Security Policy")));
    assert.equal(await page.evaluate(() => window.hacked), undefined);
  });

  test("keys: Enter sends, Shift-Enter begins a line, Esc stops", async () => {
    const { page } = await openPage();
    await until(() => page.evaluate(() => document.activeElement.id === "input"));
    await page.keyboard.type("$ echo one");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("$ sleep 60");
    const lines = await page.locator("#input").evaluate((input) => input.getBoundingClientRect().height);
    assert.ok(lines > 50, `${lines} px for two lines`);
    await page.keyboard.press("Enter");
    await callsAre(page, "done", "running");
    assert.deepEqual(await questions(page), ["$ echo one\n$ sleep 60"]);
    await page.keyboard.press("Escape");
    await comesTo(page, "ready");
    await callsAre(page, "done", "stopped");
    await page.getByRole("button", { name: "Retry" }).press("Enter");
    await callsAre(page, "done", "running");
    assert.equal(await page.evaluate(() => document.activeElement.id), "input");
    await page.keyboard.press("Escape");
    await comesTo(page, "ready");
  });

  test("a call that was opened stays open while the answer grows", async () => {
    const { page } = await openPage();
    await type(page, "$ echo one\n$ sleep 1");
    await page.locator("details").first().locator("summary").click();
    await callsAre(page, "done", "done");
    await page.locator(".text li").first().waitFor();
    assert.deepEqual(await page.locator("details").evaluateAll((all) => all.map(({ open }) => open)), [true, false]);
    assert.equal(await page.locator("details").first().locator(".output").innerText(), "one\n");
    await stop(page);
  });

  test("a phone: the chats are behind a button, and Esc puts them away", async () => {
    const { page } = await openPage({ viewport: windows.phone, hasTouch: true, isMobile: true });
    await type(page, "Hello");
    await comesTo(page, "streaming");
    await stop(page);
    const chats = page.getByRole("navigation", { name: "Chats" });
    assert.equal(await chats.isVisible(), false);
    await page.getByRole("button", { name: "Chats", expanded: false }).click();
    await chats.getByRole("link", { name: "Hello" }).waitFor();
    await page.waitForTimeout(300);
    assert.deepEqual(await faults(page), []);
    await page.keyboard.press("Escape");
    await chats.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Chats", expanded: false }).click();
    await chats.getByRole("button", { name: "New chat" }).click();
    await page.getByRole("heading", { name: "New chat", level: 1 }).waitFor();
    await chats.waitFor({ state: "hidden" });
    assert.equal(await articles(page), 0);
    await page.goBack();
    await page.locator(".stopped").waitFor();
  });
} else {
  test("the page of web_chat in a browser", { skip: "there is no Chromium" }, () => {});
}
