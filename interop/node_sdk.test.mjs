// Every method of the published `@21st-sdk/node` against the local relay.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import * as sdk from "@21st-sdk/node";

import { collect, events, readTo, startRelay, storedText, textOf, until, user, words } from "./server.mjs";
import { watch } from "./watch.mjs";

const relay = await startRelay();
after(relay.stop);

const { view: client, uncalled } = watch(new sdk.AgentClient({ apiKey: relay.apiKey, baseUrl: `${relay.baseUrl}/` }));
const { sandboxes, threads, tokens } = client;
const authorized = { headers: { authorization: `Bearer ${relay.apiKey}` } };

const isTime = (text) => assert.ok(Math.abs(Date.parse(text) - Date.now()) < 60_000, `${text} is not now`);
const sandbox = await sandboxes.create({
  agent: "shell",
  files: { "data/input.json": "[1, 2, 3]" },
  envs: { GREETING: "hello" },
  setup: ["echo ready > setup.txt"],
  timeoutMs: 600_000,
  networkAllowOut: ["example.com"],
  networkDenyOut: ["0.0.0.0/0"],
});
const sandboxId = sandbox.id;

test("the package has what it had when this was written", () => {
  assert.deepEqual(Object.keys(sdk).sort(), ["AgentClient", "AnClient", "VaultCoverageMissingError"]);
  assert.equal(sdk.AnClient, sdk.AgentClient);
});

test("a sandbox is there with its files, its environment and what its setup has done", async () => {
  assert.equal(sandbox.status, "active");
  assert.notEqual(sandbox.sandboxId, sandbox.id);
  isTime(sandbox.createdAt);

  const { updatedAt, ...found } = await sandboxes.get(sandboxId);
  isTime(updatedAt);
  assert.deepEqual(found, {
    ...sandbox,
    provider: "local",
    error: null,
    agent: { slug: "shell", name: "shell" },
    threads: [],
  });
  assert.deepEqual(await sandboxes.files.read({ sandboxId, path: "data/input.json" }), {
    path: "data/input.json",
    content: "[1, 2, 3]",
  });
  assert.deepEqual(await sandboxes.exec({ sandboxId, command: "echo $GREETING; cat /home/user/setup.txt" }), {
    exitCode: 0,
    stdout: "hello\nready\n",
    stderr: "",
  });
});

test("commands: directory, environment, exit codes, time limits", async () => {
  const command = 'pwd; echo "$NAME"; echo no >&2; exit 3';
  assert.deepEqual(await sandboxes.exec({ sandboxId, command, cwd: "/home/user", envs: { NAME: "Ada" } }), {
    exitCode: 3,
    stdout: "/home/user\nAda\n",
    stderr: "no\n",
  });
  const slow = sandboxes.exec({ sandboxId, command: "sleep 30", timeoutMs: 100 });
  await assert.rejects(slow, { message: "Command execution timed out" });
});

