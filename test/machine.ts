import type { Machine } from './agent/machine.ts';
import { wineMachine } from './windows/wine.ts';

/**
 * Where the tests run the task: on this machine, or, as `npm run soak -- windows` has it, on Windows with Node 20 or 24.
 */
export function testMachine(): Machine | undefined {
  const wanted = process.env['ENTRA_TOKEN_TEST_MACHINE'];
  return wanted === undefined ? undefined : wineMachine(wanted === 'windows-24' ? 24 : 20);
}
