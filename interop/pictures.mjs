// Takes the pictures of `web_chat` that stand in the README: `npm run pictures`. With a folder as its argument, it takes the page
// in all states, windows and colours there instead, to be looked at. The fonts are Debian's `fonts-inter` and `fonts-jetbrains-mono`.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { colours, comesTo, open, picture, states, stop, type, windows } from "./page.mjs";
import { chromiumPath, startWebChat } from "./server.mjs";

if (!chromiumPath) throw new Error("there is no Chromium (apt-get install chromium)");
const [folder] = process.argv.slice(2);
const server = await startWebChat();
const browser = await chromium.launch({ executablePath: chromiumPath });

if (folder) {
  await mkdir(folder, { recursive: true });
  for (const state of Object.keys(states)) {
    for (const [size, viewport] of Object.entries(windows)) {
      for (const colorScheme of colours) {
        const { page } = await open(browser, server.baseUrl, { viewport, colorScheme });
        await states[state](page);
        await picture(page, { path: join(folder, `${state}-${size}-${colorScheme}.png`) });
        if (await page.locator("#stop").isVisible()) await stop(page);
      }
    }
  }
} else {
  const pictures = fileURLToPath(new URL("pictures", import.meta.url));
  await mkdir(pictures, { recursive: true });
  await Promise.all(colours.map(async (colorScheme) => {
    const options = { viewport: { width: 1120, height: 800 }, deviceScaleFactor: 2, colorScheme };
    const { page } = await open(browser, server.baseUrl, options);
    for (const title of ["Plan the release of 0.2", "Why does the parser fail?", "$ cargo test -p parser"]) {
      await type(page, title);
      await comesTo(page, "streaming");
      await stop(page);
      await page.getByRole("button", { name: "New chat" }).click();
    }
    await page.mouse.move(600, 300);
    await type(page, "How does this page work?\n$ uname -s\n$ cat missing.txt");
    await comesTo(page, "streaming");
    await comesTo(page, "ready");
    await page.evaluate(() => {
      document.activeElement.blur();
      scrollTo(0, 0);
    });
    await picture(page, { path: join(pictures, `web_chat-${colorScheme}.png`) });
  }));
}
await browser.close();
await server.stop();
