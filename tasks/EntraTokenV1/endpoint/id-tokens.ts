import { Failure, unforeseen } from '../failure/failure.ts';
import type { LiveIdToken } from '../id-token/held-id-tokens.ts';
import { printable } from '../text/text.ts';
import type { AnswerQuery } from './access-tokens.ts';
import { failureAnswer, wrongRequest } from './answers.ts';

/**
 * Serves ID tokens as GitHub does to its jobs: `{"value": "…"}`.
 * @param idToken returns one with most of its lifetime left; throws a Failure
 * @param audience the one that a client may ask for; the token has the audience of its source in any case
 */
export function serveIdTokens(idToken: () => Promise<LiveIdToken>, audience: string): AnswerQuery {
  return async (query) => {
    const asked = query.getAll('audience');
    const other = asked.find((value) => value !== audience);
    if (other !== undefined) {
      return wrongRequest(
        `The parameter audience is ${printable(other, 200)}; the step's ID tokens are for ${audience}, which is what Entra takes.`,
      );
    }
    try {
      const live = await idToken();
      if (live.leftMs <= 0) {
        throw new Failure('ET_DEVOPS_ANSWER', 'The ID token had expired when it came.');
      }
      return { status: 200, body: { value: live.idToken.token.reveal() } };
    } catch (error) {
      return failureAnswer(unforeseen(error));
    }
  };
}
