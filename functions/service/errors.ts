/** Errors whose names are part of a contract: the workflow's Retry and Catch match them, the API answers with them. */

/** The sandbox of a waiting run is gone, or of no use. `RunCode` catches it in infra/workflow.ts. */
export class SandboxLost extends Error {
  override readonly name = 'SandboxLost';
  constructor(
    message: string,
    /** The sandbox itself told so: whether the program was running then. */
    readonly whileRunning?: boolean,
  ) {
    super(message);
  }
}

/**
 * The execution has no sandbox yet, or its sandbox is gone and nothing was run in it. Nothing is lost: the workflow tries
 * again, and then sees to a new one.
 */
export class SandboxMissing extends Error {
  override readonly name = 'SandboxMissing';
}

/** RunTask answered without a task, mostly for want of capacity. The workflow waits and tries again. */
export class SandboxNotStarted extends Error {
  override readonly name = 'SandboxNotStarted';
}

/** RunTask answered without a task too often. Ends the execution. */
export class SandboxUnavailable extends Error {
  override readonly name = 'SandboxUnavailable';
}

/** A setting is missing or has a value that is not allowed. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

/** What a sandbox uploaded is not what the contract says: it is untrusted input. */
export class MalformedUpload extends Error {
  override readonly name = 'MalformedUpload';
}

export interface InvalidField {
  /** JSON pointer (RFC 6901) into the body, or the name of the parameter. */
  pointer: string;
  detail: string;
}

/**
 * An answer of the API that is an error: becomes a problem document (RFC 9457).
 * `slug` is the stable end of its `type`; `message` says what is wrong and what to do.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  constructor(
    readonly status: number,
    readonly slug: string,
    readonly title: string,
    detail: string,
    readonly errors: InvalidField[] = [],
    readonly headers: Record<string, string> = {},
  ) {
    super(detail);
  }
}

/** A caller has used up a quota. `retryAfter`: seconds after which to try again. */
export class QuotaExceeded extends Problem {
  constructor(detail: string, retryAfter: number) {
    super(429, 'quota-exceeded', 'Quota exceeded', detail, [], { 'retry-after': String(retryAfter) });
  }
}