test("files", async () => {
  const { files } = sandboxes;
  const written = await files.write({ sandboxId, files: { "/home/user/notes/a.txt": "Grüße 😀", "b.txt": "" } });
  assert.deepEqual(written.files.sort((one, other) => one.path.localeCompare(other.path)), [
    { path: "/home/user/notes/a.txt", size: 8 },
    { path: "b.txt", size: 0 },
  ]);
  assert.equal((await files.read({ sandboxId, path: "/home/user/notes/a.txt" })).content, "Grüße 😀");
  assert.equal((await files.read({ sandboxId, path: "/root/b.txt" })).content, "");

  assert.equal(await files.makeDir({ sandboxId, path: "/home/user/notes/old" }), true);
  assert.equal(await files.makeDir({ sandboxId, path: "/home/user/notes/old" }), false);
  const renamed = { sandboxId, oldPath: "/home/user/notes/a.txt", newPath: "/home/user/notes/old/1 & 2.txt" };
  const entry = await files.rename(renamed);
  const { modifiedTime, ...fixed } = entry;
  isTime(modifiedTime);
  assert.deepEqual(fixed, {
    name: "1 & 2.txt",
    path: renamed.newPath,
    type: "file",
    size: 12,
    mode: 0o644,
    permissions: "-rw-r--r--",
    owner: "root",
    group: "root",
  });
  assert.deepEqual(await files.getInfo({ sandboxId, path: renamed.newPath }), entry);
  assert.equal(await files.exists({ sandboxId, path: renamed.oldPath }), false);
  assert.equal(await files.exists({ sandboxId, path: renamed.newPath }), true);

  const paths = async (depth) => (await files.list({ sandboxId, path: "/home/user/notes", depth })).map(({ path }) => path);
  assert.deepEqual(await paths(), ["/home/user/notes/old"]);
  assert.deepEqual(await paths(2), ["/home/user/notes/old", renamed.newPath]);

  assert.equal(await files.remove({ sandboxId, path: "/home/user/notes" }), undefined);
  assert.equal(await files.exists({ sandboxId, path: renamed.newPath }), false);
  assert.equal(await files.remove({ sandboxId, path: "/home/user/notes" }), undefined);
  const gone = files.getInfo({ sandboxId, path: "/home/user/notes" });
  await assert.rejects(gone, { message: 'Path "/home/user/notes" not found' });
});

test("a repository is cloned", async () => {
  const commit = "git -c user.name=Ada -c user.email=ada@example.com commit --quiet --allow-empty -m";
  const { exitCode, stderr } = await sandboxes.exec({
    sandboxId,
    cwd: "/home/user",
    command: `git init --quiet work && cd work && ${commit} one && ${commit} two && git clone --quiet --bare . ../source.git`,
  });
  assert.equal(exitCode, 0, stderr);
  const url = "file:///home/user/source.git";
  const commits = async (cwd) => (await sandboxes.exec({ sandboxId, cwd, command: "git log --format=%s" })).stdout;

  assert.deepEqual(await sandboxes.git.clone({ sandboxId, url }), { path: "/home/user/repo", branch: "default" });
  assert.equal(await commits("/home/user/repo"), "two\none\n");
  const shallow = { sandboxId, url, path: "/home/user/shallow", token: "secret", depth: 1 };
  assert.deepEqual(await sandboxes.git.clone(shallow), { path: "/home/user/shallow", branch: "default" });
  assert.equal(await commits("/home/user/shallow"), "two\n");
  await assert.rejects(sandboxes.git.clone({ sandboxId, url: "file:///home/user/none.git", path: "none" }), {
    message: /none\.git' does not appear to be a git repository/,
  });
});

test("threads", async () => {
  assert.deepEqual(await threads.list({ sandboxId }), []);
  const review = await threads.create({ sandboxId, name: "Review" });
  const unnamed = await threads.create({ sandboxId });
  isTime(review.createdAt);
  const { id, createdAt } = review;
  assert.deepEqual(review, { id, name: "Review", status: "idle", createdAt });
  assert.equal(unnamed.name, null);
  assert.deepEqual((await sandboxes.get(sandboxId)).threads, [unnamed, review]);
  const listed = [unnamed, review].map((thread) => ({ ...thread, updatedAt: thread.createdAt }));
  assert.deepEqual(await threads.list({ sandboxId }), listed);

  const { updatedAt, ...found } = await threads.get({ sandboxId, threadId: id });
  isTime(updatedAt);
  const usage = { inputTokens: null, outputTokens: null, totalTokens: null, totalCostUsd: null, durationMs: null };
  assert.deepEqual(found, { ...review, messages: null, usage, error: null, completedAt: null });

  assert.equal(await threads.delete({ sandboxId, threadId: unnamed.id }), undefined);
  assert.deepEqual(await threads.list({ sandboxId }), listed.slice(1));
  await assert.rejects(threads.get({ sandboxId, threadId: unnamed.id }), { message: /not found/ });
});

