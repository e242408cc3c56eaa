import { parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema } from 'ai';

/** Reads a UI message stream as the AI SDK does: the last message, the texts of error chunks, and the error that ended it. */
export async function read(sse, initial) {
  let fatal;
  const errors = [];
  const stream = parseJsonEventStream({ stream: new Blob([sse]).stream(), schema: uiMessageChunkSchema }).pipeThrough(
    new TransformStream({
      transform(result, controller) {
        if (result.success) controller.enqueue(result.value);
        else if (isIncomplete(result.rawValue)) controller.enqueue(result.rawValue);
        else throw result.error;
      },
    }),
  );
  // Errors of the stream have names of their own; those of error chunks do not.
  const onError = error => {
    if (error.name === 'Error') errors.push(error.message);
    else fatal = error.name === 'AI_UIMessageStreamError' ? [error.name, error.message] : [error.name];
  };
  let message;
  for await (message of readUIMessageStream({ stream, message: structuredClone(initial), onError }));
  return { message, errors, fatal };
}

// Chunks without a member that may be undefined: servers in JavaScript send them, and the schema refuses them.
function isIncomplete(chunk) {
  const members = { 'tool-input-available': 'input', 'tool-output-available': 'output', 'message-metadata': 'messageMetadata' };
  const member = chunk.type.startsWith('data-') ? 'data' : members[chunk.type];
  return member !== undefined && !(member in chunk);
}
