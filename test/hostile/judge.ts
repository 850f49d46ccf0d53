import { isConnectionFault } from '../cloud/faults.ts';
import type { Row } from './fault-table.ts';
import { type Ended, faultsOf } from './run-step.ts';

/** What one row of the table of faults is owed and did not get; empty where it got all. */
export function judgeRow(row: Row, ended: Ended): string[] {
  const { place, service, tries, expected } = row;
  const wrong = faultsOf(ended);
  const check = (right: boolean, what: string) => {
    if (!right) wrong.push(what);
  };
  check(ended.result === expected.result, `it ${ended.result}: ${ended.line}`);
  check(ended.code === expected.code, `the code is ${ended.code}, not ${expected.code}: ${ended.line}`);

  const heard = ended.requests[service];
  const unheard = isConnectionFault(place.do);
  if (!place.transient) {
    check(heard === (unheard ? 0 : 1), `it was asked ${heard} times`);
    check(ended.retries.length === 0, `it was tried again: ${ended.retries}`);
  } else if (tries === 'first') {
    check(heard === (unheard ? 1 : 2), `it was asked ${heard} times`);
    // The step connects to Entra before it has a request; a fault that this connection met strikes no try.
    const announced = unheard && service === 'entra' ? [0, 1] : [1];
    check(announced.includes(ended.retries.length), `${ended.retries.length} more tries were announced`);
  } else {
    check(heard === (unheard ? 0 : ended.retries.length + 1), `it was asked ${heard} times`);
    check(ended.retries.length >= (place.slow ? 3 : 4), `there were only ${ended.retries.length} more tries`);
  }
  // Where Azure DevOps gives no ID token, nothing is exchanged; and nothing is asked for twice.
  if (service === 'devops')
    check(ended.requests.entra === (expected.result === 'Succeeded' ? 1 : 0), 'Entra was asked');
  else check(ended.requests.devops === 1, `Azure DevOps was asked ${ended.requests.devops} times`);
  return wrong;
}
