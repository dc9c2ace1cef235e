// Colours for code blocks, in place of the highlighter that mdBook brings, which is fifty times as large and knows languages that are not
// used here. Of each language comments, texts, names and numbers are told apart; everything else is left as it is.

"use strict";

const hljs = (() => {
  const TEXT = String.raw`"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'`;
  const NUMBER = String.raw`(?<![\w.-])-?\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.:-])`;
  const LITERAL = String.raw`\b(?:true|false|null|None|True|False|undefined)\b`;
  const HASH = String.raw`(?<=^|\s)#.*`;
  const words = (list) => String.raw`(?<![\w.-])(?:${list.replaceAll(" ", "|")})(?![\w-])`;

  // What stands first wins.
  const js = {
    comment: String.raw`\/\/.*|\/\*[^]*?\*\/`,
    string: String.raw`${TEXT}|${"`"}(?:\\.|[^${"`"}\\])*${"`"}`,
    keyword: words("async await break case catch class const continue default do else export extends finally for from function if import in instanceof let new of return static switch this throw try typeof var void while yield"),
    literal: LITERAL,
    number: NUMBER,
  };
  const json = { comment: String.raw`\/\/.*`, attr: String.raw`"(?:\\.|[^"\\\n])*"(?=\s*:)`, string: TEXT, literal: LITERAL, number: NUMBER };
  const sh = {
    comment: HASH,
    string: String.raw`"(?:\\[^]|[^"\\])*"|'[^']*'`,
    variable: String.raw`\$\{[^}]*\}|\$\w+`,
    keyword: words("case do done elif else esac exit export fi for function if in return set then trap until while"),
  };
  const settings = { comment: String.raw`(?<=^|\s)[#;].*`, section: String.raw`^\s*\[[^\]\n]+\]`, attr: String.raw`^[ \t-]*[\w."/-]+(?=\s*[=:](?:\s|$))`, string: TEXT, literal: LITERAL, number: NUMBER };
  const python = {
    comment: HASH,
    string: TEXT,
    keyword: words("and as assert async await class def elif else except finally for from global if import in is lambda not or pass raise return try while with yield"),
    literal: LITERAL,
    number: NUMBER,
  };
  const html = { comment: String.raw`<!--[^]*?-->`, tag: String.raw`<\/?[\w-]+|\/?>`, string: TEXT, attr: String.raw`\b[\w-]+(?==)` };
  const http = { keyword: String.raw`^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)\b`, attr: String.raw`^[\w-]+(?=: )`, number: String.raw`(?<=^HTTP\/[\d.]+ )\d+` };
  const promql = { comment: HASH, string: TEXT, keyword: words("by on without ignoring group_left group_right and or unless sum rate max min avg count histogram_quantile increase"), number: NUMBER };

  const known = { js, javascript: js, mjs: js, ts: js, json, sh, bash: sh, console: sh, shell: sh, toml: settings, ini: settings, yaml: settings, python, html, xml: html, http, promql };
  const compiled = new Map();

  function pattern(language) {
    if (!Object.hasOwn(known, language)) return null;
    if (!compiled.has(language)) {
      const parts = Object.entries(known[language]).map(([kind, source]) => `(?<${kind}>${source})`);
      compiled.set(language, new RegExp(parts.join("|"), "gm"));
    }
    return compiled.get(language);
  }

  function highlightBlock(block) {
    const language = /\blanguage-(\w+)/.exec(block.className)?.[1];
    const tokens = language && !block.firstElementChild && pattern(language);
    if (!tokens) return;
    const text = block.textContent;
    const pieces = document.createDocumentFragment();
    let written = 0;
    for (const match of text.matchAll(tokens)) {
      if (match[0] === "") continue;
      const [kind] = Object.entries(match.groups).find(([, found]) => found !== undefined);
      const piece = document.createElement("span");
      piece.className = `hljs-${kind}`;
      piece.textContent = match[0];
      pieces.append(text.slice(written, match.index), piece);
      written = match.index + match[0].length;
    }
    pieces.append(text.slice(written));
    block.replaceChildren(pieces);
  }

  return { configure() {}, highlightBlock };
})();
