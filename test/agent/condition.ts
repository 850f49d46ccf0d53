/** What the names and functions of a condition stand for. */
export interface ConditionContext {
  /** The job's result so far, or that of the jobs it depends on. */
  status: string;
  variable(name: string): string | undefined;
}

type Value = string | boolean | null;

const STATUS_FUNCTIONS: Record<string, readonly string[]> = {
  succeeded: ['Succeeded', 'SucceededWithIssues'],
  failed: ['Failed'],
  succeededorfailed: ['Succeeded', 'SucceededWithIssues', 'Failed'],
  canceled: ['Canceled'],
};

/** Evaluates a step's condition; throws an error that shows what it does not understand. */
export function evaluateCondition(expression: string, context: ConditionContext): boolean {
  const tokens = tokenize(expression);
  let at = 0;

  function fail(): never {
    throw new Error(`The condition '${expression}' is not understood at '${tokens[at] ?? 'its end'}'.`);
  }

  function expect(token: string): void {
    if (tokens[at] !== token) fail();
    at++;
  }

  function value(): Value {
    const token = tokens[at];
    if (token === undefined) fail();
    if (token.startsWith("'")) {
      at++;
      return literal(token);
    }
    if (/^[-\d]/.test(token)) {
      at++;
      return token;
    }
    const word = token.toLowerCase();
    if (word === 'true' || word === 'false') {
      at++;
      return word === 'true';
    }
    return word === 'variables' ? variable() : call();
  }

  function variable(): Value {
    at++;
    const bracket = tokens[at] === '[';
    if (!bracket && tokens[at] !== '.') fail();
    at++;
    let name = tokens[at++] ?? fail();
    if (bracket) {
      if (!name.startsWith("'")) fail();
      name = literal(name);
      expect(']');
    } else {
      for (; tokens[at] === '.'; at += 2) name += `.${tokens[at + 1] ?? fail()}`;
    }
    return context.variable(name) ?? null;
  }

  function call(): Value {
    const name = tokens[at]?.toLowerCase() ?? fail();
    const known = FUNCTIONS.get(name);
    const status = STATUS_FUNCTIONS[name];
    if (known === undefined && status === undefined && name !== 'always') fail();
    at++;
    expect('(');
    const values: Value[] = [];
    while (tokens[at] !== ')') {
      if (values.length > 0) expect(',');
      values.push(value());
    }
    at++;
    if (known !== undefined) return known(values);
    return status?.includes(context.status) ?? true;
  }

  const result = truth(value());
  if (at < tokens.length) fail();
  return result;
}

const FUNCTIONS: ReadonlyMap<string, (values: Value[]) => boolean> = new Map([
  ['and', (values) => values.every(truth)],
  ['or', (values) => values.some(truth)],
  ['not', ([value]) => !truth(value)],
  ['eq', ([left, right]) => equal(left, right)],
  ['ne', ([left, right]) => !equal(left, right)],
  ['in', ([left, ...others]) => others.some((other) => equal(left, other))],
  ['notin', ([left, ...others]) => !others.some((other) => equal(left, other))],
  ['contains', ([left, right]) => text(left).includes(text(right))],
  ['startswith', ([left, right]) => text(left).startsWith(text(right))],
  ['endswith', ([left, right]) => text(left).endsWith(text(right))],
] satisfies [string, (values: Value[]) => boolean][]);

function tokenize(expression: string): string[] {
  const tokens: string[] = [];
  const token = /\s*('(?:[^']|'')*'|[\w-]+|[()[\],.])/y;
  while (expression.slice(token.lastIndex).trim() !== '') {
    const from = token.lastIndex;
    const found = token.exec(expression)?.[1];
    if (found === undefined)
      throw new Error(`The condition '${expression}' is not understood at '${expression.slice(from)}'.`);
    tokens.push(found);
  }
  return tokens;
}

function literal(token: string): string {
  return token.slice(1, -1).replaceAll("''", "'");
}

function truth(value: Value | undefined): boolean {
  return typeof value === 'string' ? value !== '' : value === true;
}

/** The right side is taken as the left one's type; texts are compared without regard to case. */
function equal(left: Value | undefined, right: Value | undefined): boolean {
  return typeof left === 'boolean' ? left === truth(right) : text(left) === text(right);
}

function text(value: Value | undefined): string {
  return value === null || value === undefined ? '' : String(value).toLowerCase();
}
