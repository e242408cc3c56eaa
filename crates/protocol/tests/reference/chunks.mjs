// Puts the data of events through the AI SDK's own schema and prints what comes out, a line of JSON each:
//   {"data": text, "chunk": text of the chunk as JSON, or null where the AI SDK refuses the data}
//
//   npm install && node chunks.mjs > ../data/ui/chunks.jsonl
import { parseJsonEventStream, uiMessageChunkSchema } from 'ai';

const metadata = { provider: { key: ['value', null, { deep: 1.5 }] } };
const url = { type: 'source', sourceType: 'url', id: 's', url: 'https://example.com/' };
const document = { type: 'source', sourceType: 'document', id: 's', mediaType: 'text/plain', title: 'T' };

// Every type with all the members that it may have; the ones it must have stand first, up to `required`.
const types = {
  start: [0, { messageId: 'm', messageMetadata: { a: [1] } }],
  finish: [0, { finishReason: 'stop', messageMetadata: { a: 1 } }],
  abort: [0, { reason: 'why' }],
  'message-metadata': [0, { messageMetadata: { a: 1 } }],
  error: [1, { errorText: 'bad' }],
  'start-step': [0, {}],
  'finish-step': [0, {}],
  'reset-step': [0, {}],
  'text-start': [1, { id: 't', providerMetadata: metadata }],
  'text-delta': [2, { id: 't', delta: 'some "text"\n', providerMetadata: metadata }],
  'text-end': [1, { id: 't', citations: [{ source: url }], providerMetadata: metadata }],
  'reasoning-start': [1, { id: 'r', providerMetadata: metadata }],
  'reasoning-delta': [2, { id: 'r', delta: 'hm', providerMetadata: metadata }],
  'reasoning-end': [1, { id: 'r', providerMetadata: metadata }],
  'tool-input-start': [2, { toolCallId: 'c', toolName: 'Bash', inputEncoding: 'json', providerExecuted: true, providerMetadata: metadata, toolMetadata: { a: 1 }, dynamic: false, title: 'Run' }],
  'tool-input-delta': [2, { toolCallId: 'c', inputTextDelta: '{"a":' }],
  'tool-input-available': [2, { toolCallId: 'c', toolName: 'Bash', input: { a: 1 }, providerExecuted: true, providerMetadata: metadata, toolMetadata: {}, dynamic: true, title: 'Run' }],
  'tool-input-error': [3, { toolCallId: 'c', toolName: 'Bash', errorText: 'bad', input: 'x', providerExecuted: false, providerMetadata: metadata, toolMetadata: {}, dynamic: true, title: 'Run' }],
  'tool-output-available': [1, { toolCallId: 'c', output: [1], providerExecuted: true, providerMetadata: metadata, toolMetadata: {}, dynamic: true, preliminary: true }],
  'tool-output-error': [2, { toolCallId: 'c', errorText: 'bad', providerExecuted: true, providerMetadata: metadata, toolMetadata: {}, dynamic: true }],
  'tool-output-denied': [1, { toolCallId: 'c' }],
  'tool-approval-request': [2, { approvalId: 'a', toolCallId: 'c', approvalDescriptor: { a: 1 }, inputSchemaInput: [1], reason: 'why', isAutomatic: true, signature: 'sig' }],
  'tool-approval-response': [2, { approvalId: 'a', approved: true, reason: 'why', providerExecuted: true, providerMetadata: metadata }],
  'source-url': [2, { sourceId: 's', url: 'https://example.com/', title: 'T', providerMetadata: metadata }],
  'source-document': [3, { sourceId: 's', mediaType: 'text/plain', title: 'T', filename: 'f', providerMetadata: metadata }],
  file: [2, { url: 'data:,x', mediaType: 'text/plain', providerMetadata: metadata }],
  'reasoning-file': [2, { url: 'data:,x', mediaType: 'text/plain', providerMetadata: metadata }],
  custom: [1, { kind: 'provider.thing', providerMetadata: metadata }],
  'steering-message': [2, { id: 'm', parts: [{ type: 'text', text: 'stop' }] }],
  'data-weather': [0, { id: 'd', data: { a: 1 }, transient: true }],
};

const values = [null, true, 0, 'text', [], {}, { a: 1 }, { a: {} }, { a: {}, b: null }, { a: [] }];

const inputs = [];
const add = value => inputs.push(JSON.stringify(value));

for (const [type, [required, members]] of Object.entries(types)) {
  const entries = Object.entries(members);
  add({ type, ...members });
  add({ ...members, type });
  add({ type, ...members, 'x-unknown': { a: [1] }, 'x-null': null });
  add({ type, ...Object.fromEntries(entries.slice(0, required)) });
  for (const [name] of entries) {
    const { [name]: _, ...others } = members;
    add({ type, ...others });
    for (const value of values) add({ type, ...others, [name]: value });
  }
}

for (const finishReason of ['stop', 'length', 'content-filter', 'tool-calls', 'error', 'interrupted', 'other', 'unknown', 'Stop'])
  add({ type: 'finish', finishReason });
