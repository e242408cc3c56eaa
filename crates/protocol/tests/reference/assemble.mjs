// Puts sequences of chunks through the AI SDK's readUIMessageStream and prints what came out. The first line names the chunks:
//   {"chunks": {name: chunk, …}, "messages": {name: message, …}}
// Every other line is a sequence: the message that is continued, if any; names of chunks, or chunks; the last message that came out,
// if any; and the error that ended it, if any:
//   {"initial"?, "chunks": [name or chunk, …], "message"?, "fatal"?: [name, and the text of a UIMessageStreamError]}
// A message that came out before is the number of the sequence that it came out of.
//
//   npm install && node assemble.mjs > ../data/ui/assemble.jsonl
import { random } from './random.mjs';
import { read } from './read.mjs';

const metadata = name => ({ p: { [name]: 1 } });

const tools = {
  start: { type: 'tool-input-start', toolCallId: 'c', toolName: 'run' },
  'start-full': { type: 'tool-input-start', toolCallId: 'c', toolName: 'go', inputEncoding: 'json', providerExecuted: true, providerMetadata: metadata('start'), toolMetadata: { icon: 'a' }, title: 'Go' },
  'start-dynamic': { type: 'tool-input-start', toolCallId: 'c', toolName: 'dyn', dynamic: true, title: 'Dyn' },
  'start-text': { type: 'tool-input-start', toolCallId: 'c', toolName: 'say', inputEncoding: 'text' },
  open: { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{"a": "x' },
  close: { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: 'y"}' },
  'half-1': { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '["\ud83d' },
  'half-2': { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '\ude00"' },
  available: { type: 'tool-input-available', toolCallId: 'c', toolName: 'run', input: { a: 'z' } },
  'available-full': { type: 'tool-input-available', toolCallId: 'c', toolName: 'ran', input: null, providerExecuted: false, providerMetadata: metadata('available'), toolMetadata: { icon: 'b' }, title: 'Ran' },
  'available-dynamic': { type: 'tool-input-available', toolCallId: 'c', toolName: 'dyn', input: [1], dynamic: true },
  'available-bare': { type: 'tool-input-available', toolCallId: 'c', toolName: 'run' },
  'input-error': { type: 'tool-input-error', toolCallId: 'c', toolName: 'run', input: 'bad', errorText: 'no good', title: 'Error' },
  'input-error-dynamic': { type: 'tool-input-error', toolCallId: 'c', toolName: 'dyn', input: 1, errorText: 'no good', dynamic: true, providerExecuted: true, providerMetadata: metadata('error'), toolMetadata: { icon: 'c' } },
  output: { type: 'tool-output-available', toolCallId: 'c', output: { ok: true } },
  'output-full': { type: 'tool-output-available', toolCallId: 'c', output: null, preliminary: true, providerExecuted: true, providerMetadata: metadata('output'), toolMetadata: { icon: 'd' }, dynamic: true },
  'output-bare': { type: 'tool-output-available', toolCallId: 'c', preliminary: false },
  'output-error': { type: 'tool-output-error', toolCallId: 'c', errorText: 'failed' },
  'output-error-full': { type: 'tool-output-error', toolCallId: 'c', errorText: 'failed', providerExecuted: false, providerMetadata: metadata('failed'), toolMetadata: { icon: 'e' } },
  denied: { type: 'tool-output-denied', toolCallId: 'c' },
  request: { type: 'tool-approval-request', approvalId: 'a', toolCallId: 'c' },
  'request-full': { type: 'tool-approval-request', approvalId: 'b', toolCallId: 'c', approvalDescriptor: { d: 1 }, inputSchemaInput: null, reason: 'why', isAutomatic: true, signature: 's' },
  'request-off': { type: 'tool-approval-request', approvalId: 'a', toolCallId: 'c', approvalDescriptor: null, isAutomatic: false },
  response: { type: 'tool-approval-response', approvalId: 'a', approved: true },
  'response-full': { type: 'tool-approval-response', approvalId: 'b', approved: false, reason: 'no', providerExecuted: true, providerMetadata: metadata('response') },
};

const steps = {
  step: { type: 'start-step' },
  'step-end': { type: 'finish-step' },
  reset: { type: 'reset-step' },
};

const texts = {
  text: { type: 'text-start', id: 't' },
  'text-full': { type: 'text-start', id: 't', providerMetadata: metadata('start') },
  'text-delta': { type: 'text-delta', id: 't', delta: 'ab ' },
  'text-delta-full': { type: 'text-delta', id: 't', delta: 'é', providerMetadata: metadata('delta') },
  'text-half-1': { type: 'text-delta', id: 't', delta: 'x\ud83d' },
  'text-half-2': { type: 'text-delta', id: 't', delta: '\ude00y' },
  'text-empty': { type: 'text-delta', id: 't', delta: '' },
  'text-end': { type: 'text-end', id: 't' },
  'text-end-full': { type: 'text-end', id: 't', citations: [{ source: { type: 'source', sourceType: 'url', id: 's', url: 'u', unknown: 1 }, endIndex: 2 }], providerMetadata: metadata('end') },
};

const reasonings = Object.fromEntries(
  Object.entries(texts).map(([name, { citations, ...chunk }]) => [name.replace('text', 'reasoning'), { ...chunk, type: chunk.type.replace('text', 'reasoning') }]),
);

const datas = {
  data: { type: 'data-x', id: 'd', data: 1, more: [1] },
  'data-again': { type: 'data-x', id: 'd', data: { two: 2 }, more: [2] },
  'data-bare': { type: 'data-x', id: 'd' },
  'data-no-id': { type: 'data-x', data: 3, transient: false },
  'data-other': { type: 'data-y', id: 'd', data: null },
  'data-transient': { type: 'data-x', id: 'd', data: 4, transient: true },
};

const wholes = {
  'source-url': { type: 'source-url', sourceId: 's', url: 'u', title: 'T', providerMetadata: metadata('source') },
  'source-document': { type: 'source-document', sourceId: 's', mediaType: 'text/plain', title: 'T', filename: 'f' },
  file: { type: 'file', url: 'data:,x', mediaType: 'text/plain', providerMetadata: metadata('file') },
  'reasoning-file': { type: 'reasoning-file', url: 'data:,x', mediaType: 'text/plain' },
  custom: { type: 'custom', kind: 'p.thing', providerMetadata: metadata('custom') },
  steering: { type: 'steering-message', id: 'u', parts: [{ type: 'text', text: 'stop', more: 1 }, { type: 'file', url: 'u', mediaType: 'image/png' }] },
};

const messages = {
  begin: { type: 'start' },
  'begin-1': { type: 'start', messageId: 'm1' },
  'begin-2': { type: 'start', messageId: 'm2', messageMetadata: { b: { d: 1 } } },
  'metadata-1': { type: 'message-metadata', messageMetadata: { a: 1, b: { c: [1, 2], d: { e: 1 } }, constructor: 1 } },
  'metadata-2': { type: 'message-metadata', messageMetadata: { a: null, b: { c: [3], d: { f: 2 } }, prototype: 2, constructor: { x: 1 } } },
  'metadata-none': { type: 'message-metadata', messageMetadata: null },
  'metadata-absent': { type: 'message-metadata' },
  'metadata-string': { type: 'message-metadata', messageMetadata: 'a😀' },
  'metadata-array': { type: 'message-metadata', messageMetadata: [1, { a: 2 }] },
  'metadata-number': { type: 'message-metadata', messageMetadata: 5 },
  'metadata-empty': { type: 'message-metadata', messageMetadata: {} },
  'metadata-skipped': { type: 'message-metadata', messageMetadata: { constructor: 1 } },
  end: { type: 'finish', finishReason: 'stop', messageMetadata: { a: { z: 1 } } },
  'end-bare': { type: 'finish' },
  abort: { type: 'abort', reason: 'enough' },
  error: { type: 'error', errorText: 'went wrong' },
};

const chunks = { ...tools, ...steps, ...texts, ...reasonings, ...datas, ...wholes, ...messages };

const initials = {
  empty: { id: 'm1', role: 'assistant', parts: [] },
  user: { id: 'u1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] },
  // A call that was being written when the connection broke, with members that nobody knows.
  streaming: {
    id: 'm1', role: 'assistant', metadata: { a: { b: 1 } }, createdAt: 'today',
    parts: [
      { type: 'step-start' },
      { type: 'tool-old', toolCallId: 'c', state: 'input-streaming', rawInput: '{"old": 1', input: { old: 1 } },
      { type: 'step-start' },
      { type: 'text', text: 'un', state: 'streaming' },
      { type: 'data-x', id: 'd', data: 0, more: true },
      { type: 'tool-run', toolCallId: 'c', state: 'input-streaming', rawInput: '{"b": "', input: { b: '' }, title: 'Was', toolMetadata: { icon: 'z' }, x: 1 },
    ],
  },
  dynamic: {
    id: 'm2', role: 'assistant', metadata: null,
    parts: [{ type: 'dynamic-tool', toolName: 'dyn', dynamic: false, toolCallId: 'c', state: 'input-streaming', inputEncoding: 'text', providerExecuted: null, approval: { id: 'a', approved: true, x: 1 } }],
  },
  called: {
    id: 'm1', role: 'assistant', metadata: 'none',
    parts: [
      { type: 'tool-run', toolCallId: 'c', state: 'approval-requested', input: { a: 1 }, approval: { id: 'a' }, rawInput: 7, output: 'old', preliminary: null },
      { type: 'tool-run', toolCallId: 'other', state: 'approval-requested', input: {}, approval: { id: 'a' } },
      { type: 'hologram', id: 'd' },
    ],
  },
};

const sequences = [];
const add = (names, initial) => sequences.push({ ...(initial && { initial }), chunks: names });

const names = Object.keys(chunks);
const sets = [tools, texts, reasonings, datas, messages];

// Every chunk alone, and after every message.
for (const name of names) {
  add([name]);
  for (const initial of ['streaming', 'dynamic', 'called']) add([name], initial);
}
for (const initial of Object.keys(initials)) {
  add([], initial);
  for (const name of ['text', 'begin', 'begin-1', 'begin-2', 'open', 'reset']) add([name], initial);
}

// Every pair of chunks on one part, once it is there.
const before = new Map([[tools, ['start', 'open']], [texts, ['text']], [reasonings, ['reasoning']], [datas, []], [messages, []]]);
for (const set of sets) {
  const own = [...Object.keys(set), ...(set === messages ? ['text'] : Object.keys(steps))];
  for (const first of own) {
    for (const second of own) {
      add([...before.get(set), first, second]);
      if (set === tools && first.startsWith('start') && first !== 'start') add([first, 'open', second]);
    }
  }
}

// Seeded random sequences, mostly about one part.
const { below, pick } = random(20251122);
for (let made = 0; made < 260; made++) {
  const sequence = [];
  const set = pick([tools, tools, tools, texts, reasonings, datas, messages, chunks]);
  const own = Object.keys(set);
  if (below(3) > 0) sequence.push(...(before.get(set) ?? []));
  for (let length = 4 + below(10); length > 0; length--) {
    sequence.push(below(4) > 0 ? pick(own) : pick([...Object.keys(steps), 'begin-1', 'text', 'text-delta', 'start', 'open']));
  }
  add(sequence, below(4) > 0 ? undefined : pick(Object.keys(initials)));
}

// Ids that are not well-formed, and ids that JavaScript knows.
for (const id of ['\ud83d', '__proto__', 'constructor', 'toString', '']) {
  add([
    { type: 'text-start', id }, { type: 'text-delta', id, delta: 'a' },
    { type: 'tool-input-start', toolCallId: id, toolName: id }, { type: 'tool-input-delta', toolCallId: id, inputTextDelta: '1' },
    { type: 'tool-approval-request', approvalId: id, toolCallId: id }, { type: 'tool-approval-response', approvalId: id, approved: true },
    { type: `data-${id}`, id, data: 1 }, { type: `data-${id}`, id, data: 2 },
  ]);
}

// A tool input, cut at every place, also within characters.
const input = '{"s":"é😀\\"\\ud83d\\ude00","n":[-1.5e+3,tru]}';
for (let at = 1; at < input.length; at++) {
  add(['start', { ...tools.open, inputTextDelta: input.slice(0, at) }]);
  add(['start', { ...tools.open, inputTextDelta: input.slice(0, at) }, { ...tools.open, inputTextDelta: input.slice(at) }]);
}

console.log(JSON.stringify({ chunks, messages: initials }));
const seen = new Map();
for (const [index, sequence] of sequences.entries()) {
  const events = sequence.chunks.map(chunk => `data: ${JSON.stringify(typeof chunk === 'string' ? chunks[chunk] : chunk)}\n\n`);
  const { message, fatal } = await read(events.join(''), initials[sequence.initial]);
  const same = message && seen.get(JSON.stringify(message));
  if (message && same === undefined) seen.set(JSON.stringify(message), index);
  console.log(JSON.stringify({ ...sequence, message: same ?? message, fatal }));
}
