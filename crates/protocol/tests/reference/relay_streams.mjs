// Puts recorded streams through the AI SDK's readUIMessageStream and prints them with what came out, a line of JSON each:
//   {"name", "sse", "end", "message"?, "errors": [text of an error chunk, …], "fatal"?: [name, and the text of a UIMessageStreamError]}
// `end` is not the AI SDK's but ours: failed, aborted, finished or cut.
// `<x x 1000>` stands for a thousand `x`; it is left as it is.
//
//   npm install && node relay_streams.mjs ../data/ui/relay_streams.jsonl > streams && mv streams ../data/ui/relay_streams.jsonl
import { readFileSync } from 'node:fs';
import { read } from './read.mjs';

for (const line of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
  const { name, sse } = JSON.parse(line);
  console.log(JSON.stringify({ name, sse, end: end(sse), ...(await read(sse)) }));
}

function end(sse) {
  const events = sse.split('\n\n').slice(0, -1).map(event => event.replace(/^data: /, ''));
  const types = events.filter(data => data !== '[DONE]').map(data => JSON.parse(data).type);
  if (types.includes('error')) return 'failed';
  if (types.includes('abort')) return 'aborted';
  return events.includes('[DONE]') ? 'finished' : 'cut';
}
