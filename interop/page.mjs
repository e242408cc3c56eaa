// The page of `web_chat` in Chromium: how it is used, and the states in which it is looked at.

import { until } from "./server.mjs";

/// Opens the page, as a user of its own if no other is named. Whatever the browser complains about ends up in `problems`.
export async function open(browser, url, { user, ...options } = {}) {
  const page = await (user ?? (await browser.newContext(options))).newPage();
  page.setDefaultTimeout(15_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => problems.push(message.text()));
  await page.goto(url);
  return { page, problems };
}

/// Sends a message as a user does.
export async function type(page, text) {
  await page.locator("#input").fill(text);
  await page.locator("#input").press("Enter");
}

export async function stop(page) {
  await page.locator("#stop").click();
  await comesTo(page, "ready");
}

export const comesTo = (page, status) => page.waitForSelector(`body[data-status=${status}]`);

/// Waits until the calls of tools are in these states.
export const callsAre = (page, ...states) =>
  until(async () => (await page.locator(".tool .state").allInnerTexts()).join() === states.join());

/// The letters of the answers: Markdown that is not complete yet changes all else.
export async function textOf(page) {
  const texts = await page.locator("article.assistant .text").allInnerTexts();
  return texts.join("").replace(/[^\p{L}\p{N}]+/gu, "");
}

export const articles = (page) => page.locator("article").count();
export const outputOf = (page) => page.locator(".tool .output").textContent();

/// The windows of a desktop and of a phone.
export const windows = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
export const colours = ["light", "dark"];

/// How a page that was just opened comes to each state.
export const states = {
  async empty(page) {
    await comesTo(page, "ready");
  },
  async running(page) {
    await type(page, "$ uname -s\n$ sleep 60 && echo done");
    await callsAre(page, "done", "running");
  },
  async finished(page) {
    await type(page, "How does this page work?\n$ ls -la\n$ ls missing");
    await comesTo(page, "streaming");
    await comesTo(page, "ready");
    await page.evaluate(() => scrollTo(0, 0));
  },
  async failed(page) {
    await type(page, "$ echo one\n$ sleep 60");
    await callsAre(page, "done", "running");
    await stop(page);
    await type(page, "! rate_limit: the model is overloaded, try again in a minute");
    await page.locator(".failed").waitFor();
    await comesTo(page, "ready");
  },
};

/// A picture in which nothing moves.
export async function picture(page, options) {
  await until(() => page.evaluate(() => document.title === document.querySelector("h1").textContent));
  return page.screenshot({ animations: "disabled", caret: "hide", ...options });
}
