import { certificateFault, codeOfNodeError, entryOf } from '../failure/catalogue.ts';
import { errorCode, Failure } from '../failure/failure.ts';
import { duration } from '../text/text.ts';
import { AnswerTooLarge, LARGEST_ANSWER, type Outcome, type Post } from './post.ts';
import { ProxyFailure, ProxyRefusal } from './tunnel.ts';

interface Cause {
  readonly code: string;
  readonly address: string | undefined;
}

/** Node joins the failures of a name's several addresses in an AggregateError whose own message is empty. */
export function causesOf(error: unknown): Cause[] {
  if (error instanceof AggregateError) {
    return error.errors.flatMap(causesOf);
  }
  const code = errorCode(error);
  return code === undefined ? [] : [{ code, address: addressOf(error) }];
}

function addressOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('address' in error)) {
    return undefined;
  }
  const port = 'port' in error ? error.port : undefined;
  return typeof error.address === 'string' && typeof port === 'number' ? `${error.address} port ${port}` : undefined;
}

/** What came of a try, in a few words for the log. */
export function brief(outcome: Outcome): string {
  if ('status' in outcome) {
    return `HTTP ${outcome.status}`;
  }
  if (outcome.error instanceof ProxyRefusal) {
    return `the proxy answered HTTP ${outcome.error.status}`;
  }
  if (outcome.error instanceof ProxyFailure) {
    return `the proxy failed: ${brief({ error: outcome.error.cause })}`;
  }
  const causes = causesOf(outcome.error).map(({ code, address }) => (address ? `${code} at ${address}` : code));
  return causes.length > 0 ? causes.join(', ') : 'the connection failed';
}

/**
 * The failure for a service that gave no answer to any try.
 * @param trustAdvice what to do where nobody vouches for its certificate, if that is not the usual advice
 */
export function unreachable(error: unknown, post: Post, tries: number, tookMs: number, trustAdvice?: string): Failure {
  const effort = tries === 1 ? '' : ` after ${tries} tries in ${duration(tookMs)}`;
  const asked = `${post.service} at ${post.url.host}`;
  if (error instanceof AnswerTooLarge) {
    const code = post.service === 'Entra' ? 'ET_ENTRA_ANSWER' : 'ET_DEVOPS_ANSWER';
    return new Failure(code, `${asked} sent a response of more than ${LARGEST_ANSWER / 1024} KiB.`);
  }
  if (error instanceof ProxyRefusal) {
    return describeProxy(error, post, effort);
  }
  if (error instanceof ProxyFailure) {
    const [cause] = causesOf(error.cause);
    const isKnown = cause?.code.startsWith('HPE_') || codeOfNodeError(cause?.code) !== 'ET_UNEXPECTED';
    const fault = codeOfNodeError(cause?.code) === 'ET_CERTIFICATE' ? ofCertificate(cause?.code) : undefined;
    const code = isKnown ? 'ET_PROXY' : 'ET_UNEXPECTED';
    return new Failure(code, `${asked} could not be reached${effort}: ${brief({ error })}.`, fault?.remedy, {
      ...(fault && { reason: `It is the proxy’s own certificate. ${fault.reason}` }),
    });
  }
  const codes = causesOf(error);
  if (codes.some(({ code }) => code.startsWith('HPE_'))) {
    const code = post.service === 'Entra' ? 'ET_ENTRA_ANSWER' : 'ET_DEVOPS_ANSWER';
    return new Failure(code, `${asked} did not send an HTTP response (${brief({ error })}).`);
  }
  const code = codeOfNodeError(codes[0]?.code);
  const fault = code === 'ET_CERTIFICATE' ? certificateFault(codes[0]?.code) : undefined;
  const advice = code === 'ET_CERTIFICATE' ? trustAdvice : undefined;
  return new Failure(
    code,
    `${asked} could not be reached${effort}: ${brief({ error })}.`,
    fault?.remedy ?? advice,
    fault === undefined ? {} : { reason: fault.reason },
  );
}

function ofCertificate(nodeCode: string | undefined): { reason: string; remedy: string } {
  return certificateFault(nodeCode) ?? entryOf('ET_CERTIFICATE');
}

/** Of the ways in that proxies have, this task knows Basic: that is all that the agent stores a user and a password for. */
function describeProxy({ status, schemes, hadCredentials }: ProxyRefusal, { url }: Post, effort: string): Failure {
  const happened = `The proxy answered HTTP ${status} when asked for a tunnel to ${url.host}${effort}`;
  if (status !== 407) {
    return new Failure('ET_PROXY', `${happened}.`);
  }
  if (schemes !== undefined && !schemes.includes('Basic')) {
    return new Failure(
      'ET_PROXY',
      `${happened}, and accepts only ${schemes.join(' or ')}.`,
      `Let the agent reach ${url.host} without the proxy or without signing in to it, have the proxy take Basic as well, ` +
        'or put a local proxy in between that signs in for the machine (such as Px or Cntlm), and configure the agent with that.',
      { reason: 'The task signs in to a proxy with user and password (Basic) alone.' },
    );
  }
  return new Failure(
    'ET_PROXY',
    `${happened}.`,
    hadCredentials
      ? 'Check the user and the password in the agent’s configuration (config --proxyusername, --proxypassword).'
      : 'Configure the agent with a user and a password for the proxy (config --proxyusername, --proxypassword).',
    {
      reason: hadCredentials
        ? 'The proxy does not take the user and the password of the agent’s configuration.'
        : 'The proxy wants to know who asks, and the agent is configured with no user for it.',
    },
  );
}
