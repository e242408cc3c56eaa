// The page around a chat: the list of chats, the message field, and keys.

import { Chat, request } from "./chat.js";
import { cost, make, problem, showMessages } from "./message.js";

const element = (id) => document.getElementById(id);

/// The chat that is open.
let chat;

/// Opens the chat in the address, or a new one.
function open() {
  chat?.close();
  const id = decodeURIComponent(location.hash.slice(1));
  chat = new Chat(id || crypto.randomUUID(), showSoon);
  show();
  if (id) chat.load();
  showSidebar(false);
  // On a phone, the keyboard would cover the page.
  if (matchMedia("(hover: hover)").matches) element("input").focus({ preventScroll: true });
}

/// The text that is shown while there is no answer yet.
const PENDING = { loading: "Loading", waiting: "Starting", streaming: "Waiting for the agent" };

let isShownSoon = false;
let shownStatus, wasRunning, shownProblem;

/// Shows changes, at most once a frame.
function showSoon() {
  if (isShownSoon) return;
  isShownSoon = true;
  requestAnimationFrame(show);
}

function show() {
  isShownSoon = false;
  const page = document.scrollingElement;
  const isAtEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 80;
  const { status, isRunning, isStopping, messages } = chat;

  document.body.dataset.status = status;
  element("welcome").hidden = messages.length > 0 || status !== "ready" || Boolean(chat.problem);
  showMessages(element("messages"), chat);
  const pending = messages.at(-1)?.role === "assistant" ? undefined : PENDING[status];
  element("pending").hidden = !pending;
  element("pending").textContent = pending ?? "";
  showProblem(chat.problem);
  element("usage").textContent = cost(chat.usage);
  element("send").hidden = isRunning;
  element("send").disabled = status !== "ready";
  element("stop").hidden = !isRunning;
  element("stop").disabled = isStopping;
  element("stop").textContent = isStopping ? "Stopping" : "Stop";
  showInstance(chat.instance);
  if (isAtEnd) page.scrollTop = page.scrollHeight;

  if (isRunning !== wasRunning) element("said").textContent = isRunning ? "The agent is answering" : wasRunning ? "The answer has ended" : "";
  wasRunning = isRunning;
  // A chat gets its title with its first message.
  if (shownStatus !== `${chat.id} ${status}`) list();
  shownStatus = `${chat.id} ${status}`;
}

function showProblem(shown) {
  if (shown === shownProblem) return;
  shownProblem = shown;
  element("problem").replaceChildren(...(shown ? [problem(shown.text, shown.retry)] : []));
}

/// Offers to kill the instance that has responded, if there are several.
function showInstance(number) {
  const kill = element("kill");
  kill.hidden = !number;
  kill.textContent = `Kill instance ${number}`;
  kill.onclick = () => fetch(`/instances/${number}/kill`, { method: "POST" });
}

/// Lists the chats of this browser, the newest first.
async function list() {
  const asked = chat;
  const response = await request("/api/chats").catch(() => undefined);
  const { chats } = response ? await response.json() : { chats: [] };
  if (asked !== chat) return;
  const title = chats.find(({ id }) => id === chat.id)?.title ?? "New chat";
  document.title = element("title").textContent = title;
  element("chats").replaceChildren(
    ...chats.map(({ id, title }) => {
      const link = Object.assign(make("a", "", title), { href: `#${encodeURIComponent(id)}`, title });
      if (id === chat.id) link.ariaCurrent = "page";
      return make("li", "", link);
    }),
  );
}

function send(text) {
  history.replaceState(null, "", `#${encodeURIComponent(chat.id)}`);
  chat.send(text);
  show();
  scrollTo(0, document.scrollingElement.scrollHeight);
}

function showSidebar(isShown) {
  document.body.classList.toggle("sidebar", isShown);
  element("menu").ariaExpanded = String(isShown);
}

/// Makes the field as high as its text.
function fit() {
  const input = element("input");
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
}

addEventListener("popstate", () => {
  if (location.hash.slice(1) !== encodeURIComponent(chat.id)) open();
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (document.body.classList.contains("sidebar")) {
    showSidebar(false);
    element("menu").focus();
  } else {
    chat.stop();
  }
});
element("new").onclick = () => {
  history.pushState(null, "", location.pathname);
  open();
};
element("menu").onclick = () => showSidebar(!document.body.classList.contains("sidebar"));
document.querySelector("main").addEventListener("click", (event) => {
  if (!event.target.closest("#menu")) showSidebar(false);
  // A button that was pressed by keyboard disappears: the field takes the focus.
  if (event.detail === 0 && event.target.closest("#stop, .retry, #suggestions")) element("input").focus();
});
element("suggestions").onclick = ({ target }) => {
  if (target.matches("button")) send(target.textContent);
};
element("stop").onclick = () => chat.stop();
element("form").onsubmit = (event) => {
  event.preventDefault();
  const text = element("input").value.trim();
  if (!text || element("send").disabled) return;
  element("input").value = "";
  fit();
  send(text);
};
element("input").oninput = fit;
element("input").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("form").requestSubmit();
};
open();
