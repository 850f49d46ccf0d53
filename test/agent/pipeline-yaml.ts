import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, Pair, parseDocument, visit, type YAMLMap } from 'yaml';
import { nearest } from '../../tasks/EntraTokenV1/text/nearest.ts';
import { asText, evaluateExpression, isTrue, type Value } from './condition.ts';

/** What is wrong in one line of a pipeline, as a whole sentence. */
export interface PipelineFault {
  line: number;
  sentence: string;
}

/** A pipeline that cannot be run; the message has one line for each fault, with the file and the line in it. */
export class PipelineError extends Error {
  readonly faults: readonly PipelineFault[];

  constructor(file: string, faults: readonly PipelineFault[]) {
    super(faults.map(({ line, sentence }) => `${file}:${line}: ${sentence}`).join('\n'));
    this.faults = faults;
  }
}

/** A value of the YAML, and the line where it begins. */
export type Place = { line: number; value: unknown };

/** A key of a mapping and what it has. */
export interface Entry extends Place {
  key: string;
  keyLine: number;
}

/** What the keys of a mapping may be. */
export interface Keys {
  /** What the mapping is: `a step`, `the pipeline`. */
  of: string;
  read: readonly string[];
  /** Taken and not looked at. */
  ignored?: readonly string[];
  /** Azure Pipelines has them and the local agent has not; each with the reason. */
  unsupported?: Readonly<Record<string, string>>;
}

/** What template expressions can name. */
export interface TemplateContext {
  parameters: ReadonlyMap<string, Value>;
  variables: ReadonlyMap<string, string>;
}

/** Reads the YAML of a pipeline and collects what is wrong with it, by the lines of the file. */
export class PipelineReader {
  readonly faults: PipelineFault[] = [];
  /** What the local agent leaves out, which may matter to whoever runs the pipeline. */
  readonly notices: PipelineFault[] = [];
  readonly #lines = new LineCounter();

