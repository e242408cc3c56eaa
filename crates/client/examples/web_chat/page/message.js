// Shows messages.

import { sentence } from "./chat.js";
import { reachable, showMarkdown } from "./markdown.js";

/// Makes an element.
export const make = (name, className = "", ...children) => {
  const element = Object.assign(document.createElement(name), { className });
  element.append(...children);
  return element;
};

/// The article of each message. Only changes are written to it, so that an open tool call stays open.
const articles = new WeakMap();

/// Shows the messages of a chat in an element.
export function showMessages(element, chat) {
  const shown = chat.messages.map((message, at) => {
    const isLast = at === chat.messages.length - 1;
    const isLive = isLast && chat.isRunning && message.role === "assistant";
    if (!articles.has(message)) articles.set(message, begin(message));
    const article = articles.get(message);
    message.parts.forEach((part, at) => showPart(article, message, part, at, isLive && at === message.parts.length - 1, isLive));
    article.classList.toggle("live", isLive);
    if (message.role === "assistant") showEnd(article, message, isLast && !chat.isRunning && (() => chat.again()));
    return article;
  });
  const isSame = shown.length === element.children.length && shown.every((article, at) => article === element.children[at]);
  if (!isSame) element.replaceChildren(...shown);
}

function begin({ role }) {
  const name = role === "user" ? "You" : "Agent";
  const article = make("article", role, make("h2", "hidden", name), make("div", "parts"));
  if (role === "assistant") article.append(make("footer"));
  return article;
}

function showPart(article, message, part, at, isGrowing, isLive) {
  const parts = article.querySelector(".parts");
  const kind = kindOf(part);
  if (!parts.children[at]) parts.append(kind.make(message));
  kind.show(parts.children[at], part, isGrowing, isLive);
}

function kindOf({ type }) {
  if (type === "text") return text;
  if (type === "reasoning") return reasoning;
  if (type === "dynamic-tool" || type.startsWith("tool-")) return tool;
  return nothing;
}

/// A part that this page does not show, such as a source.
const nothing = { make: () => make("div"), show() {} };

const text = {
  make: ({ role }) => make("div", role === "user" ? "text said" : "text"),
  show(element, { text }, isGrowing) {
    if (element.classList.contains("said")) {
      element.textContent = text;
      return;
    }
    element.querySelector(".cursor")?.remove();
    showMarkdown(element, text, isGrowing);
    if (isGrowing) lastLineOf(element).append(make("span", "cursor"));
  },
};

/// Returns the element where the next word will appear.
function lastLineOf(element) {
  const inner = element.lastElementChild;
  const isBlock = inner?.matches("div, p, ul, ol, li, blockquote, figure, pre, pre > code, h3, h4, h5, h6, table, thead, tbody, tr, td");
  return isBlock ? lastLineOf(inner) : element;
}

const reasoning = {
  make: () => make("details", "reasoning", make("summary"), make("div", "text")),
  show(element, { text }, isGrowing) {
    element.querySelector("summary").textContent = isGrowing ? "Thinking" : "Thought";
    showMarkdown(element.querySelector(".text"), text, isGrowing);
  },
};

const tool = {
  make: () => {
    const summary = make("summary", "", make("span", "mark"), make("span", "name"), make("code", "what"), make("span", "state"));
    return make("details", "tool", summary, make("div", "contents"));
  },
  show(element, part, _, isLive) {
    const [state, words] = stateOf(part, isLive);
    const input = part.input === undefined ? part.rawInput : readable(part.input);
    const output = part.errorText ?? (part.output === undefined ? undefined : readable(part.output));
    element.dataset.state = state;
    const fill = (name, text) => {
      const filled = element.querySelector(name);
      if (filled.textContent !== text) filled.textContent = text;
    };
    fill(".name", part.toolName ?? part.type.slice(5));
    fill(".what", summaryOf(part.input) ?? "");
    fill(".state", words);
    const contents = element.querySelector(".contents");
    for (const [name, text] of [["Input", input], ["Output", output]]) {
      const className = name.toLowerCase();
      if (text === undefined) continue;
      if (!contents.querySelector(`.${className}`)) {
        const shown = make("pre", className);
        reachable(shown, name);
        contents.append(make("p", "label", name), shown);
      }
      fill(`.contents .${className}`, text || "(empty)");
    }
  },
};

/// Returns the state of a tool call and the text for it. A call without an output was stopped if its answer has ended.
function stateOf({ state, output }, isLive) {
  if (state === "output-error") return ["failed", "failed"];
  if (state === "output-available") {
    const code = output?.exitCode ?? output?.exit_code ?? 0;
    return code === 0 ? ["done", "done"] : ["failed", `failed with exit code ${code}`];
  }
  if (!isLive) return ["stopped", "stopped"];
  return state === "input-streaming" ? ["running", "preparing"] : ["running", "running"];
}

/// Returns the most telling member of an input.
function summaryOf(input) {
  if (typeof input !== "object" || input === null) return undefined;
  const names = ["command", "file_path", "path", "pattern", "query", "url", "description", "prompt"];
  const name = names.find((name) => typeof input[name] === "string");
  return name && input[name].split("\n")[0];
}

/// Returns the output of a command as a terminal shows it, and anything else as JSON.
function readable(value) {
  if (typeof value === "string") return value;
  if (typeof value?.stdout === "string") return value.stdout + (value.stderr ?? "");
  if (typeof value?.command === "string" && Object.keys(value).length === 1) return value.command;
  return JSON.stringify(value, null, 2);
}

/// Shows the cost of an answer, or why it ended early.
function showEnd(article, { metadata, parts }, again) {
  const footer = article.lastElementChild;
  const key = JSON.stringify([metadata, Boolean(again), parts.length > 0]);
  if (footer.shown === key) return;
  footer.shown = key;
  footer.replaceChildren();
  const { end, error } = metadata ?? {};
  if (end === "cancelled") footer.append(notice("Stopped.", again));
  else if (end) footer.append(problem(sentence(error || "the answer was lost"), again));
  else footer.append(cost(metadata));
}

function notice(words, again) {
  const shown = make("p", "stopped", words);
  if (again) shown.append(button("Retry", again));
  return shown;
}

/// Shows what failed, with a button to retry.
export function problem(words, again) {
  const shown = make("p", "failed", make("span", "", words));
  if (again) shown.append(button("Retry", again));
  return shown;
}

function button(words, onclick) {
  return Object.assign(make("button", "retry", words), { type: "button", onclick });
}

/// Returns the usage and its cost as text; empty if they are not known.
export function cost({ totalTokens, totalCostUsd } = {}) {
  if (!totalTokens) return "";
  const dollars = totalCostUsd ? ` · $${totalCostUsd.toFixed(totalCostUsd < 1 ? 4 : 2)}` : "";
  return `${totalTokens.toLocaleString("en")} tokens${dollars}`;
}
