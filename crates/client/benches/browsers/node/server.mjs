// The two routes with the published client and plain `http`.
//   node server.mjs BROWSERS INTERVAL_MS DELTAS     with RELAY_BASE_URL and API_KEY_21ST

import { AgentClient } from "@21st-sdk/node";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

const AGENT = "ticker";
const RUNS_IN_A_SANDBOX = 100;
const PASSED_ON = ["content-type", "cache-control", "x-vercel-ai-ui-message-stream", "x-accel-buffering"];

const browsers = Number(process.argv[2]);

const client = new AgentClient({ apiKey: process.env.API_KEY_21ST, baseUrl: process.env.RELAY_BASE_URL });
const sandboxes = [];
while (sandboxes.length * RUNS_IN_A_SANDBOX < browsers) {
  sandboxes.push(await client.sandboxes.create({ agent: AGENT }));
}
let next = 0;

async function token(request, response) {
  await json(request);
  sendJson(response, 200, await client.tokens.create({ agent: AGENT }));
}

async function chat(request, response) {
  const { messages } = await json(request);
  const sandboxId = sandboxes[next++ % sandboxes.length].id;
  const { response: stream } = await client.threads.run({ agent: AGENT, sandboxId, messages });
  const headers = PASSED_ON.filter((name) => stream.headers.has(name));
  response.writeHead(200, Object.fromEntries(headers.map((name) => [name, stream.headers.get(name)])));
  response.flushHeaders();
  await pipeline(Readable.fromWeb(stream.body), response);
}

function sendJson(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const routes = { "/api/token": token, "/api/chat": chat };
const server = createServer((request, response) => {
  const route = routes[request.url];
  if (!route) return sendJson(response, 404, { error: "Not found" });
  route(request, response).catch((error) => {
    if (response.headersSent) response.destroy();
    else sendJson(response, 500, { error: error.message });
  });
});
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
