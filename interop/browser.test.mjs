// The page of the example `web_chat`, driven in Chromium, where the system has it.

import assert from "node:assert/strict";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { chromium } from "playwright-core";

import { startWebChat, until } from "./server.mjs";

const executablePath = await find("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome");
if (executablePath) {
  const server = await startWebChat();
  after(server.stop);
  const browser = await chromium.launch({ executablePath });
  after(() => browser.close());

  /// Opens the page as a user of its own. Whatever goes wrong in it ends up in `problems`.
  const openPage = async () => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(15_000);
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(server.baseUrl);
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
    const [, joined] = await watchGrow(page, 5);
    assert.ok(!joined.startsWith("That is"), `it joins in the middle: ${joined}`);

    await comesTo(page, "ready");
    assert.equal(await page.locator("article").count(), 2);
    assert.equal(await page.locator("details.tool .output").innerText(), "hello from the sandbox\n");
    assert.match(await textOf(page), /^That is what I have to say .* try `\$ ls -la`\.$/s);
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

    await type(page, "And now?");
    await watchGrow(page, 5);
    const text = await textOf(page);
    assert.ok(text.startsWith(`${stopped}You said: And now?`), text);
    await page.locator("#stop").click();
    await comesTo(page, "ready");
    assert.deepEqual(problems, []);
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

/// The first of these programs that is in the search path.
async function find(...names) {
  for (const name of names) {
    for (const folder of process.env.PATH.split(delimiter)) {
      const path = join(folder, name);
      if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
    }
  }
}
