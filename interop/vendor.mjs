// The libraries of the page of `web_chat`, which are committed as they are published. `npm run vendor` copies them.

import { copyFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const from = (name) => path(`node_modules/${name}`);
const to = (name) => path(`../crates/client/examples/web_chat/page/vendor/${name}`);

export const vendored = [
  { published: from("marked/lib/marked.umd.js"), committed: to("marked.umd.js") },
  { published: from("marked/LICENSE"), committed: to("marked.LICENSE") },
  { published: from("dompurify/dist/purify.min.js"), committed: to("purify.min.js") },
  { published: from("dompurify/LICENSE"), committed: to("purify.LICENSE") },
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { published, committed } of vendored) await copyFile(published, committed);
}
