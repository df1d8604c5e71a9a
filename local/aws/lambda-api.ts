/** Lambda's Invoke, for the calls that functions make of each other: waits for the result. */
import { AwsError, type EndpointRequest, type EndpointResponse } from './http.ts';

const INVOCATION = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/;

export const isInvocation = ({ path }: EndpointRequest): boolean => INVOCATION.test(path);

/** What a function throws is a result too, as on AWS: 200 with X-Amz-Function-Error. */
export async function invokeFunction(
  { path, body }: EndpointRequest,
  invoke: (functionName: string, payload: unknown) => Promise<unknown>,
): Promise<EndpointResponse> {
  const name = decodeURIComponent(INVOCATION.exec(path)?.[1] ?? '');
  const payload = parse(body);
  try {
    return answer((await invoke(name, payload)) ?? null);
  } catch (error) {
    const { name: errorType, message: errorMessage } = error as Error;
    return answer({ errorType, errorMessage, trace: [] }, { 'x-amz-function-error': 'Unhandled' });
  }
}

export function lambdaError({ code, message, status }: AwsError): EndpointResponse {
  const { body, headers } = answer({ Type: 'User', message });
  return { status, body, headers: { ...headers, 'x-amzn-errortype': code } };
}

function answer(value: unknown, headers: Record<string, string> = {}): EndpointResponse {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'x-amz-executed-version': '$LATEST', ...headers },
    body: JSON.stringify(value),
  };
}

function parse(body: Buffer): unknown {
  try {
    return body.length === 0 ? {} : JSON.parse(body.toString());
  } catch {
    throw new AwsError('InvalidRequestContentException', 'The payload is not JSON.');
  }
}