for (const inputEncoding of ['json', 'text', 'JSON'])
  add({ type: 'tool-input-start', toolCallId: 'c', toolName: 't', inputEncoding });

const citations = [
  [], [{}], [null], ['x'], [{ source: url }, { source: document }], [{ source: url }, {}], { 0: { source: url } },
  [{ source: { ...url, title: 'T', providerMetadata: metadata, 'x-unknown': 1 }, startIndex: 0, endIndex: 9, citedText: 'c', 'x-unknown': 1 }],
  [{ source: { ...document, filename: 'f', providerMetadata: metadata, url: 'x' } }],
  [{ source: { ...url, type: 'other' } }], [{ source: { ...url, sourceType: 'other' } }], [{ source: { ...url, url: 1 } }],
  [{ source: { ...url, id: null } }], [{ source: { ...url, title: null } }], [{ source: { ...url, providerMetadata: { a: 1 } } }],
  [{ source: { ...document, title: undefined } }], [{ source: { ...document, mediaType: undefined } }], [{ source: { ...document, filename: 1 } }],
  [{ source: url, citedText: null }], [{ source: url, startIndex: '0' }], [{ source: url, startIndex: null }],
  ...[-1, 0.5, 1e3, 9007199254740991, 9007199254740992, 1e300].flatMap(index => [[{ source: url, startIndex: index }], [{ source: url, endIndex: index }]]),
];
for (const value of citations) add({ type: 'text-end', id: 't', citations: value });
for (const index of ['1.0', '1e2', '15e-1', '-0', '1E+1', '10.50', '9007199254740993', '1e400'])
  inputs.push(`{"type":"text-end","id":"t","citations":[{"source":${JSON.stringify(url)},"startIndex":${index}}]}`);

// Numbers that are no double, or just one.
for (const number of ['1e308', '-1e400', '1e309', '1e-400', '"1e400"', '[{"b":1E+999}]', '1'.padEnd(309, '0'), '1'.padEnd(310, '0')]) {
  for (const [type, [, members]] of Object.entries(types)) {
    if (!['1e308', '-1e400'].includes(number) && type !== 'tool-input-start') continue;
    for (const name of ['providerMetadata', 'toolMetadata'].filter(name => name in members))
      inputs.push(JSON.stringify({ type, ...members, [name]: { a: { b: 0 } } }).replace('{"b":0}', `{"b":${number}}`));
  }
  const metadata = `{"p":{"n":${number}}}`;
  inputs.push(
    `{"type":"text-end","id":"t","citations":[{"source":{"type":"source","sourceType":"url","id":"s","url":"u","providerMetadata":${metadata}}}]}`,
    `{"type":"steering-message","id":"m","parts":[{"type":"text","text":"a","providerMetadata":${metadata}}]}`,
  );
}

const parts = [
  [], [{}], [null], [{ type: 'text' }], [{ type: 'text', text: 1 }], [{ type: 'text', text: 'a', providerMetadata: metadata, 'x-unknown': 1 }],
  [{ type: 'text', text: 'a', providerMetadata: null }], [{ type: 'text', text: 'a', providerMetadata: { a: 1 } }],
  [{ type: 'file', mediaType: 'm', url: 'u' }], [{ type: 'file', mediaType: 'm' }], [{ type: 'file', url: 'u' }],
  [{ type: 'file', mediaType: 'm', url: 'u', filename: 'f', providerReference: { a: 'b' }, providerMetadata: metadata, 'x-unknown': [] }],
  [{ type: 'file', mediaType: 'm', url: 'u', filename: 1 }], [{ type: 'file', mediaType: 'm', url: 'u', providerReference: { a: 1 } }],
  [{ type: 'file', mediaType: 'm', url: 'u', providerReference: [] }], [{ type: 'reasoning', text: 'a' }],
  [{ type: 'text', text: 'a' }, { type: 'file', mediaType: 'm', url: 'u' }], [{ type: 'text', text: 'a' }, { type: 'x' }], { 0: { type: 'text', text: 'a' } },
];
for (const value of parts) add({ type: 'steering-message', id: 'm', parts: value });

for (const type of ['data-', 'data-a b', 'data-é', 'data', 'Data-x', 'DATA-x', 'dataset', '', ' text-delta', 'text-delta ', 'TEXT-DELTA', 'tool-new', '[DONE]', 'constructor', '__proto__', 'toString'])
  add({ type, id: 't', delta: 'd', data: 1 });
add({ type: 'data-x', id: 'i', data: null, transient: false, 'x-unknown': { a: 1 }, delta: 2, 'x-more': [] });
for (const type of [null, 1, true, ['text-delta'], { type: 'start' }]) add({ type, id: 't', delta: 'd' });
for (const value of [null, 1, true, 'start', [], [{ type: 'start' }], {}, { id: 't' }]) add(value);

