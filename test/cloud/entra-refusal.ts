/** A refusal: everything that its body and status are made of. */
export class Refusal extends Error {
  readonly code: number;
  readonly error: string;
  readonly status: number;

  constructor(code: number, message: string, error: string, status: number) {
    super(message);
    this.code = code;
    this.error = error;
    this.status = status;
  }
}

export const invalidClient = (code: number, message: string) => new Refusal(code, message, 'invalid_client', 401);
export const invalidRequest = (code: number, message: string) => new Refusal(code, message, 'invalid_request', 400);
