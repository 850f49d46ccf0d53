import type { Manifest, ManifestInput } from './manifest.ts';

/** What a person has entered, by the input's name; what is missing has its default. */
export type Entered = Readonly<Record<string, string>>;

/** The comparisons of the editor's rules; case does not count (Microsoft's tasks write `= true` for `True`). */
const comparisons: Readonly<Record<string, (value: string, operand: string) => boolean>> = {
  '=': (value, operand) => value === operand,
  '==': (value, operand) => value === operand,
  '!=': (value, operand) => value !== operand,
  in: (value, operand) => operand.split(',').some((item) => item.trim() === value),
  notin: (value, operand) => !operand.split(',').some((item) => item.trim() === value),
  contains: (value, operand) => value.includes(operand),
  notcontains: (value, operand) => !value.includes(operand),
  startswith: (value, operand) => value.startsWith(operand),
  notstartswith: (value, operand) => !value.startsWith(operand),
  endswith: (value, operand) => value.endsWith(operand),
  notendswith: (value, operand) => !value.endsWith(operand),
};

const PREDICATE = /^([A-Za-z][\w.]*)\s*(!=|==|=|\s[A-Za-z]+\s)\s*(.*)$/;

/** The names of the inputs that a rule looks at. Throws for a rule that the editor would not understand. */
export function inputsOfRule(rule: string): string[] {
  return predicates(rule).parts.map(({ name }) => name);
}

/** Whether a visible rule holds; an empty one always does. Throws for a rule that the editor would not understand. */
export function holds(rule: string, read: (name: string) => string): boolean {
  if (rule.trim() === '') {
    return true;
  }
  const { parts, all } = predicates(rule);
  const test = ({ name, compare, operand }: Predicate): boolean => compare(read(name).toLowerCase(), operand);
  return all ? parts.every(test) : parts.some(test);
}

interface Predicate {
  readonly name: string;
  readonly compare: (value: string, operand: string) => boolean;
  readonly operand: string;
}

/** The editor takes a rule apart at `&&` or at `||`, and knows neither both in one rule nor brackets. */
function predicates(rule: string): { parts: Predicate[]; all: boolean } {
  const all = rule.includes('&&');
  if (all && rule.includes('||')) {
    throw new SyntaxError(`a rule has && or ||, not both: ${rule}`);
  }
  return {
    all,
    parts: rule.split(all ? '&&' : '||').map((part) => {
      const [, name = '', operator = '', operand = ''] = PREDICATE.exec(part.trim()) ?? [];
      const compare = comparisons[operator.trim().toLowerCase()];
      if (compare === undefined) {
        throw new SyntaxError(`no rule of the editor: ${part}`);
      }
      return {
        name,
        compare,
        operand: operand
          .trim()
          .replace(/^"(.*)"$/, '$1')
          .toLowerCase(),
      };
    }),
  };
}

/** The inputs that the editor shows, in order, for what is entered. */
export function visibleInputs(manifest: Manifest, entered: Entered): ManifestInput[] {
  const read = reader(manifest, entered);
  const hiddenGroups = new Set(
    manifest.groups.filter(({ visibleRule }) => !holds(visibleRule, read)).map(({ name }) => name),
  );
  return manifest.inputs.filter(({ group, visibleRule }) => !hiddenGroups.has(group) && holds(visibleRule, read));
}

/** What stands in an input: what was entered, else its default. */
function reader(manifest: Manifest, entered: Entered): (name: string) => string {
  return (name) => entered[name] ?? manifest.inputs.find((input) => input.name === name)?.defaultValue ?? '';
}

/**
 * A page that shows the task's form about as the classic editor does: every group opened and the help under its field,
 * or as the editor first shows it, with the groups that task.json leaves closed and the help in its bubbles.
 */