const delta = (text, id = '"t"') => `{"type":"text-delta","id":${id},"delta":${text}}`;
inputs.push(
  // Layout.
  ' {"type":"start"}', '{"type":"start"}\n', '\t{ "type" : "start" , "messageId" : "m" }\r\n', '{"type":"start",}', '{"type":"start"', '{"type":"start"}}', '{"type":"start"}{}', '',
  '\ufeff{"type":"start"}', '\u00a0{"type":"start"}', '{"type":"start"}\u0000', "{'type':'start'}", '{type:"start"}', '{"type":"start" "messageId":"m"}', 'data: {"type":"start"}', '[DONE] ', ' [DONE]', 'null ', 'nul', '{"type":"start","x-a":01}', '{"type":"start","x-a":1.}', '{"type":"start","x-a":.1}', '{"type":"start","x-a":+1}', '{"type":"start","x-a":NaN}', '{"type":"start","x-a":1e5,"x-b":-0.0e-7}', '{"type":"start",// x\n"a":1}',
  // Strings.
  delta('"\\u0041\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\"\\\\"'), delta('"\\ud83d"'), delta('"\\ude00x"'), delta('"a\\uD83D\\ud83d\\ude00"'), delta('"\\ud83d\\n"'), delta('"é😀\u2028\u007f"'), delta('"\\x41"'), delta('"\\u12"'), delta('"\\u12g4"'), delta('"a\nb"'), delta('"a\tb"'), delta('"a'), delta('""'), delta('"x"', '"\\ud800"'), delta('"x"', '"\\u0074"'), delta('"\\u{41}"'), delta('"x\\"'), delta('"\\'), delta('"\u0000"'), delta('"\\u0000"'),
  // Names: twice (the last one counts), with escapes.
  '{"type":"start","type":"finish"}', '{"type":1,"type":"finish"}', '{"type":"finish","type":1}', '{"type":"text-delta","id":"a","id":"b","delta":"c"}', '{"type":"text-delta","id":1,"id":"b","delta":"c","delta":"d"}', '{"type":"text-delta","id":"b","delta":"c","delta":null}', '{"\\u0074ype":"text-delta","i\\u0064":"b","delt\\u0061":"c"}', '{"type":"text\\u002ddelta","id":"b","delta":"c"}', '{"type":"data\\u002dx","data":1}', '{"type":"data-x","x-a":1,"x-a":2,"data":1,"data":2}', '{"type":"data-\\ud83d","data":1}', '{"type":"data-x","\\ud83d":1}', '{"type":"\\ud83d","a":1}', '{"":1,"type":"data-x"}',
  // Names that JavaScript gives a meaning.
  '{"type":"start","__proto__":1}', '{"type":"start","__proto__":{"a":1}}', '{"type":"data-x","data":{"a":[{"__proto__":null}]}}', '{"type":"data-x","data":{"\\u005f_proto\\u005F_":null}}', '{"type":"data-x","data":["__proto__"]}', '{"type":"data-x","data":"\\"__proto__\\":1"}', '{"type":"start","constructor":{"prototype":1}}', '{"type":"start","constructor":{"x":1}}', '{"type":"start","constructor":"prototype"}', '{"type":"start","constructor":[{"prototype":1}]}', '{"type":"start","constructor":{"x":{"prototype":1}}}', '{"type":"start","prototype":{"constructor":1}}', '{"type":"data-x","data":{"constructor":{"prototype":{}}}}', '{"type":"data-x","data":{"c\\u006fnstructor" :\n{"a":0,"prot\\u006ftype":{}}}}', '{"type":"data-x","data":{"constructor":null}}', '{"type":"nothing","__proto__":1}', '[{"__proto__":1}]', '{"__proto__":1',
  `{"type":"data-x","data":${'['.repeat(300)}${']'.repeat(300)}}`, `{"type":"start","messageMetadata":${'{"a":'.repeat(300)}1${'}'.repeat(300)}}`,
);

async function parse(data) {
  const event = data.split('\n').map(line => `data: ${line}\n`).join('') + '\n';
  const stream = new Response(event).body;
  for await (const parsed of parseJsonEventStream({ stream, schema: uiMessageChunkSchema })) return parsed;
}

// The members whose values can be undefined on a server in JavaScript. `JSON.stringify` drops them then, which zod from 4.6
// on refuses, while earlier versions do not. We accept it: the vector is made by putting the member in and out again.
const droppable = { 'tool-input-available': 'input', 'tool-input-error': 'input', 'tool-output-available': 'output', 'message-metadata': 'messageMetadata' };

async function parseAcceptingDropped(data) {
  const outcome = await parse(data);
  if (outcome === undefined || outcome.success) return outcome;
  let value;
  try {
    value = JSON.parse(data);
  } catch {
    return outcome;
  }
  const type = value?.type;
  const member = typeof type === 'string' && (type.startsWith('data-') ? 'data' : Object.hasOwn(droppable, type) && droppable[type]);
  if (!member || Object.hasOwn(value, member)) return outcome;
  const mended = await parse(data.replace(/\}\s*$/, `,"${member}":null}`));
  if (mended.success) delete mended.value[member];
  return mended;
}

// An event stream cannot tell line ends apart.
for (const data of new Set(inputs.map(input => input.replace(/\r\n?/g, '\n')))) {
  const outcome = await parseAcceptingDropped(data);
  if (outcome !== undefined) console.log(JSON.stringify({ data, chunk: outcome.success ? JSON.stringify(outcome.value) : null }));
}
