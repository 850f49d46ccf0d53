import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
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

/** The fenced blocks of some languages, with the line that each begins on; list items may indent them. */
export function* blocks(text: string, ...languages: string[]): Generator<{ line: number; code: string }> {
  const fence = /^([ \t]*)```([\w-]*)[^\n]*\n([\s\S]*?)^\1```[ \t]*$/gm;
  for (const { 1: indent = '', 2: language = '', 3: code = '', index } of text.matchAll(fence)) {
    if (languages.includes(language)) {
      yield { line: text.slice(0, index).split('\n').length, code: code.replace(new RegExp(`^${indent}`, 'gm'), '') };
    }
  }
}
