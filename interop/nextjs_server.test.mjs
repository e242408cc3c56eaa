// The published `@21st-sdk/nextjs/server` against the local relay: what a browser gets, and what it can do with it.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import * as server from "@21st-sdk/nextjs/server";

import { collect, events, startRelay, textOf, user } from "./server.mjs";
import { watch } from "./watch.mjs";

const relay = await startRelay();
const otherRelay = await startRelay();
after(relay.stop);
after(otherRelay.stop);

const { view, uncalled } = watch({ ...server });
const { exchangeToken, createTokenHandler } = view;
const options = { apiKey: relay.apiKey, relayUrl: relay.baseUrl };

/// What a browser gets for the body of its POST.
async function post(handler, body) {
  const headers = { "content-type": "application/json" };
  const response = await handler(new Request("http://localhost/api/token", { method: "POST", headers, body }));
  assert.equal(response.headers.get("content-type"), "application/json");
  return { status: response.status, ...(await response.json()) };
}

/// Who holds a token asks an agent of the relay.
function ask(token, agent, sandboxId = `of-${agent}`) {
  return fetch(`${relay.baseUrl}/v1/chat/${agent}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ sandboxId, messages: [user("true")] }),
  });
}

const answered = async (response) => ({ status: response.status, ...(await response.json()) });
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const lifetime = ({ expiresAt }) => Math.round((Date.parse(expiresAt) - Date.now()) / 10_000) * 10;

test("a browser gets a token for the agent and the user that it names", async () => {
  const handler = createTokenHandler(options);
  const { status, ...token } = await post(handler, JSON.stringify({ agent: "echo", userId: "ada" }));
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(token).sort(), ["expiresAt", "token"]);
  assert.match(token.token, /^an_t_/);
  const { agents, user_id } = claims(token.token);
  assert.deepEqual({ agents, user_id }, { agents: ["echo"], user_id: "ada" });
  assert.equal(lifetime(token), 3_600);

  const chat = await ask(token.token, "echo");
  assert.equal(chat.status, 200);
  assert.equal(textOf(await collect(events(chat))), "true");
});

test("a body that is no JSON, or names nobody, gets a token for every agent", async () => {
  const handler = view.createAnTokenHandler({ ...options, expiresIn: "10m" });
  for (const body of ["", "agent=echo", '{"agent":', "{}", "[]", '"echo"', '{"agent":"","userId":null}']) {
    const { status, ...token } = await post(handler, body);
    assert.equal(status, 200, body);
    assert.equal(claims(token.token).agents, undefined, body);
    assert.equal(lifetime(token), 600);
    assert.equal((await ask(token.token, "shell")).status, 200);
  }
});

test("what cannot be exchanged is a 500 with the reason", async () => {
  const handler = createTokenHandler(options);
  const nobody = await post(handler, "null");
  assert.equal(nobody.status, 500);
  assert.match(nobody.error, /null/);
  assert.deepEqual(await post(createTokenHandler({ ...options, apiKey: "21st_sk_stranger" }), "{}"), {
    status: 500,
    error: "Invalid API key",
  });
  const { token } = await exchangeToken(options);
  assert.deepEqual(await post(createTokenHandler({ ...options, apiKey: token }), "{}"), {
    status: 500,
    error: "Tokens cannot create other tokens. Use an API key (21st_sk_).",
  });
  const nowhere = createTokenHandler({ ...options, relayUrl: "http://127.0.0.1:1" });
  assert.deepEqual(await post(nowhere, "{}"), { status: 500, error: "fetch failed" });
});

test("lifetimes: an hour by default and for what is none, a day at most", async () => {
  const lifetimes = { undefined: 3_600, "90s": 90, "15m": 900, "24h": 86_400, "7d": 86_400, soon: 3_600 };
  for (const [expiresIn, seconds] of Object.entries(lifetimes)) {
    const given = expiresIn === "undefined" ? {} : { expiresIn };
    assert.equal(lifetime(await exchangeToken({ ...options, ...given })), seconds, expiresIn);
  }
});

test("a token is good for its agent only", async () => {
  const { token } = await exchangeToken({ ...options, agent: "echo" });
  const refusal = {
    status: 403,
    error: { code: "invalid_request", message: 'Token is not authorized for agent "shell"' },
  };
  const stream = `${relay.baseUrl}/v1/chat/shell/of-shell/stream`;
  const headers = { authorization: `Bearer ${token}` };
  assert.deepEqual(await answered(await ask(token, "shell")), refusal);
  assert.deepEqual(await answered(await fetch(stream, { headers })), refusal);
  assert.deepEqual(await answered(await fetch(stream, { method: "DELETE", headers })), refusal);
});

test("forged, foreign and expired tokens are refused", async () => {
  const { token } = await exchangeToken({ ...options, agent: "echo", expiresIn: "2s" });
  const [header, payload, signature] = token.slice("an_t_".length).split(".");
  const longer = encode({ ...claims(token), agents: undefined, exp: claims(token).exp + 3_600 });
  const foreign = await exchangeToken({ apiKey: otherRelay.apiKey, relayUrl: otherRelay.baseUrl, agent: "echo" });
  assert.equal((await ask(token, "echo")).status, 200);

  const wrong = {
    "with other claims": `an_t_${header}.${longer}.${signature}`,
    "with no algorithm": `an_t_${encode({ alg: "none" })}.${longer}.`,
    "without its signature": `an_t_${header}.${payload}.`,
    "of another relay": foreign.token,
    "that is none": "an_t_token",
  };
  const refusal = { status: 401, error: "Invalid or expired token" };
  for (const [what, forged] of Object.entries(wrong)) {
    assert.deepEqual(await answered(await ask(forged, "echo")), refusal, what);
  }
  await new Promise((resolve) => setTimeout(resolve, claims(token).exp * 1_000 - Date.now() + 50));
  assert.deepEqual(await answered(await ask(token, "echo")), refusal);
  const sandbox = await fetch(`${relay.baseUrl}/v1/sandboxes/of-echo`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(await answered(sandbox), refusal);
});

test("everything in the package has been called", () => {
  assert.deepEqual(Object.keys(server).sort(), ["createAnTokenHandler", "createTokenHandler", "exchangeToken"]);
  assert.deepEqual(uncalled(), []);
});