test("a run streams, and is stored", async () => {
  const said = words(40);
  const run = await threads.run({ agent: "echo", messages: [user("before"), user(said)], name: "Streamed" });
  const ids = { sandboxId: run.sandboxId, threadId: run.threadId };
  assert.equal(run.resumeUrl, `${relay.baseUrl}/v1/chat/echo/${run.sandboxId}/stream`);
  assert.equal(run.response.headers.get("content-type"), "text/event-stream");
  assert.equal(run.response.headers.get("x-vercel-ai-ui-message-stream"), "v1");

  const stream = events(run.response);
  const first = await readTo(stream, "text-delta");
  assert.deepEqual(first.map(({ type }) => type), ["start", "text-start", "text-delta"]);
  assert.equal((await threads.get(ids)).status, "streaming");
  const rest = await collect(stream);
  assert.equal(textOf([...first, ...rest]), said);
  assert.deepEqual(rest.slice(-4).map((chunk) => chunk.type ?? chunk), ["text-end", "message-metadata", "finish", "[DONE]"]);

  const thread = await threads.get(ids);
  assert.equal(thread.name, "Streamed");
  assert.equal(thread.status, "completed");
  isTime(thread.completedAt);
  const [asked, answered] = thread.messages;
  assert.deepEqual([asked.role, storedText(asked)], ["user", said]);
  assert.deepEqual([answered.role, answered.id, storedText(answered)], ["assistant", first[0].messageId, said]);
  const { durationMs, ...usage } = thread.usage;
  assert.deepEqual(usage, { inputTokens: 40, outputTokens: 40, totalTokens: 80, totalCostUsd: 0 });
  assert.ok(durationMs >= 400);

  // The next turn goes on in the same thread.
  const next = await threads.run({ agent: "echo", ...ids, messages: [...thread.messages, user("And now?")] });
  assert.equal(textOf(await collect(events(next.response))), "And now?");
  assert.equal((await threads.get(ids)).messages.length, 4);
  await sandboxes.delete(run.sandboxId);
});

test("a run takes options, vaults and a user", async () => {
  const vaults = await fetch(`${relay.baseUrl}/v1/mcp/vaults`, {
    method: "POST",
    headers: { ...authorized.headers, "content-type": "application/json" },
    body: JSON.stringify({ name: "Tools" }),
  });
  const { vault } = await vaults.json();
  const base = { agent: "shell", sandboxId, messages: [user("echo hello")] };
  const options = {
    model: "claude-sonnet-4-6",
    systemPrompt: { type: "preset", preset: "claude_code", append: "Be brief." },
    maxTurns: 3,
    maxBudgetUsd: 0.5,
    permissionMode: "plan",
    disallowedTools: ["Write"],
  };
  const run = await threads.run({ ...base, options, vaultIds: [vault.id, vault.id], externalUserId: "customer" });
  const chunks = await collect(events(run.response));
  const output = chunks.find(({ type }) => type === "tool-output-available");
  assert.deepEqual(output.output, { exitCode: 0, stdout: "hello\n", stderr: "" });

  const none = "00000000-0000-4000-8000-000000000000";
  const refused = (more, message) => assert.rejects(threads.run({ ...base, ...more }), { message });
  await refused({ vaultIds: [none] }, `Vault "${none}" is not available in this workspace`);
  await refused({ vaultId: "none" }, 'Vault "none" is not a valid vault id');
  await refused(
    { options: { maxSandboxBudgetUsd: 1 } },
    "maxSandboxBudgetUsd can only be set from an an_sk_ secret key request",
  );
  await refused({ sandboxId: undefined, threadId: none }, "threadId requires sandboxId");
});

