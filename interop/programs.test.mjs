// The programs of `programs/`, written with `@21st-sdk/node`, beside the examples of the same names: they come to the same results over
// a relay that refuses, retries and dies alike, and their docs say how long both are.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { text as read } from "node:stream/consumers";
import * as prettier from "prettier";

import { hasRedis, startRedis } from "./redis.mjs";
import { startRelay, until, words } from "./server.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "programs-"));
const relay = await startRelay();
const front = await startFront();
const repository = await startRepository();
const children = new Set();
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  front.server.close();
  repository.server.close();
  await relay.stop();
  await rm(folder, { recursive: true });
});

const LANGUAGES = ["rust", "node"];

/// The files of each program; what its language's own examples have for all of them, and not for a relay without a key.
const PROGRAMS = {
  batch: { rust: ["batch/main.rs", "common/progress.rs"], node: ["batch.mjs", "progress.mjs"] },
  review_service: { rust: ["review_service/main.rs", "review_service/reviews.rs"], node: ["review_service.mjs"] },
  worker: {
    rust: ["worker/main.rs", "worker/journal.rs", "worker/options.rs", "common/progress.rs"],
    node: ["worker.mjs", "progress.mjs"],
  },
};
const SHARED = { rust: "common/errors.rs", node: "relay.mjs" };

for (const [program, files] of Object.entries(PROGRAMS)) {
  test(`${program}: its docs say how long it is in both languages`, async () => {
    const docs = readFileSync(join(root, "crates/client/examples", program, "main.rs"), "utf8");
    const [, ...said] = docs.match(/^\/\/! (\d+) lines of code.*?; with `@21st-sdk\/node` (\d+)/m) ?? [];
    const rust = [...files.rust, SHARED.rust].map((file) => join(root, "crates/client/examples", file));
    const node = [...files.node, SHARED.node].map((file) => join(root, "interop/programs", file));
    assert.deepEqual(said.map(Number), [countLines(rust), countLines(node)]);
    // As long as their languages' formatters make them, by default.
    for (const file of node) {
      assert.ok(await prettier.check(readFileSync(file, "utf8"), { filepath: file }), `${file}: npx prettier --write`);
    }
    if (program !== "worker") assert.ok(countLines(rust) < countLines(node));
  });
}

/// Without empty lines and comments.
function countLines(files) {
  const lines = files.flatMap((file) => readFileSync(file, "utf8").split("\n"));
  return lines.map((line) => line.trim()).filter((line) => line && !line.startsWith("//")).length;
}

test("batch: interrupted and started again, with refusals", async () => {
  const list = join(folder, "batch.txt");
  const prompts = Array.from({ length: 40 }, (_, at) => `prompt ${at} ${words(20)}`);
  prompts[7] = "refuse 402";
  prompts[9] = "late";
  await writeFile(list, prompts.join("\n"));
  const outcomes = [];
  for (const language of LANGUAGES) {
    front.isKind = false;
    const results = join(folder, `batch-${language}.jsonl`);
    const startOne = () => start(language, "batch", ["--sandboxes", "4", "--at-once", "8", list, results], "echo");
    const first = startOne();
    await until(() => readLines(results).length >= 16);
    first.child.kill("SIGINT");
    assert.notEqual(await first.ended, 0);
    const lines = readLines(results);
    assert.ok(lines.length < 40, `${lines.length} lines`);
    await areDeleted(lines);
    // The refused one is asked again, and refused again.
    assert.notEqual(await startOne().ended, 0);
    front.isKind = true;
    assert.equal(await startOne().ended, 0);
    const all = readLines(results);
    await areDeleted(all);
    const refused = all.filter(({ error }) => error !== null);
    outcomes.push({
      refused: refused.map(({ index, error, status, code }) => ({ index, error: error.includes("No money"), status, code })),
      answers: all.filter(({ error }) => error === null).map(answerOf).sort((one, other) => one.index - other.index),
    });
  }
  const [rust, node] = outcomes;
  assert.deepEqual(node, rust);
  assert.equal(rust.answers.length, 40);
  assert.deepEqual(rust.answers.map(({ text }) => text), prompts);
  assert.deepEqual(rust.refused[0], { index: 7, error: true, status: 402, code: "budget_exceeded" });
});

