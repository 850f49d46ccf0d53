import type { Machine } from './agent/machine.ts';
import { wineMachine } from './windows/wine.ts';

/** True where the tests run the task on Windows, under Wine: `npm run soak -- windows`. */
export const onWindows = process.env['ENTRA_TOKEN_TEST_MACHINE'] !== undefined;

/** The reason to leave out what Windows does not have; false where the tests run on this machine. */
export function notOnWindows(why: string): string | false {
  return onWindows && `not on Windows: ${why}`;
}

/** What the task calls a path of this machine. */
export function pathThere(path: string): string {
  return testMachine()?.pathThere(path) ?? path;
}

/** What this machine calls a path of the task's. */
export function pathHere(path: string): string {
  return testMachine()?.pathHere(path) ?? path;
}

/** Where the tests run the task, if that is not this machine: on Windows with Node 20 or 24. */
export function testMachine(): Machine | undefined {
  const wanted = process.env['ENTRA_TOKEN_TEST_MACHINE'];
  return wanted === undefined ? undefined : wineMachine(wanted === 'windows-24' ? 24 : 20);
}