test("a run in the background is resumed at its URL", async () => {
  const said = words(200);
  const run = await threads.run({ agent: "echo", messages: [user(said)], mode: "background" });
  const ids = { sandboxId: run.sandboxId, threadId: run.threadId };
  assert.deepEqual(run, { ...ids, status: "running" });

  const url = `${relay.baseUrl}/v1/chat/echo/${run.sandboxId}/stream`;
  const joined = await until(async () => {
    const response = await fetch(url, authorized);
    return response.status === 200 ? response : assert.equal(response.status, 204);
  });
  const chunks = await collect(events(joined));
  const text = textOf(chunks);
  assert.ok(text.length > 0 && said.endsWith(text), text);
  assert.deepEqual(chunks.slice(-2).map((chunk) => chunk.type ?? chunk), ["finish", "[DONE]"]);

  const { status, messages } = await threads.get(ids);
  assert.equal(status, "completed");
  assert.equal(storedText(messages[1]), said);
  assert.notEqual(messages[1].id, chunks[0].messageId);
  assert.equal((await fetch(url, authorized)).status, 204);
  await sandboxes.delete(run.sandboxId);
});

test("a run is cancelled at its URL", async () => {
  const { threadId, response, resumeUrl } = await threads.run({ agent: "shell", sandboxId, messages: [user("sleep 30")] });
  const stream = events(response);
  await readTo(stream, "tool-input-available");
  const cancel = async () => (await fetch(resumeUrl, { method: "DELETE", ...authorized })).json();
  const { streamId, ...cancelled } = await cancel();
  assert.deepEqual(cancelled, { ok: true, status: "cancelled" });
  assert.ok(streamId.length > 0);
  assert.deepEqual(await collect(stream), ["[DONE]"]);
  const thread = await threads.get({ sandboxId, threadId });
  assert.deepEqual([thread.status, thread.error, thread.messages], ["cancelled", "cancelled: cancelled by user", null]);
  assert.deepEqual(await cancel(), { ok: true, status: "idle" });
});

test("tokens stand for the key where they may", async () => {
  const { token, expiresAt } = await tokens.create({ agent: "echo", userId: "ada", expiresIn: "15m" });
  assert.ok(Math.abs(Date.parse(expiresAt) - Date.now() - 15 * 60_000) < 10_000, expiresAt);
  const holder = new sdk.AgentClient({ apiKey: token, baseUrl: relay.baseUrl });
  const run = await holder.threads.run({ agent: "echo", messages: [user("Hello")] });
  assert.equal(textOf(await collect(events(run.response))), "Hello");
  await sandboxes.delete(run.sandboxId);
  await assert.rejects(holder.threads.run({ agent: "shell", sandboxId, messages: [user("true")] }), {
    message: 'Token is not authorized for agent "shell"',
  });
  // Where the relay answers with a text alone, the package tells the status only.
  await assert.rejects(holder.tokens.create(), { message: "Request failed: 403" });

  const byDefault = await tokens.create();
  assert.ok(Math.abs(Date.parse(byDefault.expiresAt) - Date.now() - 3_600_000) < 10_000, byDefault.expiresAt);
});

test("errors carry the relay's message", async () => {
  await assert.rejects(sandboxes.create({ agent: "nobody" }), { message: 'Agent "nobody" not found' });
  await assert.rejects(sandboxes.get("none"), { message: 'Sandbox "none" not found' });
  const stranger = new sdk.AgentClient({ apiKey: "21st_sk_stranger", baseUrl: relay.baseUrl });
  await assert.rejects(stranger.sandboxes.get(sandboxId), { message: "Request failed: 401" });
});

test("a sandbox is deleted, and then every method has been called", async () => {
  assert.equal(await sandboxes.delete(sandboxId), undefined);
  await assert.rejects(sandboxes.get(sandboxId), { message: `Sandbox "${sandboxId}" not found` });
  await assert.rejects(sandboxes.delete(sandboxId), { message: `Sandbox "${sandboxId}" not found` });
  assert.deepEqual(uncalled(), []);
});
