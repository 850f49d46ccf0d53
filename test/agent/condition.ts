/** What the names and functions of an expression stand for. */
export interface ExpressionContext {
  /** The job's result so far, or that of the jobs it depends on; undefined where the status functions do not exist. */
  status?: string;
  variable?(name: string): string | undefined;
  /** A template parameter; undefined where there is none of that name. */
  parameter?(name: string): Value | undefined;
  /** What an earlier job left: `['A', 'result']`, or `['A', 'outputs', 'step.name']`. */
  dependency?(path: readonly string[]): string | undefined;
}

export type Value = string | boolean | null;

/** An expression that was evaluated. */
export interface Evaluation {
  value: Value;
  /** The expression with the values in place of the names, as the agent's log shows it. */
  expanded: string;
}

/** Whether a condition holds. Throws an error that shows what is not understood. */
export function evaluateCondition(expression: string, context: ExpressionContext): boolean {
  return isTrue(evaluateExpression(expression, context).value);
}

/** Evaluates a condition or another expression of a pipeline. Throws an error that shows what is not understood. */
export function evaluateExpression(expression: string, context: ExpressionContext): Evaluation {
  const node = parse(expression);
  const run: Run = { context, done: new Map() };
  const value = evaluate(node, run);
  return { value, expanded: expand(node, run) };
}

/** Throws where an expression cannot be understood; returns the template parameters that it names. */
export function checkExpression(expression: string): string[] {
  return parametersIn(parse(expression));
}

/** What the agent prints of a condition that does not hold (ExpressionNode.EvaluateTree of the agent's library). */
export function traceOf(expression: string, { value, expanded }: Evaluation): string[] {
  const last = shown(value);
  return [
    `Evaluating: ${source(parse(expression))}`,
    ...(expanded === last ? [] : [`Expanded: ${expanded}`]),
    `Result: ${last}`,
  ];
}

/** As a condition takes it: an empty text is false, any other is true. */
export function isTrue(value: Value | undefined): boolean {
  return typeof value === 'string' ? value !== '' : value === true;
}

/** As it is written into a text: `True`, `False`, nothing for null. */
export function asText(value: Value): string {
  return value === null ? '' : typeof value === 'boolean' ? shown(value) : value;
}

type Node =
  | { kind: 'literal'; value: Value; isNumber: boolean }
  | { kind: 'name'; root: string; path: string[] }
  | { kind: 'call'; name: string; values: Node[] };

interface Run {
  context: ExpressionContext;
  /** What was evaluated; the rest was not reached. */
  done: Map<Node, Value>;
}

const ROOTS = ['variables', 'parameters', 'dependencies'];

const STATUS_FUNCTIONS: Record<string, readonly string[]> = {
  succeeded: ['Succeeded', 'SucceededWithIssues'],
  failed: ['Failed'],
  succeededOrFailed: ['Succeeded', 'SucceededWithIssues', 'Failed'],
  canceled: ['Canceled'],
  always: ['Succeeded', 'SucceededWithIssues', 'Failed', 'Canceled'],
};

interface Operation {
  least: number;
  most: number;
  /** Takes the values one by one, so that what is not needed is not evaluated. */
  of(values: readonly (() => Value)[]): Value;
}

const many = 99;

const FUNCTIONS: Record<string, Operation> = {
  and: { least: 2, most: many, of: (values) => values.every((value) => isTrue(value())) },
  or: { least: 2, most: many, of: (values) => values.some((value) => isTrue(value())) },
  xor: { least: 2, most: 2, of: all((left, right) => isTrue(left) !== isTrue(right)) },
  not: { least: 1, most: 1, of: all((value) => !isTrue(value)) },
  eq: { least: 2, most: 2, of: all(equal) },
  ne: { least: 2, most: 2, of: all((left, right) => !equal(left, right)) },
  gt: { least: 2, most: 2, of: all((left, right) => compare(left, right) > 0) },
  ge: { least: 2, most: 2, of: all((left, right) => compare(left, right) >= 0) },
  lt: { least: 2, most: 2, of: all((left, right) => compare(left, right) < 0) },
  le: { least: 2, most: 2, of: all((left, right) => compare(left, right) <= 0) },
  in: { least: 2, most: many, of: all((left, ...others) => others.some((other) => equal(left, other))) },
  notIn: { least: 2, most: many, of: all((left, ...others) => !others.some((other) => equal(left, other))) },
  contains: { least: 2, most: 2, of: all((left, right) => lower(left).includes(lower(right))) },
  startsWith: { least: 2, most: 2, of: all((left, right) => lower(left).startsWith(lower(right))) },
  endsWith: { least: 2, most: 2, of: all((left, right) => lower(left).endsWith(lower(right))) },
  lower: { least: 1, most: 1, of: all((value) => lower(value)) },
  upper: { least: 1, most: 1, of: all((value) => lower(value).toUpperCase()) },
  coalesce: { least: 2, most: many, of: all((...values) => values.find((value) => asText(value) !== '') ?? null) },
  iif: { least: 3, most: 3, of: ([test, yes, no]) => (isTrue(test?.()) ? yes?.() : no?.()) ?? null },
  format: {
    least: 1,
    most: many,
    of: all((pattern, ...values) =>
      asText(pattern).replace(/\{(\d+)\}/g, (_, index) => asText(values[Number(index)] ?? null)),
    ),
  },
};

function all(make: (...values: Value[]) => Value): Operation['of'] {
  return (values) => make(...values.map((value) => value()));
}

