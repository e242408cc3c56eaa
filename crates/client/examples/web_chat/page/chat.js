// A chat: its state and its requests. Nothing here shows anything.

export class Chat {
  /// Calls `onChange` whenever there is something new to show.
  constructor(id, onChange) {
    this.id = id;
    this.onChange = onChange;
    this.messages = [];
    /// The usage of all answers together.
    this.usage = {};
    /// "loading", "ready", "waiting" for the first byte of an answer, or "streaming" it.
    this.status = "ready";
    this.isStopping = false;
    /// The failure to show, as `{ text, retry }`; and the function that retries the current step.
    this.problem = undefined;
    this.retry = undefined;
    /// The number of the instance that has responded, if there are several.
    this.instance = undefined;
    this.connection = new AbortController();
  }

  /// Whether there is something to stop.
  get isRunning() {
    return this.status === "waiting" || this.status === "streaming";
  }

  /// Stops reading. The run goes on without this page.
  close() {
    this.onChange = () => {};
    this.connection.abort();
  }

  /// Reads the stored messages, and then the running answer from its start.
  load() {
    this.retry = () => this.load();
    return this.attempt("loading", async () => {
      const stored = await this.stored();
      this.messages = stored.messages;
      if (!stored.turn && !stored.streaming) return;
      if (stored.turn) this.messages.push(stored.turn);
      this.become("waiting");
      const response = await this.fetch(this.stream());
      if (response.status === 200) await this.follow(response);
      else if (stored.turn) this.messages.push({ role: "assistant", parts: [], metadata: { end: "lost" } });
    });
  }

  send(text) {
    return this.ask([{ type: "text", text }]);
  }

  /// Asks the last question again. It replaces the failed turn.
  again() {
    const at = this.messages.findLastIndex(({ role }) => role === "user");
    const [{ id, parts }] = this.messages.splice(at);
    return this.ask(parts, id);
  }

  ask(parts, replaces) {
    const message = { id: crypto.randomUUID(), role: "user", parts };
    this.messages.push(message);
    this.retry = () => this.again();
    return this.attempt("waiting", async () => {
      const response = await this.fetch("/api/chat", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ id: this.id, messages: [message], replaces }),
      });
      // The run has started: from here on, a retry reads its answer and does not ask again.
      this.retry = () => this.load();
      await this.follow(response);
    });
  }

  async stop() {
    if (!this.isRunning || this.isStopping) return;
    this.isStopping = true;
    this.onChange();
    try {
      // The server knows no run until the message has reached it, so this tries again.
      while (this.isRunning && !(await this.cancel())) await pause(200);
    } catch (error) {
      this.isStopping = false;
      this.complain(error);
    }
  }

  /// Cancels the run. Returns whether there was one.
  async cancel() {
    try {
      const response = await this.fetch(this.stream(), { method: "DELETE" });
      return (await response.json()).status !== "idle";
    } catch (error) {
      if (error.status === 404 && this.status === "waiting") return false;
      throw error;
    }
  }

  async attempt(status, work) {
    this.problem = undefined;
    this.become(status);
    try {
      await work();
    } catch (error) {
      this.complain(error, this.retry);
    }
    this.isStopping = false;
    this.become("ready");
  }

  become(status) {
    this.status = status;
    this.onChange();
  }

  complain(error, retry) {
    if (error.name === "AbortError") return;
    this.problem = { text: error.message, retry };
    this.onChange();
  }

  stream(id = this.id) {
    return `/api/chat/${encodeURIComponent(id)}/stream`;
  }

  async stored() {
    const stored = await (await this.fetch(`/api/chats/${encodeURIComponent(this.id)}`)).json();
    this.usage = stored.usage;
    return stored;
  }

  fetch(path, options = {}) {
    return request(path, { ...options, signal: this.connection.signal });
  }

  /// Reads an answer to its end, on as many connections as it takes.
  async follow(response) {
    const run = response.headers.get("x-workflow-run-id") ?? this.id;
    const message = { role: "assistant", parts: [] };
    this.become("streaming");
    for (let last, isOver = false; response && !isOver; ) {
      this.instance = response.headers.get("x-instance");
      this.onChange();
      try {
        for await (const { id, data } of events(response.body)) {
          last = id ?? last;
          isOver = data === "[DONE]";
          if (isOver) break;
          const chunk = JSON.parse(data);
          if (chunk.type === "start") this.begin(message, chunk.messageId);
          apply(chunk, message);
          this.onChange();
        }
      } catch (error) {
        if (error.name === "AbortError") throw error;
      }
      if (!isOver) response = await this.comeBack(run, last);
    }
    // The run ended before its answer began.
    if (message.metadata?.end && !this.messages.includes(message)) this.begin(message);
    this.onChange();
    await this.stored();
  }

  /// Requests the rest of an answer, after the last event, until an instance responds.
  async comeBack(run, last) {
    const headers = last === undefined ? {} : { "last-event-id": last };
    for (let tries = 1; ; tries++) {
      await pause(500);
      try {
        const response = await this.fetch(this.stream(run), { headers });
        return response.status === 200 ? response : undefined;
      } catch (error) {
        if (error.name === "AbortError" || tries === 20) throw error;
      }
    }
  }

  /// Begins an answer. If it is shown already, the replay takes its place.
  begin(message, id) {
    Object.assign(message, { id, parts: [], metadata: undefined });
    const at = this.messages.findIndex((other) => other === message || (id && other.id === id));
    if (at < 0) this.messages.push(message);
    else this.messages[at] = message;
  }
}

