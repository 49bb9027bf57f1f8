/** One import of a TypeScript module, of whatever form; types count like values. */
export interface ImportSite {
  /** The text between the quotes; null for a dynamic import or require of a computed path. */
  readonly specifier: string | null;
  /** 1-based. */
  readonly line: number;
}

interface Token {
  readonly kind: "word" | "string" | "mark";
  readonly text: string;
  readonly line: number;
}

/**
 * All imports of a module: `import`, `import type`, `export … from`, `import()` as value and as type, `require()`.
 * Bun's own scanner leaves out type-only imports, and a cycle of types is a cycle.
 */
export function scanImports(source: string): ImportSite[] {
  const tokens = [...tokenize(source)];
  const sites: ImportSite[] = [];
  tokens.forEach((token, index) => {
    const previous = tokens[index - 1];
    if (token.kind !== "word" || previous?.text === "." || previous?.text === "?.") return;
    const next = tokens[index + 1];
    if ((token.text === "import" || token.text === "require") && next?.text === "(") {
      const argument = tokens[index + 2];
      const after = tokens[index + 3]?.text;
      const literal = argument?.kind === "string" && (after === ")" || after === ",");
      sites.push({ specifier: literal ? argument.text : null, line: token.line });
    } else if (token.text === "import" && next?.kind === "string") {
      sites.push({ specifier: next.text, line: token.line });
    } else if ((token.text === "import" && next?.text !== ".") || token.text === "export") {
      const specifier = fromClause(tokens, index + 1);
      if (specifier !== null) sites.push({ specifier, line: token.line });
    }
  });
  return sites;
}

/** The specifier of the `from` that ends the clause of names which starts at `index`; null where there is none. */
function fromClause(tokens: readonly Token[], index: number): string | null {
  let depth = 0;
  for (let at = index; at < tokens.length; at++) {
    const token = tokens[at];
    if (token === undefined) return null;
    const next = tokens[at + 1];
    if (token.text === "{") depth++;
    else if (token.text === "}") depth--;
    else if (depth === 0 && token.text === "from" && next?.kind === "string") return next.text;
    else if (depth === 0 && !isClauseToken(token)) return null;
    if (depth === 0 && token.text === "}" && next?.text !== "from") return null;
  }
  return null;
}

/** Outside braces an import or re-export clause holds only names, `*`, `,` and the words type, typeof, as, from, defer. */
function isClauseToken(token: Token): boolean {
  if (token.kind === "mark") return token.text === "*" || token.text === ",";
  return token.kind === "word" && !DECLARATIONS.has(token.text);
}

const DECLARATIONS = new Set(["const", "let", "var", "function", "class", "interface", "enum", "default", "async", "abstract", "declare"]);

/** Words after which a slash starts a regular expression, though a word stands before it. */
const BEFORE_REGEX = new Set(["return", "typeof", "case", "in", "of", "do", "else", "void", "delete", "throw", "new", "await", "yield"]);

const SPACE = /\s+/y;
const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*/uy;
const NUMBER = /\d[\w.]*/y;
const LINE_COMMENT = /\/\/[^\n]*|#![^\n]*/y;
const BLOCK_COMMENT = /\/\*[\s\S]*?\*\//y;
const QUOTED = /"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'/y;
const TEMPLATE_CHUNK = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y;

/** Words, string literals and single marks of a module; comments, numbers, regular expressions and template text are left out. */
function* tokenize(source: string): Generator<Token> {
  let at = 0;
  let line = 1;
  let last: Token | null = null;
  // One entry per open template literal: the depth of braces inside its current `${`.
  const templates: number[] = [];

  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const text = pattern.exec(source)?.[0] ?? null;
    if (text !== null) {
      at += text.length;
      line += text.split("\n").length - 1;
    }
    return text;
  };
  const token = (kind: Token["kind"], text: string): Token => {
    last = { kind, text, line };
    return last;
  };

  while (at < source.length) {
    const startLine = line;
    if (take(SPACE) !== null || take(BLOCK_COMMENT) !== null || take(LINE_COMMENT) !== null) continue;
    const quoted = take(QUOTED);
    if (quoted !== null) {
      yield token("string", quoted.slice(1, -1));
      continue;
    }
    const word = take(WORD);
    if (word !== null) {
      yield token("word", word);
      continue;
    }
    if (take(NUMBER) !== null) {
      token("word", "0");
      continue;
    }
    const mark = source[at] ?? "";
    if (mark === "/" && startsRegex(last) && take(REGEX) !== null) {
      token("word", "0");
      continue;
    }
    at++;
    const depth = templates.at(-1);
    if (mark === "`" || (mark === "}" && depth === 0)) {
      if (mark === "}") templates.pop();
      take(TEMPLATE_CHUNK);
      if (source[at] === "`") {
        at++;
        token("word", "0");
      } else {
        at += 2;
        templates.push(0);
        token("mark", "{");
      }
      continue;
    }
    if (depth !== undefined && (mark === "{" || mark === "}")) templates[templates.length - 1] = depth + (mark === "{" ? 1 : -1);
    yield { ...token("mark", mark), line: startLine };
  }
}

function startsRegex(last: Token | null): boolean {
  if (last === null) return true;
  if (last.kind === "mark") return last.text !== ")" && last.text !== "]" && last.text !== "}";
  return last.kind === "word" && BEFORE_REGEX.has(last.text);
}
