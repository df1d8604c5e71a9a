/** What can go wrong between the page and the service, each with a sentence to show. */

/** Body of an error (RFC 9457). */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: { pointer: string; detail: string }[];
  request_id: string;
}

/** The service answered with an error; `message` says what is wrong and what to do. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  constructor(
    readonly status: number,
    readonly problem: ProblemDocument,
    /** The caller is not known: a new key may help. */
    readonly unauthorized = false,
  ) {
    // Of a fault of the service its operator wants to know which request it was.
    const ofRequest = status >= 500 && problem.request_id ? ` (request_id ${problem.request_id})` : '';
    super(problem.detail + ofRequest);
  }
}

/** No answer came: the service is away, or this device is offline. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
  constructor(
    cause?: unknown,
    message = 'The service cannot be reached. Check your connection, and that the service is running.',
  ) {
    super(message, { cause });
  }
}
