// Reviews of repositories over HTTP: an agent answers a question about one, in the background.
//
//     node programs/review_service.mjs --port 8080 --at-once 20 --budget 0.50 --database reviews.db
//
// The same as the example `review_service`.

import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import sqlite from "node-sqlite3-wasm";

import { Client, RelayError, userMessage } from "./relay.mjs";

const LONGEST = 2 * 3600 * 1000;
const LONGEST_QUESTION = 4000;
const LONGEST_BODY = 2 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    "at-once": { type: "string", default: "20" },
    budget: { type: "string", default: "1" },
    port: { type: "string", default: "0" },
    database: { type: "string", default: "reviews.db" },
  },
});
const agent = process.env.AGENT_SLUG;
// Who waits for a response is told to come back rather than kept.
const client = Client.fromEnv({ longestDelay: 2 });

// The lock of one that was killed.
rmSync(`${values.database}.lock`, { recursive: true, force: true });
const database = new sqlite.Database(values.database);
database.exec(`
  CREATE TABLE IF NOT EXISTS reviews (id TEXT PRIMARY KEY, review TEXT NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS statuses ON reviews (review ->> 'status');
`);
const OPEN = "review ->> 'status' IN ('starting', 'running')";

class Refusal extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

const app = new Hono();

app.post("/reviews", async (context) => {
  const review = await start(readWanted(await readBody(context.req.raw)));
  return context.json(review, 202);
});

app.get("/reviews/:id", (context) => {
  return context.json(find(context.req.param("id")));
});

app.delete("/reviews/:id", async (context) => {
  const review = find(context.req.param("id"));
  if (isOpen(review)) {
    if (!review.run) {
      throw new Refusal(409, "it is still being started");
    }
    await client.cancel(agent, review.run.sandboxId);
  }
  return context.json(review, 202);
});

app.onError((error, context) => {
  const { status, message, retryAfter } = refusalOf(error);
  if (retryAfter !== undefined) {
    context.header("retry-after", String(Math.ceil(retryAfter)));
  }
  return context.json({ error: message }, status);
});

for (const { review } of database.all(
  `SELECT review FROM reviews WHERE ${OPEN} OR review ->> 'sandbox' IS NOT NULL`,
)) {
  seeTo(JSON.parse(review));
}
serve(
  { fetch: app.fetch, hostname: "127.0.0.1", port: Number(values.port) },
  ({ port }) => console.log(`http://127.0.0.1:${port}`),
);

async function readBody(request) {
  const text = await request.text();
  if (text.length > LONGEST_BODY) {
    throw new Refusal(413, "the body is too long");
  }
  if (!request.headers.get("content-type")?.startsWith("application/json")) {
    throw new Refusal(415, "the body has to be application/json");
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, "the body is no JSON");
  }
}

function readWanted(body) {
  const { repository, question } = body ?? {};
  if (typeof repository !== "string" || typeof question !== "string") {
    throw new Refusal(422, "repository and question have to be texts");
  }
  const { protocol } = URL.canParse(repository) ? new URL(repository) : {};
  if (!["http:", "https:"].includes(protocol)) {
    throw new Refusal(400, "the repository has to be an http or https URL");
  }
  if (!question.trim()) {
    throw new Refusal(400, "there is no question");
  }
  if (Buffer.byteLength(question) > LONGEST_QUESTION) {
    throw new Refusal(
      413,
      `the question is longer than ${LONGEST_QUESTION} bytes`,
    );
  }
  return { repository, question };
}

/// Asks the agent, and sees to the review from then on.
async function start({ repository, question }) {
  const { open } = database.get(
    `SELECT count(*) AS open FROM reviews WHERE ${OPEN}`,
  );
  if (open >= Number(values["at-once"])) {
    throw new Refusal(429, "too many reviews are under way", 10);
  }
  const review = {
    id: randomUUID(),
    repository,
    question,
    status: "starting",
    answer: null,
    usage: null,
    error: null,
    run: null,
    sandbox: null,
  };
  keep(review);
  try {
    await ask(review);
    return { ...review };
  } catch (error) {
    Object.assign(review, { status: "failed", error: error.message });
    throw error;
  } finally {
    seeTo(review);
  }
}

/// Has the agent asked. What it takes to find the run again is kept before it is sent.
async function ask(review) {
  const sandbox = await client.sandboxes.create({ agent, timeoutMs: LONGEST });
  const sandboxId = (review.sandbox = sandbox.id);
  keep(review);
  await client.sandboxes.git.clone({ sandboxId, url: review.repository });
  const { id: threadId } = await client.threads.create({ sandboxId });
  review.run = { agent, sandboxId, threadId, userMessageId: review.id };
  keep(review);
  await client.threads.run({
    agent,
    sandboxId,
    threadId,
    messages: [userMessage(review.question, review.id)],
    options: { maxBudgetUsd: Number(values.budget) },
    mode: "background",
  });
  review.status = "running";
  keep(review);
}

/// Sees to a review that has begun, perhaps before a restart. What fails is tried again after the next.
async function seeTo(review) {
  try {
    await finish(review);
  } catch (error) {
    console.error(error);
  }
}

async function finish(review) {
  if (isOpen(review)) {
    const ended = await end(review);
    Object.assign(review, ended);
  }
  keep(review);
  if (review.sandbox) {
    await client.sandboxes.delete(review.sandbox).catch((error) => {
      if (error.status !== 404) {
        throw error;
      }
    });
    review.sandbox = null;
  }
  keep(review);
}

async function end({ run }) {
  if (!run) {
    return { status: "failed", error: "the service ended too early" };
  }
  const thread = await client.threads.get(run);
  if (["idle", "active"].includes(thread.status) && !thread.messages) {
    // It was not sent, or is being started: that cannot be told at once.
    return { status: "lost", error: "nothing tells how it ended" };
  }
  try {
    const deadline = Date.now() + LONGEST;
    const { text, status, usage, error } = await client.end({
      ...run,
      deadline,
    });
    const isFailed = status !== "completed" && status !== "cancelled";
    return { status: isFailed ? "failed" : status, answer: text, usage, error };
  } catch (error) {
    return { status: "lost", error: error.message };
  }
}

function find(id) {
  const row = database.get("SELECT review FROM reviews WHERE id = ?", [id]);
  if (!row) {
    throw new Refusal(404, "there is no such review");
  }
  return JSON.parse(row.review);
}

function keep(review) {
  const insert = "INSERT OR REPLACE INTO reviews (id, review) VALUES (?, ?)";
  database.run(insert, [review.id, JSON.stringify(review)]);
}

function isOpen({ status }) {
  return status === "starting" || status === "running";
}

/// What who asks may know of an error.
function refusalOf(error) {
  if (error instanceof Refusal) {
    return error;
  }
  console.error(error);
  if (!(error instanceof RelayError)) {
    return { status: 500, message: "the service failed" };
  }
  const { status, message, retryAfter } = error;
  switch (status) {
    case 400:
    case 402:
    case 404:
    case 409:
    case 410:
    case 413:
    case 422:
    case 429:
      return { status, message, retryAfter };
    case 401:
    case 403:
      return {
        status: 502,
        message: "the relay does not accept this server",
        retryAfter,
      };
    case 408:
    case 504:
      return {
        status: 504,
        message: "the relay did not respond in time",
        retryAfter,
      };
    case 503:
      return { status: 503, message: "the relay is not available", retryAfter };
    default:
      return { status: 502, message: "the relay failed", retryAfter };
  }
}
