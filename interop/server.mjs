// Servers of this project that the runs talk to, and what they answer.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DefaultChatTransport } from "ai";

const root = fileURLToPath(new URL("..", import.meta.url));

/// Starts the local relay on a port that is free: `{ baseUrl, apiKey, stop }`. It ends with this process at the latest.
export async function startRelay() {
  const { lines, child, ended } = await start("twentyfirst-local-relay", "serve", 2);
  const [baseUrl, apiKey] = lines;
  return { baseUrl, apiKey, stop: () => (child.stdin.end(), ended) };
}

/// Starts the example `web_chat` with a local relay: `{ baseUrl, signal, end }`, and `stop` for `end("SIGINT")`. One that `WEB_CHAT_URL` names is
/// taken instead, unless there are settings: options of the command line, and variables of the environment.
export async function startWebChat({ options = [], ...settings } = {}) {
  const { WEB_CHAT_URL } = process.env;
  const isAny = options.length === 0 && Object.keys(settings).length === 0;
  if (WEB_CHAT_URL && isAny) return { baseUrl: WEB_CHAT_URL, stop: () => {} };
  const expected = settings.API_KEY_21ST ? 1 : 2;
  const { lines, child, ended } = await start("twentyfirst-client", "web_chat", expected, settings, ["--features", "redis", "--", ...options]);
  // One that was stopped takes no signal but these.
  process.once("exit", () => child.kill() && child.kill("SIGCONT"));
  const signal = (name) => child.kill(name);
  const end = (name) => (signal(name), ended);
  return { baseUrl: lines.at(-1), signal, end, stop: () => end("SIGINT") };
}

/// Starts the example `chat_route`, whose answers are made by `twentyfirst-protocol`: `{ baseUrl, stop }`. It ends with this process at the latest.
export async function startChatRoute() {
  const { lines, child, ended } = await start("twentyfirst-stream", "chat_route", 1);
  return { baseUrl: lines[0], stop: () => (child.stdin.end(), ended) };
}

/// A browser that has opened the page of `web_chat`, whose cookie it sends; it may have one from another day.
export async function openBrowser({ baseUrl }, cookies) {
  const api = `${baseUrl}/api/chat`;
  const page = await fetch(baseUrl, { headers: cookies });
  assert.match(page.headers.get("content-type"), /^text\/html/);
  const headers = cookies ?? { cookie: page.headers.getSetCookie()[0].split(";")[0] };
  return {
    api,
    headers,
    transport: new DefaultChatTransport({ api, headers }),
    load: async (chatId) => (await fetch(`${baseUrl}/api/chats/${chatId}`, { headers })).json(),
    stop: async (chatId) => (await fetch(`${api}/${chatId}/stream`, { method: "DELETE", headers })).json(),
  };
}

/// Starts an example, and waits for the lines that it prints until it is reached: URLs, and the local relay's key.
async function start(crate, example, expected, settings = {}, options = []) {
  const { API_KEY_21ST, AGENT_SLUG, RELAY_BASE_URL, PORT, DATABASE, ...others } = process.env;
  const env = { ...others, ...settings };
  const command = ["run", "--quiet", "--locked", "-p", crate, "--example", example, ...options];
  const child = spawn("cargo", command, { cwd: root, env, stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const lines = await new Promise((resolve, reject) => {
    let printed = "";
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${example} has ended with ${code}`)));
    child.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text;
      const complete = printed.split("\n").slice(0, -1);
      if (complete.length >= expected) resolve(complete);
    });
  });
  return { lines, child, ended };
}

/// What each event of an answer says, as it arrives: the chunks, parsed, and `[DONE]` as it is.
export async function* events(response) {
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const complete = (text + piece).split("\n\n");
    text = complete.pop();
    for (const event of complete) {
      const data = event.replace(/^data: /, "");
      yield data === "[DONE]" ? data : JSON.parse(data);
    }
  }
}

/// What an answer says up to the first chunk of a type. The rest can be read afterwards.
export async function readTo(stream, type) {
  const read = [];
  do {
    const { value, done } = await stream.next();
    if (done) throw new Error(`there is no ${type}`);
    read.push(value);
  } while (read.at(-1).type !== type);
  return read;
}

/// All that is left of an answer.
export async function collect(stream) {
  const all = [];
  for await (const event of stream) all.push(event);
  return all;
}

/// The text that chunks bring.
export const textOf = (chunks) => chunks.filter(({ type }) => type === "text-delta").map(({ delta }) => delta).join("");

/// The text of a stored message.
export const storedText = ({ parts }) => parts.filter(({ type }) => type === "text").map(({ text }) => text).join("");

/// A message of the user.
export const user = (text) => ({ role: "user", parts: [{ type: "text", text }] });

/// As many words, each of which the agent `echo` says 10 ms after the other.
export const words = (count) => Array.from({ length: count }, (_, at) => `word${at}`).join(" ");

/// Asks again and again until the answer is one; for at most fifteen seconds.
export async function until(ask) {
  for (const end = Date.now() + 15_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error("it did not come to that within fifteen seconds");
  }
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

/// Where Chromium is, if the system has it.
export const chromiumPath = await find("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome");