  /** The root of the document. Adds a fault for each place that is not YAML. */
  parse(text: string): Place {
    const document = parseDocument(text, {
      // Every scalar stays the text that it was written as, as in Azure Pipelines: 1.10 is not 1.1.
      schema: 'failsafe',
      lineCounter: this.#lines,
      prettyErrors: false,
    });
    for (const { code, message, pos } of document.errors) {
      const { line } = this.#lines.linePos(pos[0]);
      // What follows in the same line follows from the first.
      if (this.faults.some((fault) => fault.line === line)) continue;
      this.fault(line, NOT_YAML[code] ?? `This is not valid YAML: ${message}.`);
    }
    visit(document, {
      Node: (_, node) => {
        if (isAlias(node) || ('anchor' in node && node.anchor !== undefined)) {
          this.fault(this.#place(node, 1).line, 'Azure Pipelines does not support YAML anchors and aliases.');
        }
      },
    });
    return this.#place(document.contents, 1);
  }

  fault(line: number, sentence: string): void {
    this.faults.push({ line, sentence });
  }

  notice(line: number, sentence: string): void {
    this.notices.push({ line, sentence });
  }

  /** The entries of a mapping by their keys; those that are not known are faults. */
  mapping(place: Place, keys: Keys): Map<string, Entry> {
    const entries = this.entries(place, keys.of);
    const names = [...keys.read, ...(keys.ignored ?? []), ...Object.keys(keys.unsupported ?? {})];
    for (const { key, keyLine } of entries) {
      const why = Object.hasOwn(keys.unsupported ?? {}, key) ? keys.unsupported?.[key] : undefined;
      if (why !== undefined) {
        this.fault(keyLine, `The local agent does not support '${key}': ${why}`);
      } else if (!names.includes(key)) {
        const meant = nearest(key, names);
        const hint = meant === undefined ? `It can have ${keys.read.join(', ')}.` : `Did you mean '${meant}'?`;
        this.fault(keyLine, `'${key}' is not a key of ${keys.of}. ${hint}`);
      }
    }
    return new Map(entries.map((entry) => [entry.key, entry]));
  }

  /** The entries of a mapping whose keys are anybody's choice. */
  entries(place: Place, what: string): Entry[] {
    const { value } = place;
    if (this.isEmpty(place)) return [];
    if (!isMap(value)) {
      this.fault(place.line, `${capital(what)} has to be a mapping of keys and values.`);
      return [];
    }
    return value.items.map((pair) => {
      const keyPlace = this.#place(pair.key, place.line);
      return {
        key: this.text(keyPlace, 'a key') ?? '',
        keyLine: keyPlace.line,
        ...this.#place(pair.value, keyPlace.line),
      };
    });
  }

  sequence(place: Place, what: string): Place[] {
    if (isSeq(place.value)) return place.value.items.map((item) => this.#place(item, place.line));
    this.fault(place.line, `${capital(what)} has to be a list: each item in a line that begins with '- '.`);
    return [];
  }

  isEmpty({ value }: Place): boolean {
    return value === null || (isScalar(value) && (value.value === '' || value.value === null));
  }

  isSequence({ value }: Place): boolean {
    return isSeq(value);
  }

  isMapping({ value }: Place): boolean {
    return isMap(value);
  }

  text(place: Place, what: string): string | undefined {
    if (place.value === null) return '';
    if (isScalar(place.value)) return String(place.value.value ?? '');
    this.fault(place.line, `${capital(what)} has to be a text.`);
    return undefined;
  }

  /** Replaces every `${{ … }}` by its value, and each `${{ if }}` by what it holds or by nothing. */
  expandTemplates(place: Place, context: TemplateContext): void {
    this.#expand(place.value, context);
  }

  #place(node: unknown, otherwise: number): Place {
    const range = isNode(node) ? node.range : undefined;
    return { line: range ? this.#lines.linePos(range[0]).line : otherwise, value: node ?? null };
  }

  #expand(node: unknown, context: TemplateContext): void {
    if (isScalar(node)) {
      if (typeof node.value === 'string') node.value = this.#expandText(node.value, this.#place(node, 1).line, context);
    } else if (isMap(node)) {
      node.items = this.#expandBranches(node.items, context, (value, line) => {
        if (isMap(value)) return value.items;
        this.fault(line, 'A condition between keys has to hold a mapping of keys.');
        return [];
      });
      for (const { key, value } of node.items) {
        this.#expand(key, context);
        this.#expand(value, context);
      }
    } else if (isSeq(node)) {
      const items = node.items.map((item) => (isBranch(item) ? item.items[0] : item));
      node.items = this.#expandBranches(items, context, (value, line) => {
        if (isSeq(value)) return value.items;
        this.fault(line, 'A condition between list items has to hold a list.');
        return [];
      });
      for (const item of node.items) this.#expand(item, context);
    }
  }

  /** The items with those of the branches that hold in the place of the branches. */
  #expandBranches<Item>(
    items: readonly Item[],
    context: TemplateContext,
    contents: (value: unknown, line: number) => Item[],
  ): Item[] {
    // Whether one of the branches before this one was taken; undefined where there is none.
    let taken: boolean | undefined;
    return items.flatMap((item) => {
      const directive = item instanceof Pair ? directiveOf(item) : undefined;
      if (directive === undefined || !(item instanceof Pair)) {
        taken = undefined;
        return [item];
      }
      const { line } = this.#place(item.key, 1);
      const [, word = '', expression = ''] = /^(\w+)\s*([\s\S]*)$/.exec(directive) ?? [];
      if (!['if', 'elseif', 'else'].includes(word)) {
        this.fault(line, `The local agent does not support \${{ ${word} }}: it has if, elseif and else.`);
        return [];
      }
      if (word !== 'if' && taken === undefined) {
        this.fault(line, `This \${{ ${word} }} does not follow a \${{ if }}.`);
        return [];
      }
      const before = word === 'if' ? false : taken === true;
      const value = word === 'else' ? true : before || this.#evaluate(expression, line, context);
      const chosen = !before && isTrue(value);
      taken = before || chosen;
      if (!chosen) return [];
      const nested = contents(item.value, line);
      const unwrapped = nested.map((one) => (isBranch(one) ? one.items[0] : one)) as Item[];
      return this.#expandBranches(unwrapped, context, contents);
    });
  }

  #expandText(text: string, line: number, context: TemplateContext): string {
    return text.replace(/\$\{\{([\s\S]*?)\}\}/g, (_, expression: string) =>
      asText(this.#evaluate(expression.trim(), line, context)),
    );
  }

  #evaluate(expression: string, line: number, { parameters, variables }: TemplateContext): Value {
    const find = <Found>(map: ReadonlyMap<string, Found>, name: string): Found | undefined =>
      map.get(name.toLowerCase());
    try {
      return evaluateExpression(expression, {
        variable: (name) => find(variables, name),
        parameter: (name) => {
          const value = find(parameters, name);
          if (value === undefined) {
            const meant = nearest(name, [...parameters.keys()]);
            const hint = meant === undefined ? '' : ` Did you mean '${meant}'?`;
            this.fault(line, `The pipeline has no parameter '${name}'.${hint}`);
          }
          return value;
        },
      }).value;
    } catch (error) {
      this.fault(line, `\${{ ${expression} }}: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    }
  }
}

/** `if …`, where the key of a pair is the template expression of a branch or a loop. */
function directiveOf(pair: Pair): string | undefined {
  const key = isScalar(pair.key) ? pair.key.value : undefined;
  return /^\$\{\{\s*((?:if|elseif|else|each|insert)\b[\s\S]*?)\s*\}\}$/.exec(String(key))?.[1];
}

/** True for an item of a list that is nothing but a branch. */
function isBranch(item: unknown): item is YAMLMap {
  const [pair] = isMap(item) && item.items.length === 1 ? item.items : [];
  return pair !== undefined && directiveOf(pair) !== undefined;
}

/** The faults of YAML that people make most often, by the codes of the library. */
const NOT_YAML: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'A tab is used for indentation; YAML takes blanks alone.',
  DUPLICATE_KEY: 'A key appears twice in the same mapping.',
  MULTIPLE_DOCS: 'A pipeline is one YAML document; this is a second one.',
  MULTILINE_IMPLICIT_KEY:
    'A key has to be on one line, and a colon with a blank after it makes a key; put the text in quotes.',
  BLOCK_AS_IMPLICIT_KEY: 'There is a second colon in this line; put the text in quotes, or begin a new line.',
};

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
