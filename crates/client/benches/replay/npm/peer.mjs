// The same as the bench measures, through npm `resumable-stream`, over the Redis of REDIS_URL:
//   node peer.mjs STREAMS MILLISECONDS DELTAS ROUNDS CHUNKS REPLAYS
// An instance is a process. This one writes the answers; others read them, or write some and are killed.

import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createResumableStreamContext } from "resumable-stream/redis";

/** How long a reader waits for an end that does not come. */
const PATIENCE = 15_000;

const logs = createResumableStreamContext({ waitUntil: () => {} });

/** Milliseconds by a clock that all processes have in common. */
const now = () => Number(process.hrtime.bigint()) / 1e6;
const event = (delta) => `data: {"type":"text-delta","id":"t","delta":"${delta}"}\n\n`;

/** An answer whose deltas say when each was made. */
function ticking(first, pace, deltas) {
  return new ReadableStream({
    async start(stream) {
      for (let number = 0; number < deltas; number++) {
        await sleep(Math.max(0, first + number * pace - now()));
        stream.enqueue(event(`${number} ${now()} `));
      }
      stream.close();
    },
  });
}

/** Reads an answer to its end, and gives how late each of its deltas came. */
async function latencies(stream, deltas) {
  const all = [];
  let text = "";
  for await (const piece of stream) {
    const at = now();
    text += piece;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const [number, made] = JSON.parse(event.slice("data: ".length)).delta.split(" ");
      if (Number(number) !== all.length) throw new Error(`${number} comes for ${all.length}`);
      all.push(at - Number(made));
    }
  }
  if (all.length !== deltas) throw new Error(`an answer ended after ${all.length} deltas`);
  return all;
}

/** Reads so many characters, and gives how long that took. */
async function replay(id, characters) {
  const start = now();
  const stream = await logs.resumeExistingStream(id);
  for await (const piece of stream) {
    characters -= piece.length;
    if (characters <= 0) return now() - start;
  }
  throw new Error("the replay is too short");
}

/** Says how an answer fares whose writer dies: for who reads it, and for who comes later. */
async function orphaned(id) {
  const told = (stream) => {
    const end = (async () => {
      for await (const _ of stream);
      return "it ends";
    })();
    const patience = sleep(PATIENCE, `nothing more, and no end, in ${PATIENCE / 1000} s`);
    return Promise.race([end.catch((error) => `"${error.message}"`), patience]);
  };
  const reading = await logs.resumeExistingStream(id);
  process.send("reading");
  await once(process, "message");
  const later = logs.resumeExistingStream(id).then(
    (stream) => (stream ? told(stream) : "nothing"),
    (error) => `"${error.message}"`,
  );
  return [await told(reading), await later];
}

/** What other instances do. */
const tasks = {
  async read({ ids, deltas }) {
    const streams = await Promise.all(ids.map((id) => logs.resumeExistingStream(id)));
    process.send("reading");
    return (await Promise.all(streams.map((stream) => latencies(stream, deltas)))).flat();
  },
  replay: ({ id, characters }) => replay(id, characters),
  orphaned: ({ id }) => orphaned(id),
  async write({ id }) {
    const stream = await logs.createNewResumableStream(id, () => ticking(now(), 40, 1e6));
    process.send("writing");
    for await (const _ of stream);
  },
  resume: async ({ id }) => ((await logs.resumeExistingStream(id)) ? "a stream" : "nothing"),
};

class Instance {
  constructor() {
    this.process = fork(fileURLToPath(import.meta.url), ["instance"], { serialization: "advanced" });
    this.process.on("exit", (code) => code && process.exit(code));
  }
  async next() {
    return (await once(this.process, "message"))[0];
  }
  /** Sends a task, and gives what is said first. */
  does(name, task = {}) {
    this.process.send({ name, task });
    return this.next();
  }
  kill() {
    this.process.kill("SIGKILL");
  }
}

