// What the programs need of a client beside what `@21st-sdk/node` has: the status and the code of an error, time limits,
// retries of what cannot act twice, and the end of a run.

import { setTimeout } from "node:timers/promises";
import { AgentClient } from "@21st-sdk/node";

const ATTEMPTS = 3;
const TIME_LIMIT = 600_000;

export class RelayError extends Error {
  constructor(message, { status, code, retryAfter, cause } = {}) {
    super(message, { cause });
    Object.assign(this, { status, code, retryAfter });
  }
}

export class Client extends AgentClient {
  /// `longestDelay`: for how many seconds the relay may ask to wait. `signal`: what ends all that is under way.
  static fromEnv({ longestDelay = 60, signal } = {}) {
    const { API_KEY_21ST, RELAY_BASE_URL } = process.env;
    const client = new Client({
      apiKey: API_KEY_21ST,
      baseUrl: RELAY_BASE_URL,
    });
    return Object.assign(client, { longestDelay, signal });
  }

  /// All methods of the package send their requests with this one.
  async _request(path, init = {}) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#send(path, init);
      } catch (error) {
        const delay =
          error.retryAfter ?? 0.5 * 2 ** (attempt - 1) * Math.random();
        const mayWait = attempt < ATTEMPTS && delay <= this.longestDelay;
        if (this.signal?.aborted || !mayWait || !mayRepeat(error, init)) {
          throw error;
        }
        await setTimeout(delay * 1000, null, { signal: this.signal });
      }
    }
  }

  async #send(path, init) {
    let response;
    try {
      response = await fetch(`${this.baseUrl}${path}`, {
        signal: this.#signal(),
        ...init,
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${this.apiKey}`,
        },
      });
    } catch (cause) {
      const status = cause.name === "TimeoutError" ? 504 : undefined;
      throw new RelayError("there is no response", { status, cause });
    }
    if (response.ok) {
      return response;
    }
    const { status, headers } = response;
    const { error } = await response.json().catch(() => ({}));
    throw new RelayError(error?.message ?? `Request failed: ${status}`, {
      status,
      code: error?.code,
      retryAfter: headers.has("retry-after")
        ? Number(headers.get("retry-after"))
        : undefined,
    });
  }

  #signal() {
    const timeout = AbortSignal.timeout(TIME_LIMIT);
    return this.signal ? AbortSignal.any([this.signal, timeout]) : timeout;
  }

  /// Cancels the run of a sandbox; while it is starting the relay cancels nothing.
  async cancel(agent, sandboxId) {
    for (let attempt = 0; attempt < 300; attempt++) {
      const path = `/v1/chat/${encodeURIComponent(agent)}/${sandboxId}/stream`;
      const { status } = await this._fetch(path, { method: "DELETE" });
      if (status === "cancelled") {
        return;
      }
      await setTimeout(1000);
    }
    throw new RelayError("the run is still starting", { status: 504 });
  }

  /// Waits for the end of a run: `{ text, usage, error, code }`.
  async end({ sandboxId, threadId, deadline = Infinity }) {
    for (;;) {
      const thread = await this.threads
        .get({ sandboxId, threadId })
        .catch((error) => {
          if (this.signal?.aborted || error.status < 500) {
            throw error;
          }
        });
      const status = thread?.status;
      if (["completed", "error", "failed", "cancelled"].includes(status)) {
        return outcome(thread);
      }
      if (Date.now() > deadline) {
        throw new RelayError("the run takes too long", { status: 504 });
      }
      await setTimeout(500, null, { signal: this.signal });
    }
  }
}

export const userMessage = (text, id) => ({
  id,
  role: "user",
  parts: [{ type: "text", text }],
});

function outcome({ status, messages, usage, error }) {
  const answer = messages?.at(-1);
  const texts = answer?.parts?.filter(({ type }) => type === "text") ?? [];
  const text = texts.map(({ text }) => text).join("");
  if (status === "cancelled") {
    return { status, text, usage, error: status, code: null };
  }
  if (status !== "completed") {
    return { status, text, usage, error: error ?? status, code: codeOf(error) };
  }
  const subtype = answer?.metadata?.resultSubtype ?? "success";
  return subtype === "success"
    ? { status, text, usage, error: null, code: null }
    : { status, text, usage, error: subtype, code: subtype };
}

const codeOf = (error) => /^(\w+):/.exec(error ?? "")?.[1] ?? null;

/// What was not accepted can be sent again, and what changes nothing or deletes.
function mayRepeat({ status }, { method = "GET" }) {
  const isSafe = method === "GET" || method === "DELETE";
  return status === 429 || (isSafe && !(status < 500));
}
