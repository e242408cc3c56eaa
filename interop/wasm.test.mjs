// The decoder and the assembler of `twentyfirst-protocol` as WebAssembly, over the committed vectors and against `ai`, with the speed of both.
// Skipped where Rust has no standard library for wasm32-unknown-unknown. WASM names a module that was built elsewhere.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema } from 'ai';

const here = new URL('.', import.meta.url);
const data = new URL('../crates/protocol/tests/data/ui/', here);
const lines = name => readFileSync(new URL(name, data), 'utf8').trim().split('\n').map(line => JSON.parse(line));

function build() {
  if (process.env.WASM) return process.env.WASM;
  const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { encoding: 'utf8' }).trim();
  if (!existsSync(`${sysroot}/lib/rustlib/wasm32-unknown-unknown`)) return undefined;
  const target = new URL('../target/wasm', here).pathname;
  const manifest = new URL('wasm/Cargo.toml', here).pathname;
  const args = ['build', '--quiet', '--release', '--locked', '--target', 'wasm32-unknown-unknown'];
  execFileSync('cargo', [...args, '--manifest-path', manifest, '--target-dir', target], { stdio: 'inherit' });
  return `${target}/wasm32-unknown-unknown/release/twentyfirst_wasm.wasm`;
}

const path = build();
const skip = path ? false : 'there is no standard library for wasm32-unknown-unknown: rustup target add wasm32-unknown-unknown';

function instance() {
  // Nothing is imported: no clock, no randomness, no host.
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)), {});
  return (sse, piece = 1 << 16) => {
    const bytes = new TextEncoder().encode(sse);
    const pointer = exports.allocate(bytes.length);
    new Uint8Array(exports.memory.buffer).set(bytes, pointer);
    const at = exports.read(pointer, bytes.length, piece);
    const length = new DataView(exports.memory.buffer).getUint32(at, true);
    return JSON.parse(new TextDecoder().decode(new Uint8Array(exports.memory.buffer, at + 4, length)));
  };
}

async function readWithAi(sse) {
  const stream = parseJsonEventStream({ stream: new Blob([sse]).stream(), schema: uiMessageChunkSchema }).pipeThrough(
    new TransformStream({
      transform(result, controller) {
        if (!result.success) throw result.error;
        controller.enqueue(result.value);
      },
    }),
  );
  let message;
  for await (message of readUIMessageStream({ stream }));
  return message;
}

test('every committed vector gives the message of the AI SDK, however it is cut', { skip }, () => {
  const read = instance();
  let compared = 0;
  for (const { name, sse, message, errors, end } of lines('relay_streams.jsonl')) {
    for (const piece of [1, 7, 1 << 16]) {
      const ours = read(sse, piece);
      assert.deepEqual(ours.message ?? undefined, message, name);
      assert.deepEqual(ours.errors, errors, name);
      assert.equal(ours.end, end, name);
    }
    compared += 1;
  }
  for (const { name, sse, initial, expect } of lines('vectors_assemble.jsonl')) {
    if (initial) continue;
    assert.deepEqual(read(sse, 5).message ?? undefined, expect.message ?? undefined, name);
    compared += 1;
  }
  assert.ok(compared > 100, `${compared} vectors`);
});

test('a long answer gives the message that `ai` makes of it now, and both are timed', { skip }, async t => {
  const events = [{ type: 'start', messageId: 'm' }, { type: 'text-start', id: 't' }];
  for (let at = 0; at < 20_000; at += 1) events.push({ type: 'text-delta', id: 't', delta: `word ${at} ` });
  events.push({ type: 'text-end', id: 't' }, { type: 'finish' });
  const sse = events.map(event => `data: ${JSON.stringify(event)}\n\n`).join('') + 'data: [DONE]\n\n';

  const read = instance();
  const timed = async f => {
    const times = [];
    let result;
    for (let run = 0; run < 3; run += 1) {
      const begin = performance.now();
      result = await f();
      times.push(performance.now() - begin);
    }
    return [result, Math.min(...times)];
  };
  const [ours, oursTook] = await timed(() => read(sse));
  const [theirs, theirsTook] = await timed(() => readWithAi(sse));
  // Members that are undefined are none in JSON.
  assert.deepEqual(ours.message, JSON.parse(JSON.stringify(theirs)));
  const mib = sse.length / 2 ** 20;
  t.diagnostic(`${mib.toFixed(1)} MiB in ${events.length} chunks: wasm ${oursTook.toFixed(1)} ms, ai, which copies the message at each, ${theirsTook.toFixed(1)} ms`);
  t.diagnostic(`${(readFileSync(path).length / 1024).toFixed(0)} KiB of wasm`);
});
