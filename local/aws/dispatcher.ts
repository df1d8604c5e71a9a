/** Gives each request to the service that it is for, and makes a whole response of what that says, be it an error. */
import { randomUUID } from 'node:crypto';
import { clock } from './clock.ts';
import { AwsError, BodyTooLarge, type EndpointRequest, type EndpointResponse, header } from './http.ts';
import { callJsonService, type JsonService, jsonError } from './json-protocol.ts';
import type { Log } from './log.ts';
import type { SignatureVerifier } from './sigv4.ts';
import type { StorageHealth } from './storage-health.ts';

/** A service as the endpoint sees it. */
export interface Service {
  answer(request: EndpointRequest): EndpointResponse | Promise<EndpointResponse>;
  /** An error in the shape that the service's clients read. */
  refuse(request: EndpointRequest, error: AwsError): EndpointResponse;
  /** Whether the signature is where only the service finds it. default: never */
  verifies?(request: EndpointRequest): boolean;
}

export interface DispatcherOptions {
  /** Told apart by X-Amz-Target. */
  json: JsonService[];
  /** Told apart by the path. The first that takes a request gets it. */
  others: (Service & { takes(request: EndpointRequest): boolean })[];
  signatures: SignatureVerifier;
  storage: StorageHealth;
  log: Log;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #underWay = new Set<Promise<EndpointResponse>>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Answers a request from within the process. Never rejects: errors are answers too. */
  answer(request: EndpointRequest): Promise<EndpointResponse> {
    return this.#respond(request, (service) => service.answer(request));
  }

  /** Answers a request from anywhere, if it is signed. */
  answerSigned(request: EndpointRequest): Promise<EndpointResponse> {
    return this.#respond(request, (service) => {
      if (!service.verifies?.(request)) this.#options.signatures.verifyRequest(request);
      return service.answer(request);
    });
  }

  /** The answer to a request that failed before a service saw it. */
  refuse(request: EndpointRequest, error: unknown): Promise<EndpointResponse> {
    return this.#respond(request, () => {
      throw error;
    });
  }

  /** Resolves when all requests are answered. */
  async idle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #respond(
    request: EndpointRequest,
    run: (service: Service) => EndpointResponse | Promise<EndpointResponse>,
  ): Promise<EndpointResponse> {
    const work = this.#run(request, run);
    this.#underWay.add(work);
    return work.finally(() => this.#underWay.delete(work));
  }

  async #run(
    request: EndpointRequest,
    run: (service: Service) => EndpointResponse | Promise<EndpointResponse>,
  ): Promise<EndpointResponse> {
    // Notes how the clock stands, each time.
    clock.times();
    const requestId = randomUUID();
    const service = this.#serviceOf(request);
    let response: EndpointResponse;
    try {
      response = await run(service);
    } catch (error) {
      response = service.refuse(request, this.#toAwsError(error, requestId));
    }
    const { status, headers, body = '' } = response;
    return {
      status,
      headers: {
        ...(status !== 204 && status !== 304 && { 'content-length': Buffer.byteLength(body) }),
        ...headers,
        'x-amzn-requestid': requestId,
        'x-amz-request-id': requestId,
      },
      body,
    };
  }

  #serviceOf(request: EndpointRequest): Service {
    const target = header(request, 'x-amz-target');
    if (target === undefined)
      return this.#options.others.find(({ takes }) => takes(request)) ?? unknownService;
    const json = this.#options.json.find((service) => target.startsWith(`${service.target}.`));
    return json ? jsonService(json) : unknownService;
  }

  #toAwsError(error: unknown, requestId: string): AwsError {
    const { storage, log } = this.#options;
    if (error instanceof AwsError) return error;
    if (error instanceof URIError)
      return new AwsError('InvalidURI', 'The percent-encoding of the URL is broken.');
    if (error instanceof BodyTooLarge) return new AwsError('EntityTooLarge', error.message, 413);
    if (storage.blames(error)) return new AwsError('ServiceUnavailable', 'The disk takes no more.', 503);
    const details = { requestId, error: error instanceof Error ? error.stack : String(error) };
    log('error', 'endpoint failed', details);
    return new AwsError('InternalServerError', 'The local endpoint failed; its log says why.', 500);
  }
}

const jsonService = (service: JsonService): Service => ({
  answer: (request) => callJsonService(service, request),
  refuse: (_request, error) => jsonError(service, error),
});

const unknownService: Service = {
  answer() {
    throw new AwsError(
      'UnknownOperationException',
      'Supported services are DynamoDB, Step Functions, ECS and S3.',
    );
  },
  refuse: (_request, error) => jsonError({ target: '', version: '1.1', operations: {} }, error),
};
