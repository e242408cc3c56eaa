// Puts recorded streams through the AI SDK's readUIMessageStream and prints them with what came out, a line of JSON each:
//   {"name", "sse", "message"?, "errors": [text of an error chunk, …], "fatal"?: [name, and the text of a UIMessageStreamError]}
// `<x x 1000>` stands for a thousand `x`; it is left as it is.
//
//   npm install && node relay_streams.mjs ../data/ui/relay_streams.jsonl > streams && mv streams ../data/ui/relay_streams.jsonl
import { readFileSync } from 'node:fs';
import { read } from './read.mjs';

for (const line of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
  const { name, sse } = JSON.parse(line);
  console.log(JSON.stringify({ name, sse, ...(await read(sse)) }));
}
