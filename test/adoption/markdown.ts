import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import MarkdownIt, { type Env, type Token } from 'markdown-it';
import { root } from '../../scripts/layout.ts';

/** The Markdown files of the repository, by their path with slashes. */
export function markdownFiles(): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !['node_modules', 'build', 'dist', '.git'].includes(entry.name)) {
        visit(path);
      } else if (entry.name.endsWith('.md')) {
        found.set(relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8').replaceAll('\r\n', '\n'));
      }
    }
  };
  visit(root);
  return found;
}

const parser = new MarkdownIt({ html: true });
// Links are compared as they are written, whatever they lead to.
parser.normalizeLink = (url) => url;
parser.validateLink = () => true;

/** Everything on a page: its blocks, and what is within them. */
function tokensOf(text: string): Token[] {
  return parser.parse(text, {}).flatMap((token) => [token, ...(token.children ?? [])]);
}

/** The fenced blocks of some languages, with the line that each begins on; list items may indent them. */
export function blocks(text: string, ...languages: string[]): { line: number; code: string }[] {
  return tokensOf(text)
    .filter(({ type, info }) => type === 'fence' && languages.includes(info.trim().split(/\s/)[0] ?? ''))
    .map(({ map, content }) => ({ line: (map?.[0] ?? 0) + 1, code: content }));
}

/** The code within the lines of a page. */
export function inlineCode(text: string): string[] {
  return tokensOf(text)
    .filter(({ type }) => type === 'code_inline')
    .map(({ content }) => content);
}

/** An attribute of each token of one type. */
function attributes(text: string, type: string, name: string): string[] {
  return tokensOf(text)
    .filter((token) => token.type === type)
    .map((token) => String(token.attrGet(name)));
}

/** The targets of pictures. */
export function picturesOf(text: string): string[] {
  return attributes(text, 'image', 'src');
}

/** The targets of links, of pictures, and of definitions that a link may refer to. */
export function linksOf(text: string): string[] {
  const page: Env = {};
  parser.parse(text, page);
  const definitions = Object.values(page.references ?? {}).map(({ href }) => href);
  return [...attributes(text, 'link_open', 'href'), ...picturesOf(text), ...definitions];
}

/** The anchors that GitHub gives to the headings of a page, and those that it sets itself. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  const tokens = parser.parse(text, {});
  for (const [index, { type }] of tokens.entries()) {
    if (type !== 'heading_open') continue;
    const words = tokens[index + 1]?.children?.map(({ content }) => content).join('') ?? '';
    const slug = words
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  for (const { type, content } of tokensOf(text)) {
    const [, id] = (type.startsWith('html_') && /<a (?:id|name)="([^"]+)"/.exec(content)) || [];
    if (id !== undefined) anchors.add(id);
  }
  return anchors;
}