/// Sends a request. An error is a sentence for the user, and has the status of the response, if there is one.
export async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.", { cause: error });
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try { message = JSON.parse(text).error; } catch {}
  throw Object.assign(new Error(sentence(message || `the server responded with ${response.status}`)), { status: response.status });
}

/// Makes a sentence of an error, without the code at its start, as in `rate_limit: …`.
export function sentence(text) {
  const words = text.trim().replace(/^[a-z]+(_[a-z]+)+: /, "");
  return words.charAt(0).toUpperCase() + words.slice(1).replace(/([^.!?])$/, "$1.");
}

const pause = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));

/// Yields the events of a stream: their ids and their data.
async function* events(body) {
  const texts = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await texts.read();
    if (done) return;
    const whole = (rest + value).split(/\r?\n\r?\n/);
    rest = whole.pop();
    for (const event of whole) {
      const lines = (name) =>
        event.split(/\r?\n/).filter((line) => line.startsWith(name)).map((line) => line.slice(name.length).trimStart());
      const data = lines("data:").join("\n");
      if (data) yield { id: lines("id:")[0], data };
    }
  }
}

/// Applies a chunk to a message.
function apply(chunk, message) {
  const { parts } = message;
  const part = parts.findLast((part) => part.id !== undefined && part.id === chunk.id && part.state === "streaming");
  const call = parts.findLast((part) => part.toolCallId && part.toolCallId === chunk.toolCallId);
  if (chunk.messageMetadata) message.metadata = { ...message.metadata, ...chunk.messageMetadata };
  switch (chunk.type) {
    case "text-start": case "reasoning-start":
      parts.push({ type: chunk.type.slice(0, -6), id: chunk.id, text: "", state: "streaming" }); break;
    // Halves of a character that was cut in two join by themselves: JavaScript strings are UTF-16.
    case "text-delta": case "reasoning-delta": if (part) part.text += chunk.delta; break;
    case "text-end": case "reasoning-end": if (part) part.state = "done"; break;
    case "tool-input-start":
      parts.push({ type: `tool-${chunk.toolName}`, toolCallId: chunk.toolCallId, rawInput: "", state: "input-streaming" }); break;
    case "tool-input-delta": if (call) call.rawInput += chunk.inputTextDelta; break;
    case "tool-input-available": case "tool-input-error": {
      const named = call ?? parts[parts.push({ type: `tool-${chunk.toolName}`, toolCallId: chunk.toolCallId }) - 1];
      const state = chunk.type === "tool-input-error" ? "output-error" : "input-available";
      Object.assign(named, { input: chunk.input, errorText: chunk.errorText, state });
      break;
    }
    case "tool-output-available":
      if (call) Object.assign(call, { output: chunk.output, state: chunk.preliminary ? "input-available" : "output-available" });
      break;
    case "tool-output-error": if (call) Object.assign(call, { errorText: chunk.errorText, state: "output-error" }); break;
    // The server stores the end of an answer in the same words: see `end_turn` in `database.rs`.
    case "abort": message.metadata = { ...message.metadata, end: "cancelled" }; break;
    case "error": message.metadata = { ...message.metadata, end: "failed", error: chunk.errorText }; break;
  }
}
