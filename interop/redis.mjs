// A Redis of a test's own, where the system has one.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";

import { until } from "./server.mjs";

export const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

/// Starts a Redis, which has this folder for its files: `{ url, log, kill }`. `log` reads the entries of a run: `{ at, kind, text }`.
export async function startRedis(folder) {
  const listener = createServer();
  await new Promise((listening) => listener.listen(0, "127.0.0.1", listening));
  const { port } = listener.address();
  await new Promise((closed) => listener.close(closed));
  const options = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => child.kill());
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
  await until(() => printed.includes("Ready to accept connections"));
  const ask = (...command) => {
    const { stdout, status } = spawnSync("redis-cli", ["-p", port, "--json", ...command], { encoding: "utf8" });
    assert.equal(status, 0, "redis-cli comes with redis-server");
    return JSON.parse(stdout);
  };
  const log = (run) => {
    const [key, ...others] = ask("KEYS", `*run/${run}*`);
    assert.deepEqual(others, []);
    return ask("XRANGE", key, "-", "+").map(([at, [, text]]) => ({ at, kind: text.split(" ")[1], text }));
  };
  return { url: `redis://127.0.0.1:${port}`, log, kill: () => child.kill() };
}
