import { connect, type Socket } from 'node:net';

/** What came back on a connection, and how long it was open. */
export interface RawAnswer {
  readonly status: number | undefined;
  readonly text: string;
  readonly tookMs: number;
}

/** Writes bytes as they stand, and gives what comes back until the other side closes. */
export function sendRaw(port: number, text: string, { end = false } = {}): Promise<RawAnswer> {
  const start = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    socket.setEncoding('latin1').on('data', (piece: string) => {
      answer += piece;
    });
    // A server that closes while it is still sent to is heard as a reset.
    socket.on('error', () => {});
    socket.on('close', () => {
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1];
      resolve({
        status: status === undefined ? undefined : Number(status),
        text: answer,
        tookMs: performance.now() - start,
      });
    });
    socket.write(text, 'latin1');
    if (end) socket.end();
  });
}

/** Opens a connection and says nothing, or begins and does not go on. */
export function hold(port: number, text = ''): Socket {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  socket.resume();
  if (text !== '') socket.write(text);
  return socket;
}