export function formPage(
  manifest: Manifest,
  entered: Entered,
  shows: 'everything' | 'at first' = 'everything',
): string {
  const shown = visibleInputs(manifest, entered);
  const withHelp = shows === 'everything';
  const groups = manifest.groups.flatMap(({ name, title, isExpanded }) => {
    const inputs = shown.filter(({ group }) => group === name);
    const isOpen = withHelp || isExpanded;
    const fields = isOpen ? inputs.map((input) => field(input, entered, withHelp)) : [];
    const head = `<h2><i>${isOpen ? '⌃' : '⌄'}</i>${asHtml(title)}</h2>`;
    return inputs.length === 0 ? [] : [`<section>${head}${fields.join('')}</section>`];
  });
  const read = reader(manifest, entered);
  const instance = manifest.instanceName.replace(/\$\((\w+)\)/g, (_, name: string) => read(name));
  const outputs = manifest.outputs.map(({ name }) => `<code>entra.${asHtml(name)}</code>`).join(' ');
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style>
<header><b>${asHtml(manifest.title)}</b><span>Task version <u>${manifest.version.split('.')[0]}.*</u></span></header>
<div class="field"><label>Display name <em>*</em></label><div class="box">${asHtml(instance)}</div></div>
${groups.join('\n')}
<section><h2><i>⌃</i>Output Variables</h2>
<div class="field"><label>Reference name</label><div class="box">entra</div></div>
<div class="outputs"><label>Variables list</label>${outputs}</div></section>`;
}

function field(input: ManifestInput, entered: Entered, withHelp: boolean): string {
  const value = entered[input.name] ?? input.defaultValue;
  const label = `<label>${asHtml(input.label)}${input.required ? ' <em>*</em>' : ''} <s>i</s></label>`;
  const help = withHelp ? `<p>${markdown(input.help)}</p>` : '';
  if (input.type === 'boolean') {
    const mark = value === 'true' ? '<b class="tick on">✓</b>' : '<b class="tick"></b>';
    return `<div class="field flag">${mark}${label}${help}</div>`;
  }
  return `<div class="field">${label}${control(input, value)}${help}</div>`;
}

function control({ type, options, properties }: ManifestInput, value: string): string {
  if (type === 'pickList' && properties.get('MultiSelectFlatList') === 'True') {
    const chosen = value.split(',');
    const items = [...options].map(([key, title]) => {
      const on = chosen.includes(key);
      return `<div><b class="tick${on ? ' on' : ''}">${on ? '✓' : ''}</b> ${asHtml(title)}</div>`;
    });
    const titles = [...options].filter(([key]) => chosen.includes(key)).map(([, title]) => title);
    return `<div class="box">${asHtml(titles.join(', '))}<i>⌄</i></div><div class="list">${items.join('')}</div>`;
  }
  if (type === 'pickList') {
    return `<div class="box">${asHtml(options.get(value) ?? value)}<i>⌄</i></div>`;
  }
  if (type.startsWith('connectedService:')) {
    return `<div class="box">${asHtml(value)}<i>⌄</i></div><small>↻ &nbsp; Manage ↗ &nbsp; + New</small>`;
  }
  if (type === 'multiLine') {
    const rows = Number(properties.get('rows') ?? '4');
    return `<div class="box lines" style="min-height:${rows * 20}px">${asHtml(value)}</div>`;
  }
  return `<div class="box">${asHtml(value)}</div>`;
}

/** The two things of Markdown that help texts use: code and links. */
function markdown(text: string): string {
  return asHtml(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\[([^\]]+)\]\([^)]+\)/g, '<a>$1</a>');
}

function asHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const STYLE = `
*{box-sizing:border-box}
html{background:#fff}
body{margin:0;padding:22px 26px 26px;width:640px;font:14px/20px "Segoe UI","Liberation Sans",Arial,sans-serif;color:#222}
header{display:flex;justify-content:space-between;align-items:center;margin:0 0 18px;color:#666;font-size:13px}
header b{font-size:18px;font-weight:600;color:#222;display:flex;align-items:center;gap:10px}
h2{font-size:14px;font-weight:600;margin:24px 0 10px;border-bottom:1px solid #e4e4e4;padding-bottom:6px}
h2 i{display:inline-block;width:20px;color:#666;font-style:normal}
label{color:#333}
em{color:#c4262e;font-style:normal}
s{display:inline-block;width:13px;height:13px;border:1px solid #8a8a8a;border-radius:7px;color:#666;text-decoration:none;text-align:center;font:italic 700 9px/11px serif;vertical-align:1px}
i{float:right;font-style:normal;color:#666}
h2 i{float:none}
.field{margin:0 0 14px}
.box{border:1px solid #c8c8c8;padding:5px 9px;min-height:32px;margin-top:4px;background:#fff;white-space:pre-wrap}
.lines{font:13px/20px "DejaVu Sans Mono",Consolas,monospace}
.list{border:1px solid #c8c8c8;border-top:0;padding:6px 9px;background:#fafafa}
.list div{padding:2px 0}
.tick{display:inline-block;width:16px;height:16px;border:1px solid #8a8a8a;margin-right:8px;vertical-align:-3px;font:12px/14px sans-serif;text-align:center;color:#fff;background:#fff}
.tick.on{background:#0a6cbd;border-color:#0a6cbd}
p{margin:4px 0 0;color:#5f5f5f;font-size:12px;line-height:17px}
.flag p{margin-left:24px}
small{color:#0a6cbd;font-size:12px}
a{color:#0a6cbd}
code{font:12px "DejaVu Sans Mono",Consolas,monospace;background:#f3f3f3;padding:1px 4px;white-space:nowrap}
.outputs label{display:block;margin-bottom:6px}
.outputs code{display:inline-block;margin:0 4px 5px 0}
`;