function parse(expression: string): Node {
  const tokens = tokenize(expression);
  let at = 0;

  function fail(): never {
    throw new Error(`The expression '${expression}' is not understood at '${tokens[at] ?? 'its end'}'.`);
  }
  function expect(token: string): void {
    if (tokens[at] !== token) fail();
    at++;
  }
  function node(): Node {
    const token = tokens[at] ?? fail();
    if (token.startsWith("'")) {
      at++;
      return { kind: 'literal', value: unquoted(token), isNumber: false };
    }
    if (/^[-\d]/.test(token)) {
      at++;
      return { kind: 'literal', value: token, isNumber: true };
    }
    const word = token.toLowerCase();
    if (word === 'true' || word === 'false') {
      at++;
      return { kind: 'literal', value: word === 'true', isNumber: false };
    }
    return ROOTS.includes(word) ? name(word) : call();
  }
  function name(root: string): Node {
    at++;
    const path: string[] = [];
    while (tokens[at] === '.' || tokens[at] === '[') {
      const bracket = tokens[at++] === '[';
      const part = tokens[at++] ?? fail();
      if (bracket && !part.startsWith("'")) fail();
      path.push(bracket ? unquoted(part) : part);
      if (bracket) expect(']');
    }
    if (path.length === 0) fail();
    return { kind: 'name', root, path };
  }
  function call(): Node {
    const word = tokens[at]?.toLowerCase();
    const known = [...Object.keys(FUNCTIONS), ...Object.keys(STATUS_FUNCTIONS)];
    const found = known.find((candidate) => candidate.toLowerCase() === word) ?? fail();
    const start = at++;
    expect('(');
    const values: Node[] = [];
    while (tokens[at] !== ')') {
      if (values.length > 0) expect(',');
      values.push(node());
    }
    at++;
    const { least = 0, most = many } = FUNCTIONS[found] ?? {};
    if (values.length < least || values.length > most) {
      at = start;
      fail();
    }
    return { kind: 'call', name: found, values };
  }

  const root = node();
  if (at < tokens.length) fail();
  return root;
}

function tokenize(expression: string): string[] {
  const tokens: string[] = [];
  const token = /\s*('(?:[^']|'')*'|-?\d[\w.]*|[\w-]+|[()[\],.])/y;
  while (expression.slice(token.lastIndex).trim() !== '') {
    const from = token.lastIndex;
    const found = token.exec(expression)?.[1];
    if (found === undefined)
      throw new Error(`The expression '${expression}' is not understood at '${expression.slice(from)}'.`);
    tokens.push(found);
  }
  return tokens;
}

function evaluate(node: Node, run: Run): Value {
  const value = result(node, run);
  run.done.set(node, value);
  return value;
}

function result(node: Node, run: Run): Value {
  const { context } = run;
  switch (node.kind) {
    case 'literal':
      return node.value;
    case 'name': {
      if (node.root === 'variables') return context.variable?.(node.path.join('.')) ?? null;
      if (node.root === 'parameters') return context.parameter?.(node.path.join('.')) ?? null;
      return context.dependency?.(node.path) ?? null;
    }
    case 'call': {
      const results = STATUS_FUNCTIONS[node.name];
      if (results !== undefined) {
        if (context.status === undefined) throw new Error(`${node.name}() is for conditions, not for \${{ }}.`);
        return results.includes(context.status);
      }
      return FUNCTIONS[node.name]?.of(node.values.map((value) => () => evaluate(value, run))) ?? null;
    }
  }
}

function parametersIn(node: Node): string[] {
  if (node.kind === 'call') return node.values.flatMap(parametersIn);
  return node.kind === 'name' && node.root === 'parameters' ? [node.path.join('.')] : [];
}

/** The expression as the agent writes it: names in brackets, one blank after each comma. */
function source(node: Node): string {
  if (node.kind === 'literal') return node.isNumber ? String(node.value) : shown(node.value);
  if (node.kind === 'call') return `${node.name}(${node.values.map(source).join(', ')})`;
  const path = node.root === 'variables' ? [node.path.join('.')] : node.path;
  return node.root + path.map((part) => `[${shown(part)}]`).join('');
}

/** The agent shows what it evaluated by its value, down to the functions; what it did not reach stays as it is written. */
function expand(node: Node, run: Run): string {
  if (!run.done.has(node) || (node.kind === 'literal' && node.isNumber)) return source(node);
  if (node.kind === 'call' && STATUS_FUNCTIONS[node.name] === undefined) {
    return `${node.name}(${node.values.map((value) => expand(value, run)).join(', ')})`;
  }
  return shown(run.done.get(node) ?? null);
}

function shown(value: Value): string {
  if (value === null) return 'Null';
  return typeof value === 'boolean' ? (value ? 'True' : 'False') : `'${value.replaceAll("'", "''")}'`;
}

function unquoted(token: string): string {
  return token.slice(1, -1).replaceAll("''", "'");
}

/** The right side is taken as the left one's type; texts are compared without regard to case. */
function equal(left: Value = null, right: Value = null): boolean {
  return typeof left === 'boolean' ? left === isTrue(right) : lower(left) === lower(right);
}

/** Numbers by their size, other texts by their order. */
function compare(left: Value = null, right: Value = null): number {
  const [a, b] = [Number(asText(left)), Number(asText(right))];
  return Number.isNaN(a) || Number.isNaN(b) ? lower(left).localeCompare(lower(right)) : a - b;
}

function lower(value: Value | undefined): string {
  return value === null || value === undefined ? '' : asText(value).toLowerCase();
}
