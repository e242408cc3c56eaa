// Shows the Markdown of agents. Nothing that an agent writes can run, load anything, or look like a part of the page.

const { marked } = window;
const { DOMPurify } = window;

marked.use({
  gfm: true,
  renderer: {
    // HTML is shown as text.
    html: ({ text }) => (/^<br\s*\/?>$/i.test(text.trim()) ? "<br>" : escaped(text)),
    // Loading an image would tell its server that somebody reads it.
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    code: ({ text, lang }) => `<pre data-language="${escaped(lang ?? "")}"><code>${escaped(text)}</code></pre>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // The first level is for the title of the page, the second for the name of the speaker.
    heading({ tokens, depth }) {
      const level = Math.min(Math.max(depth, 2) + 1, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
  },
});

const escaped = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const allowed = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "data-language", "href", "start"],
  // Their values are not URLs.
  ADD_URI_SAFE_ATTR: ["align", "data-language", "start"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

/// Shows Markdown in an element. Blocks that have not changed are not touched.
export function showMarkdown(element, text, isGrowing) {
  const blocks = marked.lexer(isGrowing ? closed(text) : text).filter(({ type }) => type !== "space" && type !== "def");
  blocks.forEach((block, at) => {
    const shown = element.children[at];
    if (shown?.raw === block.raw) return;
    const fresh = Object.assign(document.createElement("div"), { raw: block.raw });
    fresh.append(rendered(block));
    if (shown) shown.replaceWith(fresh);
    else element.append(fresh);
  });
  while (element.children.length > blocks.length) element.lastElementChild.remove();
}

function rendered(block) {
  const fragment = DOMPurify.sanitize(marked.parser([block]), allowed);
  for (const link of fragment.querySelectorAll("a")) {
    Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  }
  for (const code of fragment.querySelectorAll("pre")) frame(code);
  for (const table of fragment.querySelectorAll("table")) scrolling(table, "Table");
  return fragment;
}

/// Puts the language and a button above a block of code.
function frame(code) {
  const language = code.dataset.language.split(/\s/)[0] || "text";
  const copy = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
  copy.onclick = async () => {
    const isCopied = await navigator.clipboard?.writeText(code.textContent).then(() => true, () => false);
    copy.textContent = isCopied ? "Copied" : "Cannot copy";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  };
  const figure = document.createElement("figure");
  code.replaceWith(figure);
  const caption = document.createElement("figcaption");
  caption.append(language, copy);
  figure.append(caption, code);
  reachable(code, `Code, ${language}`);
}

/// Lets an element scroll on its own if it is wider than the page.
function scrolling(element, name) {
  const frame = Object.assign(document.createElement("div"), { className: "scrolling" });
  element.replaceWith(frame);
  frame.append(element);
  reachable(frame, name);
}

/// Lets the keyboard scroll an element.
export function reachable(element, name) {
  element.tabIndex = 0;
  element.role = "group";
  element.ariaLabel = name;
}

/// Closes the markup that is open at the end of a growing text, so that a line looks the same before and after its end arrives.
function closed(text) {
  const fences = text.match(/^ *(```|~~~)/gm) ?? [];
  if (fences.length % 2) return text;
  let whole = text.trimEnd();
  for (const mark of ["`", "**"]) {
    const line = whole.slice(whole.lastIndexOf("\n") + 1);
    if (line.split(mark).length % 2) continue;
    whole = whole.endsWith(mark) ? whole.slice(0, -mark.length) : whole + mark;
  }
  return whole;
}