const at = (sorted, share) => sorted[Math.round((sorted.length - 1) * share)];

async function measureLatency(other, streams, pace, deltas, rounds) {
  console.log(
    `\nLatency of a delta, ms: ${streams} streams, a delta every ${pace} ms in each, ${deltas} deltas, ${rounds} rounds`,
  );
  console.log(`${"".padEnd(18)}  median     99%    most   added`);
  let passing = 0;
  for (const way of ["node, passing", "node, sender", "node, elsewhere"]) {
    const all = [];
    for (let round = 0; round < rounds; round++) {
      const since = now() + 500 + 2 * streams;
      const ids = Array.from({ length: streams }, (_, it) => `${way}-${streams}-${round}-${it}`);
      const make = (_, number) => () => ticking(since + (pace * number) / streams, pace, deltas);
      const makes = ids.map(make);
      if (way === "node, passing") {
        all.push(...(await Promise.all(makes.map((make) => latencies(make(), deltas)))).flat());
        continue;
      }
      const senders = await Promise.all(ids.map((id, it) => logs.createNewResumableStream(id, makes[it])));
      if (way === "node, sender") {
        all.push(...(await Promise.all(senders.map((stream) => latencies(stream, deltas)))).flat());
        continue;
      }
      await other.does("read", { ids, deltas });
      // Nobody reads here: the library writes on.
      all.push(...(await other.next()));
    }
    all.sort((a, b) => a - b);
    const [median, most] = [at(all, 0.5), at(all, 0.99)];
    const added = way === "node, passing" ? ((passing = median), "") : (median - passing).toFixed(3).padStart(8);
    console.log(
      `${way.padEnd(18)} ${median.toFixed(3).padStart(7)} ${most.toFixed(2).padStart(7)} ${at(all, 1).toFixed(2).padStart(7)}${added}`,
    );
  }
}

async function measureReplay(other, chunks, rounds) {
  const text = Array.from({ length: chunks }, (_, it) => event(`${String(it).padStart(5, "0")} and so on `));
  let end;
  const answer = new ReadableStream({
    start(stream) {
      for (const event of text) stream.enqueue(event);
      end = () => stream.close();
    },
  });
  const sender = await logs.createNewResumableStream("replay", () => answer);
  const read = (async () => {
    for await (const _ of sender);
  })();
  await sleep(1000);
  const characters = text.join("").length;
  const times = [];
  for (let round = 0; round < rounds; round++) {
    times.push(await other.does("replay", { id: "replay", characters }));
  }
  times.sort((a, b) => a - b);
  console.log(`\nReplay of an answer of ${chunks} deltas that is not over, ms, ${rounds} rounds`);
  console.log(`${"node".padEnd(28)} ${at(times, 0.5).toFixed(2).padStart(7)} ${at(times, 1).toFixed(2).padStart(7)}`);
  end();
  await read;
  await sleep(200);
  console.log("\nWhat is lost");
  console.log(`node: who joins when the answer is over gets ${await other.does("resume", { id: "replay" })}`);
}

async function measureLoss(other) {
  const writer = new Instance();
  await writer.does("write", { id: "orphan" });
  await other.does("orphaned", { id: "orphan" });
  await sleep(500);
  writer.kill();
  other.process.send("killed");
  const [reading, later] = await other.next();
  console.log(`node: the writer is killed; who reads gets: ${reading}`);
  console.log(`node: the writer is killed; who joins then gets: ${later}`);
}

if (process.argv[2] === "instance") {
  process.on("message", async ({ name, task }) => {
    if (name) process.send((await tasks[name](task)) ?? "done");
  });
} else {
  const [streams, pace, deltas, rounds, chunks, replays] = process.argv.slice(2).map(Number);
  const other = new Instance();
  for (const count of [1, streams]) await measureLatency(other, count, pace, deltas, rounds);
  await measureReplay(other, chunks, replays);
  await measureLoss(other);
  other.kill();
  process.exit(0);
}
