import type { WireSurroundings } from '../network/wire.ts';

/** What the step needs besides the agent. */
export interface Surroundings extends Pick<WireSurroundings, 'now' | 'elapsed' | 'sleep' | 'random'> {
  /** The process that started the step, as its number was when the step began. */
  readonly parent: number;
  /** The file of the background process. */
  readonly backgroundScript: string;
  /** Registers how to undo something that must not outlive a step that is canceled or fails. */
  readonly onFailure: (undo: () => void) => void;
}
