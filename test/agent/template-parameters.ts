import { nearest } from '../../tasks/EntraTokenV1/text/nearest.ts';
import type { Value } from './condition.ts';
import type { Entry, Keys, PipelineReader, Place } from './pipeline-yaml.ts';

const PARAMETER: Keys = { of: 'a parameter', read: ['name', 'displayName', 'type', 'default', 'values'] };

const TYPES = ['string', 'number', 'boolean'];

/**
 * The values of a pipeline's parameters by their names in lower case: what was given, else the default. Adds a fault
 * for each that has neither, that its type or its values do not allow, and for each given one that there is not.
 */
export function readParameters(
  reader: PipelineReader,
  place: Entry | undefined,
  given: Readonly<Record<string, string>>,
): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const item of place === undefined ? [] : reader.sequence(place, 'parameters')) {
    const parameter = reader.mapping(item, PARAMETER);
    const name = textOf(reader, parameter.get('name')) ?? '';
    if (name === '') reader.fault(item.line, 'A parameter has no name.');
    else values.set(name.toLowerCase(), readValue(reader, name, parameter, item.line, given));
  }
  for (const name of Object.keys(given)) {
    if (values.has(name.toLowerCase())) continue;
    const names = [...values.keys()];
    const meant = nearest(name, names);
    const hint = meant === undefined ? `It has ${names.join(', ') || 'none'}.` : `Did you mean '${meant}'?`;
    reader.fault(place?.keyLine ?? 1, `--parameter ${name}: the pipeline has no parameter of that name. ${hint}`);
  }
  return values;
}

function readValue(
  reader: PipelineReader,
  name: string,
  parameter: Map<string, Entry>,
  line: number,
  given: Readonly<Record<string, string>>,
): Value {
  const type = textOf(reader, parameter.get('type')) ?? 'string';
  if (!TYPES.includes(type)) {
    reader.fault(
      parameter.get('type')?.line ?? line,
      `The local agent does not support parameters of the type '${type}'; it has ${TYPES.join(', ')}.`,
    );
    return null;
  }
  const own = Object.entries(given).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
  const value = own ?? textOf(reader, parameter.get('default'));
  if (value === undefined) {
    reader.fault(line, `The parameter '${name}' has no default; give its value with --parameter ${name}=value.`);
    return null;
  }
  const said = own === undefined ? `The default of the parameter '${name}'` : `--parameter ${name}`;
  const allowed = parameter.get('values');
  const choices =
    allowed === undefined ? [] : reader.sequence(allowed, 'values').map((one) => textOf(reader, one) ?? '');
  if (choices.length > 0 && !choices.includes(value)) {
    reader.fault(line, `${said} is '${value}', and can be ${choices.join(', ')}.`);
  }
  if (type === 'number' && (value.trim() === '' || Number.isNaN(Number(value)))) {
    reader.fault(line, `${said} is '${value}', which is not a number.`);
  }
  if (type !== 'boolean') return value;
  if (!/^(true|false)$/i.test(value)) reader.fault(line, `${said} is '${value}', and can be true or false.`);
  return value.toLowerCase() === 'true';
}

function textOf(reader: PipelineReader, place: Place | undefined): string | undefined {
  return place === undefined ? undefined : reader.text(place, 'a value of a parameter');
}
