import type { WireSurroundings } from '../network/wire.ts';

/** What the step needs besides the agent. */
export interface Surroundings extends Pick<WireSurroundings, 'now' | 'elapsed' | 'sleep' | 'random'> {
  /** The process that started the step, as its number was when the step began. */
  readonly parent: number;
  /** The file of the background process. */
  readonly backgroundScript: string;
  /** Told how to undo each thing that must not outlive a step that is cancelled or fails. */
  readonly onFailure: (undo: () => void) => void;
}
