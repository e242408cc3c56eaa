// Reads all streams with the published client, as its users have to: the events are found by hand in the answer's body.
//   node streams.mjs STREAMS INTERVAL_MS DELTAS     with RELAY_BASE_URL and API_KEY_21ST

import { AgentClient } from "@21st-sdk/node";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

const AGENT = "ticker";
const STARTING = 50;
const RUNS_IN_A_SANDBOX = 100;

const [streams, , deltas] = process.argv.slice(2).map(Number);

/** Microseconds since 1970, by the clock that all processes share; `Date.now()` has no fractions. */
const now = () => (performance.timeOrigin + performance.now()) * 1000;

/** Memory in KiB, processor time in seconds. */
function usage() {
  const status = readFileSync("/proc/self/status", "utf8");
  const field = (name) => Number(status.match(new RegExp(`${name}:\\s*(\\d+)`))[1]);
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1).split(" ");
  return { memory: field("VmRSS"), peak: field("VmHWM"), processor: (Number(fields[11]) + Number(fields[12])) / 100 };
}

const client = new AgentClient({ apiKey: process.env.API_KEY_21ST, baseUrl: process.env.RELAY_BASE_URL });
const sandboxes = [];
while (sandboxes.length * RUNS_IN_A_SANDBOX < streams) {
  sandboxes.push(await client.sandboxes.create({ agent: AGENT }));
}

// Filled, so that they do not count as memory of streams.
const latencies = new Uint32Array(streams * deltas).fill(0xffffffff);
let opened = 0;
let ended = 0;
let taken = 0;
const start = usage();

async function read(response) {
  const decoder = new TextDecoder();
  let rest = "";
  let next = 0;
  let done = false;
  for await (const piece of response.body) {
    const events = (rest + decoder.decode(piece, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.slice("data: ".length);
      if (data === "[DONE]") {
        done = true;
        continue;
      }
      const chunk = JSON.parse(data);
      if (chunk.type !== "text-delta") continue;
      const [number, written] = chunk.delta.split(" ").map(Number);
      if (number !== next) throw new Error(`delta ${number} came in place of ${next}`);
      next += 1;
      latencies[taken++] = Math.max(0, Math.round(now() - written));
    }
  }
  ended += 1;
  if (next !== deltas || !done) throw new Error(`a stream ended after ${next} deltas`);
}

const readers = [];
let left = streams;
/** Starts one run after the other. */
async function starter() {
  while (left > 0) {
    left -= 1;
    const { response } = await client.threads.run({
      agent: AGENT,
      sandboxId: sandboxes[left % sandboxes.length].id,
      messages: [{ role: "user", parts: [{ type: "text", text: "Go on." }] }],
    });
    opened += 1;
    readers.push(read(response));
  }
}

const samples = [];
async function sample() {
  while (ended < streams) {
    await setTimeout(250);
    // From the second delta on.
    if (opened === streams && taken > streams && ended === 0) samples.push(usage().memory);
  }
}

const starters = Array.from({ length: STARTING }, starter);
await Promise.all([sample(), Promise.all(starters).then(() => Promise.all(readers))]);
if (samples.length === 0) throw new Error("the streams never flowed all at once");

const end = usage();
const flowing = samples.reduce((sum, memory) => sum + memory, 0) / samples.length;
latencies.sort();
const latency = (share) => (latencies[Math.round((latencies.length - 1) * share)] / 1000).toFixed(3);
console.log(
  start.memory,
  Math.round(flowing),
  end.peak,
  latency(0.5),
  latency(0.99),
  latency(1),
  (end.processor - start.processor).toFixed(2),
);
