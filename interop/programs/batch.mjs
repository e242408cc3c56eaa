// A list of prompts, answered over a number of sandboxes, with the results in a file of JSON Lines.
//
//     node programs/batch.mjs --sandboxes 20 --at-once 40 prompts.txt results.jsonl
//
// The same as the example `batch`.

import {
  existsSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { parseArgs } from "node:util";

import { startProgress } from "./progress.mjs";
import { Client, userMessage } from "./relay.mjs";

const SANDBOX_LIFE = 4 * 3600 * 1000;

const { values, positionals } = parseArgs({
  options: {
    sandboxes: { type: "string", default: "20" },
    "at-once": { type: "string", default: "20" },
  },
  allowPositionals: true,
});
const atOnce = Number(values["at-once"]);
const [list, results] = positionals;
if (!results || !(atOnce > 0)) {
  throw new Error(
    "usage: batch.mjs [--sandboxes N] [--at-once N] PROMPTS RESULTS",
  );
}
const agent = process.env.AGENT_SLUG;
const stop = new AbortController();
const client = Client.fromEnv();
const stoppable = Client.fromEnv({ signal: stop.signal });

const answered = readAnswered(results);
const left = readFileSync(list, "utf8")
  .split("\n")
  .filter((prompt) => prompt.trim())
  .map((prompt, index) => ({ index, prompt }))
  .filter(({ index, prompt }) => answered.get(index) !== prompt);
const file = openSync(results, "a");

// Ctrl-C ends what is asked, so that the clean-up comes.
process.on("SIGINT", () => stop.abort());
const created = await Promise.allSettled(
  Array.from({ length: Math.min(left.length, Number(values.sandboxes)) }, () =>
    client.sandboxes.create({ agent, timeoutMs: SANDBOX_LIFE }),
  ),
);
const sandboxes = fulfilled(created).map(({ id }) => id);
const showProgress = startProgress(10);
let [begun, done, answers, cost] = [0, 0, 0, 0];
const worked = await Promise.allSettled(Array.from({ length: atOnce }, work));
const deleted = await Promise.allSettled(
  sandboxes.map((id) => client.sandboxes.delete(id)),
);
const isClean =
  [...fulfilled(worked), ...fulfilled(deleted)].length ===
  atOnce + sandboxes.length;
if (answers < left.length || !isClean) {
  console.error("not all went well: start again to ask what has no answer");
  process.exitCode = 1;
}

/// Which prompts have an answer in the file of results.
function readAnswered(path) {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  // What was killed may have begun a line.
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole !== text) {
    truncateSync(path, Buffer.byteLength(whole));
  }
  const lines = whole
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  return new Map(
    lines
      .filter(({ error }) => error === null)
      .map(({ index, prompt }) => [index, prompt]),
  );
}

/// Takes one prompt after the other.
async function work() {
  while (!stop.signal.aborted && sandboxes.length > 0 && begun < left.length) {
    const { index, prompt } = left[begun];
    const sandboxId = sandboxes[begun++ % sandboxes.length];
    show();
    const line = { index, prompt, ...(await ask(prompt, sandboxId)) };
    if (stop.signal.aborted) {
      return;
    }
    writeSync(file, `${JSON.stringify(line)}\n`);
    done += 1;
    answers += line.error === null ? 1 : 0;
    cost += line.usage?.totalCostUsd ?? 0;
    show();
  }
}

function show() {
  showProgress(done, begun - done, left.length - begun, cost);
}

async function ask(prompt, sandboxId) {
  const answer = {
    text: null,
    usage: null,
    run: null,
    error: null,
    status: null,
    code: null,
  };
  try {
    const messages = [userMessage(prompt)];
    const { threadId } = await stoppable.threads.run({
      agent,
      messages,
      sandboxId,
      mode: "background",
    });
    answer.run = { agent, sandboxId, threadId };
    const { text, usage, error, code } = await stoppable.end(answer.run);
    return { ...answer, text, usage, error, code };
  } catch (error) {
    const { message, status = null, code = null } = error;
    return { ...answer, error: message, status, code };
  }
}

function fulfilled(settled) {
  for (const { reason } of settled.filter(({ reason }) => reason)) {
    console.error(reason);
  }
  return settled
    .filter(({ status }) => status === "fulfilled")
    .map(({ value }) => value);
}
