// A queue of prompts, worked off in the background over a number of sandboxes. Killed at any moment and started again, it
// runs no prompt twice and loses none: what names a run is in the journal before it is sent.
//
//     node programs/worker.mjs --sandboxes 3 --at-once 9 --journal worker.journal prompts.txt
//
// As the example `worker`, without Redis.

import {
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";

import { startProgress } from "./progress.mjs";
import { Client, userMessage } from "./relay.mjs";

/// After so long, a run whose thread is untouched was not sent.
const LONGEST_START = 60_000;

const { values, positionals } = parseArgs({
  options: {
    sandboxes: { type: "string", default: "2" },
    "at-once": { type: "string", default: "4" },
    journal: { type: "string", default: "worker.journal" },
  },
  allowPositionals: true,
});
const agent = process.env.AGENT_SLUG;
const client = Client.fromEnv();
const prompts = readFileSync(positionals[0], "utf8")
  .split("\n")
  .filter((line) => line.trim());

const known = readJournal(values.journal);
const file = openSync(values.journal, "a");
if (
  known.prompts &&
  JSON.stringify(known.prompts) !== JSON.stringify(prompts)
) {
  throw new Error(`${values.journal} has other prompts`);
}
if (!known.prompts) {
  note({ prompts });
}
const sandboxes = await findSandboxes(Number(values.sandboxes));
const waiting = prompts
  .map((_, job) => job)
  .filter((job) => !known.done.has(job));
// What was begun comes first.
waiting.sort(
  (one, other) => known.begun.has(other) - known.begun.has(one) || one - other,
);
const showProgress = startProgress(1);
let underWay = 0;
show();
await Promise.all(Array.from({ length: Number(values["at-once"]) }, work));

/// What one before has noted.
function readJournal(path) {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  // What was killed may have begun a line.
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole !== text) {
    truncateSync(path, Buffer.byteLength(whole));
  }
  const known = { sandboxes: [], begun: new Map(), done: new Map() };
  for (const line of whole.split("\n").filter(Boolean)) {
    const { prompts, sandbox, begun, done } = JSON.parse(line);
    if (prompts) known.prompts = prompts;
    if (sandbox) known.sandboxes.push(sandbox);
    if (begun) known.begun.set(begun.job, begun);
    if (done) known.done.set(done.job, done);
  }
  return known;
}

/// On the disk before anything follows from it.
function note(line) {
  writeSync(file, `${JSON.stringify(line)}\n`);
  fsyncSync(file);
}

/// Those of the journal that still live, and new ones for the rest.
async function findSandboxes(count) {
  const found = [];
  for (const id of known.sandboxes.slice(0, count)) {
    try {
      await client.sandboxes.get(id);
      found.push(id);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  while (found.length < count) {
    const { id } = await client.sandboxes.create({ agent });
    note({ sandbox: id });
    found.push(id);
  }
  return found;
}

async function work() {
  while (waiting.length > 0) {
    const job = waiting.shift();
    underWay += 1;
    show();
    const { error, usage, text } = await run(job);
    const done = {
      job,
      end: error ?? "completed",
      usd: usage?.totalCostUsd ?? 0,
      answer: text,
    };
    note({ done });
    known.done.set(job, done);
    underWay -= 1;
    show();
  }
}

async function run(job) {
  const before = known.begun.get(job);
  const run = before ?? (await begin(job));
  try {
    if (!before || !(await wasSent(run))) {
      const messages = [userMessage(prompts[job], run.turn)];
      await client.threads.run({ agent, ...run, messages, mode: "background" });
    }
    return await client.end(run);
  } catch (error) {
    return { error: error.message };
  }
}

async function begin(job) {
  const sandboxId = sandboxes[job % sandboxes.length];
  const { id: threadId } = await client.threads.create({ sandboxId });
  const begun = { job, sandboxId, threadId, turn: `job-${job}` };
  note({ begun });
  return begun;
}

/// One before may have been killed just before it sent the prompt, or just after.
async function wasSent({ sandboxId, threadId }) {
  for (const end = Date.now() + LONGEST_START; Date.now() < end;) {
    const { status, messages } = await client.threads.get({
      sandboxId,
      threadId,
    });
    if (messages || !["idle", "active"].includes(status)) {
      return true;
    }
    await setTimeout(1000);
  }
  return false;
}

function show() {
  const cost = [...known.done.values()].reduce((sum, { usd }) => sum + usd, 0);
  showProgress(known.done.size, underWay, waiting.length, cost);
}