function answerOf({ run, usage, ...answer }) {
  const { durationMs, ...used } = usage;
  return { ...answer, usage: used, agent: run.agent };
}

async function areDeleted(lines) {
  for (const id of new Set(lines.map(({ run }) => run?.sandboxId).filter(Boolean))) {
    const { status } = await fetch(`${relay.baseUrl}/v1/sandboxes/${id}`, { headers: { authorization: `Bearer ${relay.apiKey}` } });
    assert.equal(status, 404);
  }
}

test("review_service: killed in the middle, cancelled, and refused", async () => {
  const outcomes = await Promise.all(LANGUAGES.map(async (language) => {
    const database = join(folder, `reviews-${language}.db`);
    const options = ["--database", database, "--at-once", "3", "--budget", "0.5"];
    let service = await startService(language, options);
    const call = async (method, path, body) => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${service.url}${path}`, { method, headers, body: body && JSON.stringify(body) });
      return { status: response.status, after: response.headers.get("retry-after"), body: await response.json().catch(() => null) };
    };
    const post = (question) => call("POST", "/reviews", { repository: repository.url, question });
    const end = async (id) => {
      let body;
      await until(async () => {
        ({ body } = await call("GET", `/reviews/${id}`));
        return !["starting", "running"].includes(body.status) && body.sandbox === null;
      });
      const { question, status, answer, usage, error } = body;
      await areDeleted([body]);
      return { question, status, answer: status === "completed" ? answer : null, tokens: usage?.totalTokens ?? null, error };
    };
    const questions = [0, 1, 2].map((at) => `question ${at} ${words(200)}`);
    const begun = await Promise.all(questions.map(post));
    assert.deepEqual(begun.map(({ status, body }) => [status, body.status]), Array(3).fill([202, "running"]));
    const ids = begun.map(({ body }) => body.id);
    const full = await post("one too many");
    const cancelled = await call("DELETE", `/reviews/${ids[0]}`);
    service.child.kill("SIGKILL");
    await service.ended;
    service = await startService(language, options);
    const ends = await Promise.all(ids.map(end));
    assert.deepEqual(ends.slice(1).map(({ answer }) => answer), questions.slice(1));
    const refusals = [];
    for (const status of [400, 401, 402, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504]) {
      const refused = await post(`refuse ${status} 30`);
      refusals.push([status, refused.status, refused.after]);
    }
    for (const [body, path = "/reviews", method = "POST"] of [
      [{ repository: repository.url, question: "?".repeat(4001) }],
      [{ repository: "file:///etc", question: "?" }],
      [{ repository: `${repository.url}/none`, question: "?" }],
      [{ repository: repository.url, question: " " }],
      [{ repository: repository.url }],
      [undefined, "/reviews/none", "GET"],
      [undefined, "/reviews/none", "DELETE"],
    ]) {
      refusals.push((await call(method, path, body)).status);
    }
    service.child.kill("SIGKILL");
    return { ends, refusals, full: [full.status, full.after], cancelled: cancelled.status };
  }));
  const [rust, node] = outcomes;
  assert.deepEqual(node, rust);
  assert.deepEqual(rust.ends.map(({ status }) => status), ["cancelled", "completed", "completed"]);
  assert.deepEqual(rust.full, [429, "10"]);
  // Nobody was asked twice.
  const asked = front.asked.filter((text) => text.startsWith("question"));
  assert.equal(asked.length, 6);
});

test("worker: killed and started again", { skip: hasRedis ? false : "there is no redis-server" }, async () => {
  const redis = await startRedis(folder);
  after(redis.kill);
  const list = join(folder, "worker.txt");
  const prompts = Array.from({ length: 12 }, (_, at) => `job ${at} ${words(80)}`);
  await writeFile(list, prompts.join("\n"));
  const outcomes = await Promise.all(LANGUAGES.map(async (language) => {
    const journal = join(folder, `worker-${language}.journal`);
    const store = language === "rust" ? ["--redis", redis.url] : [];
    const startOne = () => start(language, "worker", ["--journal", journal, ...store, "--sandboxes", "2", "--at-once", "4", list], "echo");
    const done = () => readLines(journal).map(({ done }) => done).filter(Boolean);
    const first = startOne();
    await until(() => done().length >= 3);
    first.child.kill("SIGKILL");
    await first.ended;
    assert.ok(done().length < 12);
    assert.equal(await startOne().ended, 0);
    return done().sort((one, other) => one.job - other.job);
  }));
  const [rust, node] = outcomes;
  assert.deepEqual(node, rust);
  assert.deepEqual(rust.map(({ answer }) => answer), prompts);
  assert.equal(front.asked.filter((text) => text.startsWith("job")).length, 24);
});

function readLines(file) {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, "utf8");
  return text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/// Starts a program in one of the languages: `{ child, ended }`.
function start(language, program, options, agent) {
  const example = ["run", "--quiet", "--locked", "-p", "twentyfirst-client", "--features", "redis", "--example", program, "--"];
  const [command, before] = { rust: ["cargo", example], node: [process.execPath, [`interop/programs/${program}.mjs`]] }[language];
  const env = { ...process.env, API_KEY_21ST: relay.apiKey, RELAY_BASE_URL: front.url, AGENT_SLUG: agent };
  const child = spawn(command, [...before, ...options], { cwd: root, env, stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  child.stdout.setEncoding("utf8").resume();
  const ended = once(child, "exit").then(([code]) => (children.delete(child), code));
  return { child, ended };
}

async function startService(language, options) {
  const service = start(language, "review_service", options, "echo");
  let printed = "";
  service.child.stdout.on("data", (text) => (printed += text));
  const url = await until(() => /http:\S+(?=\n)/.exec(printed)?.[0]);
  return { ...service, url };
}

/// Before the relay: what refuses. `refuse 402 30` among the messages is refused with 402, for 30 s; until `isKind`. `late` is refused once in each sandbox.
async function startFront() {
  const front = { isKind: false, asked: [] };
  const late = new Set();
  front.server = createServer(async (request, response) => {
    const body = await read(request);
    const isChat = request.url.startsWith("/v1/chat/") && request.method === "POST";
    const { messages, sandboxId } = isChat ? JSON.parse(body) : {};
    const text = messages?.at(-1).parts.map(({ text }) => text).join("");
    const isLate = text === "late" && !late.has(sandboxId) && late.add(sandboxId);
    const [, status, after] = /^refuse (\d+)(?: (\d+))?/.exec(text ?? "") ?? (isLate ? [, 429, 1] : []);
    if (status && !(front.isKind && !after)) {
      const code = { 402: "budget_exceeded", 429: "rate_limit_exceeded" }[status];
      const error = { code, message: "No money" };
      response.writeHead(Number(status), { "content-type": "application/json", ...(after && { "retry-after": after }) });
      response.end(JSON.stringify({ error }));
      return;
    }
    if (text) front.asked.push(text);
    const { host, connection, "content-length": length, "transfer-encoding": coding, ...headers } = request.headers;
    const abort = new AbortController();
    response.once("close", () => abort.abort());
    try {
      const passed = await fetch(`${relay.baseUrl}${request.url}`, { method: request.method, headers, body: body || undefined, signal: abort.signal });
      const { "content-encoding": encoding, "content-length": size, "transfer-encoding": transfer, connection: kept, ...others } = Object.fromEntries(passed.headers);
      response.writeHead(passed.status, others);
      for await (const chunk of passed.body ?? []) response.write(chunk);
      response.end();
    } catch {
      response.destroy();
    }
  });
  front.server.listen(0, "127.0.0.1");
  await once(front.server, "listening");
  front.url = `http://127.0.0.1:${front.server.address().port}`;
  return front;
}

/// A repository that Git reads over HTTP.
async function startRepository() {
  const [work, bare] = [join(folder, "work"), join(folder, "repo.git")];
  await mkdir(work);
  const commit = "git -c user.name=Ada -c user.email=ada@example.com commit --quiet --allow-empty --message one";
  const script = `cd ${work} && git init --quiet && ${commit} && git clone --quiet --bare . ${bare} && cd ${bare} && git update-server-info`;
  assert.equal(spawnSync("sh", ["-c", script]).status, 0);
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const content = await readFile(join(folder, pathname)).catch(() => null);
    response.writeHead(content ? 200 : 404).end(content ?? "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${server.address().port}/repo.git` };
}
