// Puts every prefix of JSON documents, and of texts that are nearly JSON, through the AI SDK's parsePartialJson and prints what comes
// out, a line of JSON for each text:
//   {"text", "values": [[length, state, value as JSON], …]}
// `length` counts characters. An entry stands only where something differs from the prefix before; there is no value if it is undefined.
//
//   npm install && node partial_json.mjs > ../data/ui/partial_json.jsonl
import { parsePartialJson } from 'ai';
import { random } from './random.mjs';

const texts = [
  '{"command": "ls -la", "timeout": 30, "env": {"A": "1"}, "args": ["x", true, null, -1.5e3]}',
  '{"a": "é😀\\n\\"q\\" \\u00e9 \\ud83d\\ude00 \\\\"}',
  '[1e+5, 2E-3, 0.5, -0, 10, 1.25e10]',
  '{"n": 1e+5, "m": -2, "o": 12345678901234567890}',
  '  \t\n{ "a" : [ ] , "b" : { } }  \n',
  '{"a\\"b": 1, "c": 2}',
  '{"a\\":b": 1, "c": [1]}',
  '{"\\u0061": {"b\\\\": [true, false, null]}}',
  '{"a": tru, "b": 1}',
  '[truex, 1]',
  '[1 2, 3]',
  '[1, , 2]',
  '[1,]',
  '{"a": 1,}',
  '{"a": 1 "b": 2}',
  '{"a" 1}',
  '{a: 1}',
  "{'a': 1}",
  '{"a": 01, "b": 2}',
  '[1.e5]',
  '[1.5.2]',
  '[--1]',
  '[+1]',
  '[.5]',
  '"abc" xyz',
  '{} {"a":1}',
  'null null',
  'truefalse',
  'nul l',
  '12 34',
  '1e+5',
  '-',
  '-x',
  '01',
  'xyz{"a":1}',
  '\ufeff{"a":1}',
  '{"a":\u00a01}',
  '{"a":"\t"}',
  '{"a":"\\x41"}',
  '{"a":"\\u12g4"}',
  '{"a":"\\u00"}',
  '[}',
  '{]',
  '[1}',
  '{"a":1]',
  '[[1],[2}]',
  '{"__proto__": 1, "a": 2}',
  '{"a": {"__proto__": {"b": 1}}, "c": 1}',
  '{"\\u005f_proto__": 1}',
  '{"constructor": {"prototype": {"a": 1}}}',
  '{"constructor": {"name": 1}, "prototype": 2}',
  '{"constructor": [{"prototype": 1}]}',
  '{"constructor": "prototype"}',
  '{"a": "__proto__", "b": ["constructor", "prototype"]}',
  '{"a": 1, "a": {"b": 2}, "a": [3]}',
  '[[[[[[{"a":[[{"b":[]}]]}]]]]]]',
  '"\\ud83d\\ude00\\ud83d"',
  '',
  ' ',
  'undefined',
  'NaN',
  '{"a": Infinity}',
  '// comment\n{"a":1}',
  '{"a":1}}',
  '[1]]',
  '{"a":[1,{"b":"c',
];

const { below, pick } = random(20251121);

const pieces = ['{', '}', '[', ']', ',', ':', '"', '\\', '-', '+', '.', 'e', '0', '1', 't', 'n', ' ', '\\u0', 'é', '😀', '"a":', 'true'];

function document(depth) {
  const space = () => pick(['', '', '', ' ', '\n']);
  switch (below(depth > 3 ? 5 : 8)) {
    case 0:
      return pick(['0', '-1', '12.5', '3e2', '1E-4', '-0.5e+3', '100']);
    case 1:
      return pick(['true', 'false', 'null']);
    case 2:
    case 3:
    case 4:
      return `"${pick(['', 'a', 'b c', '\\n', '\\"', '\\\\', '\\u00e9', 'ü', '😀', '}', ',', ':'])}${pick(['', 'z', '1'])}"`;
    case 5:
      return `[${space()}${Array.from({ length: below(4) }, () => document(depth + 1)).join(`${space()},${space()}`)}${space()}]`;
    default: {
      const members = Array.from(
        { length: below(4) },
        () => `"${pick(['a', 'b', 'c', 'a', 'k\\"', '\\u0061', 'constructor', '__proto__', 'prototype'])}"${space()}:${space()}${document(depth + 1)}`,
      );
      return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
    }
  }
}

for (let made = 0; made < 160; ) {
  const text = document(0);
  if (text.length < 8 || text.length > 70) continue;
  made += 1;
  texts.push(text);
  const characters = Array.from(text);
  for (let edits = 1 + below(2); edits > 0; edits--) {
    characters.splice(below(characters.length + 1), below(2), pick(pieces));
  }
  texts.push(characters.join(''));
}

for (const text of texts) {
  const values = [];
  let last;
  const characters = Array.from(text);
  for (let length = 0; length <= characters.length; length++) {
    const { state, value } = await parsePartialJson(characters.slice(0, length).join(''));
    const result = value === undefined ? [state] : [state, JSON.stringify(value)];
    if (JSON.stringify(result) !== last) values.push([length, ...result]);
    last = JSON.stringify(result);
  }
  console.log(JSON.stringify({ text, values }));
}
